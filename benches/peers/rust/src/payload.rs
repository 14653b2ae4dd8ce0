//! The messages: JSON objects of exactly 300 bytes with a number in the id.

use crate::peer::{Failure, Result};

pub const SIZE: usize = 300;
const BEFORE: &str = "{\"id\":\"m";
const DIGITS: usize = 8;

/// A message with this number.
pub fn numbered(number: u32) -> String {
    padded(number, "")
}

/// A message with this number that tells when it was about to be sent.
pub fn stamped(number: u32, before_ns: u64) -> String {
    padded(number, &format!("\"before_ns\":{before_ns},"))
}

fn padded(number: u32, more: &str) -> String {
    let mut text = format!(
        "{BEFORE}{number:0DIGITS$}\",\"from\":\"mayor/\",\"to\":\"deacon/\",\"subject\":\"hello\",{more}\"body\":\""
    );
    text.extend(std::iter::repeat_n('x', SIZE - 2 - text.len()));
    text.push_str("\"}");
    text
}

/// Gives a message that `numbered` made another number: what is measured is not how a text is put together.
pub fn renumber(text: &mut String, number: u32) {
    let place = BEFORE.len()..BEFORE.len() + DIGITS;
    text.replace_range(place, &format!("{number:0DIGITS$}"));
}

/// The number of a message.
pub fn number(payload: &[u8]) -> Result<u32> {
    let digits = payload.strip_prefix(BEFORE.as_bytes());
    digits
        .and_then(|rest| rest.get(..DIGITS))
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .filter(|_| payload.len() == SIZE)
        .ok_or_else(|| {
            let text = String::from_utf8_lossy(payload);
            Failure::from(format!("not a message of this benchmark: {text}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_json_of_300_bytes_with_its_number_in_the_id() {
        let mut renumbered = numbered(7);
        renumber(&mut renumbered, 12);
        assert_eq!(renumbered, numbered(12));
        for (text, expected) in [
            (numbered(0), 0),
            (numbered(99_999_999), 99_999_999),
            (renumbered, 12),
            (stamped(3, u64::MAX), 3),
            (stamped(4, 0), 4),
        ] {
            assert_eq!(text.len(), SIZE);
            let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(json["id"], format!("m{expected:08}"));
            assert_eq!(number(text.as_bytes()).expect("a number"), expected);
        }
    }

    #[test]
    fn what_is_no_message_of_this_benchmark_is_an_error() {
        let cut = &numbered(5)[..299];
        for text in ["", "{\"id\":\"m0000001x\"}", cut] {
            assert!(number(text.as_bytes()).is_err(), "{text}");
        }
    }
}
