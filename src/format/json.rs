//! JSON texts: what a payload may be, and where the elements of an array stand.

use std::ops::Range;

use serde_json::value::RawValue;

use super::{Damage, MAX_DEPTH, MAX_PAYLOAD_BYTES};
use crate::error::{Error, ErrorKind, Result};

/// How deep a whole file may be: a payload at its limit, in an envelope, in the array, and some room.
const MAX_FILE_DEPTH: usize = 128;
/// How deep a bare payload may be, so that the file is not too deep when an envelope is put around it.
const MAX_BARE_DEPTH: usize = MAX_FILE_DEPTH - 2;

/// Whether every language reads these bytes alike: UTF-8, JSON, not too deep, no half of a surrogate pair.
pub(crate) fn check_payload(bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_PAYLOAD_BYTES {
        let text = format!(
            "the payload has {} bytes, the limit is {MAX_PAYLOAD_BYTES}; send a reference to the data instead",
            bytes.len()
        );
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    check(bytes, MAX_DEPTH, true).map_err(|damage| invalid(&damage))
}

/// The error for a payload that breaks a rule.
fn invalid(damage: &Damage) -> Error {
    Error::new(
        ErrorKind::InvalidJson,
        format!(
            "the payload is not sound at byte {}: {}",
            damage.offset, damage.rule
        ),
    )
    .offset_at(damage.offset)
}

/// One JSON value, of whatever kind.
fn check(bytes: &[u8], max_depth: usize, whole_pairs: bool) -> std::result::Result<(), Damage> {
    let text = utf8(bytes)?;
    scan(bytes, max_depth, whole_pairs)?;
    serde_json::from_str::<&RawValue>(text)
        .map(drop)
        .map_err(|error| located(text, &error))
}

/// One element of an array that is set from outside, as deep as a file may have it.
pub(crate) fn check_element(bytes: &[u8]) -> std::result::Result<(), Damage> {
    check(bytes, MAX_FILE_DEPTH - 1, false)
}

/// An element that is a payload without an envelope: whatever is read must still be readable once it has one (INV-4).
pub(super) fn check_bare(bytes: &[u8]) -> std::result::Result<(), Damage> {
    scan(bytes, MAX_BARE_DEPTH, false)
}

/// Where the elements of a file's array stand. `null` is an empty array.
pub(crate) fn elements(bytes: &[u8]) -> std::result::Result<Vec<Range<usize>>, Damage> {
    if bytes.is_empty() {
        return Err(Damage::new(0, "the file is empty; an empty queue is []"));
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(Damage::new(
            0,
            "the file holds only zero bytes, as after a power cut",
        ));
    }
    let text = utf8(bytes)?;
    scan(bytes, MAX_FILE_DEPTH, false)?;
    let first = text.trim_start_matches([' ', '\t', '\r', '\n']);
    if !first.starts_with('[') && !first.starts_with("null") {
        serde_json::from_str::<&RawValue>(text).map_err(|error| located(text, &error))?;
        return Err(Damage::new(
            text.len() - first.len(),
            "the file holds something else than an array",
        ));
    }
    let values: Option<Vec<&RawValue>> =
        serde_json::from_str(text).map_err(|error| located(text, &error))?;
    Ok(values
        .unwrap_or_default()
        .into_iter()
        .map(|value| span(text, value.get()))
        .collect())
}

/// Where a part that was borrowed from `text` stands in it.
fn span(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}

/// Where and why the parser stopped.
fn located(text: &str, error: &serde_json::Error) -> Damage {
    let line_start: usize = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    let offset = (line_start + error.column().saturating_sub(1)).min(text.len());
    let full = error.to_string();
    let rule = full.split(" at line ").next().unwrap_or_default();
    Damage::new(offset, format!("it is not JSON: {rule}"))
}

fn utf8(bytes: &[u8]) -> std::result::Result<&str, Damage> {
    std::str::from_utf8(bytes).map_err(|error| Damage::new(error.valid_up_to(), "it is not UTF-8"))
}

/// Depth, and halves of surrogate pairs, which some languages refuse and others replace. One pass without recursion;
/// the grammar is the parser's business.
fn scan(bytes: &[u8], max_depth: usize, whole_pairs: bool) -> std::result::Result<(), Damage> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > max_depth {
                    return Err(Damage::new(
                        at,
                        format!("it is more than {max_depth} levels deep"),
                    ));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' if whole_pairs => at = whole_string(bytes, at + 1)?,
            b'"' => at = end_of_string(bytes, at + 1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// From behind the opening quote to the closing one (or the end).
pub(super) fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    loop {
        at += plain_length(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            Some(b'"') => return at,
            Some(_) => at += 2,
            None => return bytes.len(),
        }
    }
}

/// How many bytes come before the first quote or backslash: most of a file is inside of strings.
fn plain_length(bytes: &[u8]) -> usize {
    memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len())
}

/// The same, where half of a surrogate pair is refused.
fn whole_string(bytes: &[u8], mut at: usize) -> std::result::Result<usize, Damage> {
    loop {
        at += plain_length(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            Some(b'"') => return Ok(at),
            Some(_) => at = escape(bytes, at)?,
            None => return Ok(bytes.len()),
        }
    }
}

/// From a backslash to behind its escape.
fn escape(bytes: &[u8], at: usize) -> std::result::Result<usize, Damage> {
    match unit(bytes, at) {
        Some(0xD800..=0xDBFF) => match unit(bytes, at + 6) {
            Some(0xDC00..=0xDFFF) => Ok(at + 12),
            _ => Err(Damage::new(
                at,
                "it has half of a surrogate pair, which not every language can read",
            )),
        },
        Some(0xDC00..=0xDFFF) => Err(Damage::new(
            at,
            "it has half of a surrogate pair, which not every language can read",
        )),
        _ => Ok(at + 2),
    }
}

/// The code unit of `\uXXXX` at this place.
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn payloads_that_some_language_cannot_read_are_refused_with_the_place() {
        let deep = format!("{}1{}", "[".repeat(101), "]".repeat(101));
        let cases: &[(&[u8], u64)] = &[
            (b"", 0),
            (b"{", 0),
            (b"[1,]", 3),
            (b"\"\xff\"", 1),
            (b"\"a\\ud800\"", 2),
            (b"\"\\udc00\"", 1),
            (b"\"\\ud800\\u0041\"", 1),
            (b"NaN", 0),
            (b"1 2", 2),
            (deep.as_bytes(), 100),
        ];
        for (payload, offset) in cases {
            let error = check_payload(payload).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidJson, "{payload:?}");
            assert_eq!(error.offset(), Some(*offset), "{payload:?}: {error}");
        }
        let sound: &[&[u8]] = &[
            b"1",
            b"\"\\ud83d\\udcec\"",
            b"1e-7",
            b"123456789012345678901234567890",
            b"\"\\\\ud800\"",
            b" {\"a\": [null]} ",
        ];
        for payload in sound {
            check_payload(payload).unwrap();
        }
    }

    #[test]
    fn a_payload_at_the_limit_of_depth_passes_and_one_over_the_limit_of_size_does_not() {
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        check_payload(deep.as_bytes()).unwrap();
        let large = vec![b' '; MAX_PAYLOAD_BYTES + 1];
        assert_eq!(
            check_payload(&large).unwrap_err().kind(),
            ErrorKind::TooLarge
        );
    }

    #[test]
    fn files_that_hold_no_whole_array_are_damage() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let cases: [(&[u8], u64); 9] = [
            (b"", 0),
            (b"\0\0\0\0", 0),
            (b"not json", 1),
            (b"{}", 0),
            (b" 7", 1),
            (b"[1,", 2),
            (b"[1] x", 4),
            (b"[\"\xff\"]", 2),
            (deep.as_bytes(), 128),
        ];
        for (file, offset) in cases {
            assert_eq!(
                elements(file).unwrap_err().offset,
                offset,
                "{:?}",
                String::from_utf8_lossy(file)
            );
        }
        assert!(elements(b"null\n").unwrap().is_empty());
        assert_eq!(elements(b"\n[ 1 , {\"a\":2} ]\n").unwrap(), [3..4, 7..14]);
    }

    proptest! {
        #[test]
        fn the_end_of_a_string_is_found_wherever_it_is(text in "[a\\\\\"!#\\[\\]\u{a2}\u{dc}]{0,40}") {
            let mut at = 0;
            while !matches!(text.as_bytes().get(at), None | Some(b'"')) {
                at += if text.as_bytes()[at] == b'\\' { 2 } else { 1 };
            }
            prop_assert_eq!(end_of_string(text.as_bytes(), 0), at.min(text.len()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = elements(&bytes);
            let _ = check_payload(&bytes);
        }
    }
}
