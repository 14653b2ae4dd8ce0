//! The facts of an element in one pass and without copying: what reading a large queue costs is mostly this.
//!
//! It knows the usual shape only, and says nothing of any other: then [`Element`] has the word, which knows all shapes
//! and what is wrong with a text. Where it says something, it says the same: the tests compare them. The text must be
//! known to be JSON, that is, to be what flockq wrote: the grammar is not checked.

use std::borrow::Cow;
use std::ops::Range;

use super::Damage;
use super::envelope::{Element, Facts};
use super::json::end_of_string;
use super::object::{blank, end_of_value};
use super::priority::Priority;
use super::time::{self, NEVER};

/// The facts of an element of the usual shape, and its attempts.
pub(super) fn of(text: &[u8]) -> Option<(Facts<'_>, u64)> {
    outline(text).filter(|(facts, _)| facts.length == text.len())
}

/// The facts of the element that begins `text`, and its attempts.
fn outline(text: &[u8]) -> Option<(Facts<'_>, u64)> {
    let mut attempts = 0;
    let mut facts = Facts::default();
    let mut own = Own::default();
    let (mut id, mut priority) = (None, None);
    let mut seen = 0u8;
    let mut once = |bit: u8| {
        let new = seen & bit == 0;
        seen |= bit;
        new.then_some(())
    };
    let mut object = Pairs::new(text)?;
    while let Some((key, start)) = object.next_key()? {
        object.at = match key {
            b"message" => {
                once(1)?;
                let end;
                (own, end) = payload(text, start)?;
                facts.payload = start..end;
                end
            }
            b"attempts" => {
                once(2)?;
                let end = end_of_value(text, start);
                let digits = text.get(start..end)?;
                let sound =
                    (1..19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
                sound.then_some(())?;
                let digit = |number, digit: &u8| 10 * number + u64::from(digit - b'0');
                attempts = digits.iter().fold(0, digit);
                end
            }
            b"last_attempt" => {
                once(4)?;
                let (value, end) = plain_string(text, start)?;
                (value == NEVER || time::parse(value).is_some()).then_some(end)?
            }
            b"queued_at" => {
                once(8)?;
                let (value, end) = plain_string(text, start)?;
                if value != NEVER {
                    facts.queued_at =
                        Some(time::parse(value)?).filter(|time| !time::is_never(*time));
                }
                end
            }
            b"id" => {
                once(16)?;
                let (value, end) = plain_string(text, start)?;
                id = Some(value).filter(|value| !value.is_empty());
                end
            }
            b"priority" => {
                once(32)?;
                let (value, end) = plain_string(text, start)?;
                priority = Some(Priority::of(value));
                end
            }
            b"error" | b"not_before" | b"expires" | b"lease" | b"move" | b"from" | b"errors" => {
                return None;
            }
            _ => end_of_value(text, start),
        };
    }
    // Without a payload it is a payload itself.
    once(1).is_none().then_some(())?;
    facts.id = id.or(own.id).map(Cow::Borrowed);
    facts.priority = priority.or(own.priority).unwrap_or_default();
    facts.length = object.at;
    Some((facts, attempts))
}

/// What a payload says of itself.
#[derive(Default)]
pub(super) struct Own<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) priority: Option<Priority>,
}

/// What a payload of the usual shape says of itself.
pub(super) fn own(payload_text: &[u8]) -> Option<Own<'_>> {
    Some(payload(payload_text, 0)?.0)
}

/// Reads a payload's own id and priority, and where it ends. Of a key that is there twice the last one counts.
fn payload(text: &[u8], start: usize) -> Option<(Own<'_>, usize)> {
    let mut own = Own::default();
    if text.get(start) != Some(&b'{') {
        return Some((own, end_of_value(text, start)));
    }
    let mut object = Pairs::new(text.get(start..)?)?;
    while let Some((key, value)) = object.next_key()? {
        let is_string = object.text.get(value) == Some(&b'"');
        object.at = match key {
            b"id" if is_string => {
                let (id, end) = plain_string(object.text, value)?;
                own.id = Some(id).filter(|id| !id.is_empty());
                end
            }
            b"priority" if is_string => {
                let (priority, end) = plain_string(object.text, value)?;
                own.priority = Some(Priority::of(priority));
                end
            }
            b"id" => {
                own.id = None;
                end_of_value(object.text, value)
            }
            b"priority" => {
                own.priority = None;
                end_of_value(object.text, value)
            }
            _ => end_of_value(object.text, value),
        };
    }
    Some((own, start + object.at))
}

/// Goes through the keys of an object; a key with an escape in it ends the outline.
struct Pairs<'a> {
    text: &'a [u8],
    /// Behind the value that was read last; in the end, behind the object.
    at: usize,
    first: bool,
}

impl<'a> Pairs<'a> {
    fn new(text: &'a [u8]) -> Option<Self> {
        let first = true;
        (text.first() == Some(&b'{')).then_some(Self { text, at: 1, first })
    }

    /// The next key and where its value begins; `Some(None)` at the end of the object.
    #[expect(
        clippy::option_option,
        reason = "the end is one answer, no answer another"
    )]
    fn next_key(&mut self) -> Option<Option<(&'a [u8], usize)>> {
        let mut at = blank(self.text, self.at);
        match self.text.get(at)? {
            b'}' => {
                self.at = at + 1;
                return Some(None);
            }
            b',' if !self.first => at = blank(self.text, at + 1),
            b'"' if self.first => {}
            _ => return None,
        }
        self.first = false;
        (self.text.get(at) == Some(&b'"')).then_some(())?;
        let end = end_of_string(self.text, at + 1);
        let key = self.text.get(at + 1..end)?;
        let colon = blank(self.text, end + 1);
        let sound = self.text.get(colon) == Some(&b':') && !key.contains(&b'\\');
        let start = blank(self.text, colon + 1);
        sound.then_some(Some((key, start)))
    }
}

/// A string without escapes, and where it ends.
fn plain_string(text: &[u8], start: usize) -> Option<(&str, usize)> {
    (text.get(start) == Some(&b'"')).then_some(())?;
    let end = end_of_string(text, start + 1);
    (text.get(end) == Some(&b'"')).then_some(())?;
    let inside = text.get(start + 1..end)?;
    let value = std::str::from_utf8(inside).ok()?;
    (!inside.contains(&b'\\')).then_some((value, end + 1))
}

/// What is known of an element.
#[derive(Debug)]
pub(crate) enum Known<'a> {
    Outline(Facts<'a>),
    Element(Box<Element>),
}

impl Known<'_> {
    /// The facts of an element that flockq wrote.
    pub(crate) fn of(text: &[u8]) -> Result<Known<'_>, Damage> {
        match of(text) {
            Some((facts, _)) => Ok(Known::Outline(facts)),
            None => Ok(Known::Element(Box::new(Element::parse_with_care(
                text.into(),
            )?))),
        }
    }

    pub(crate) fn facts(&self) -> Facts<'_> {
        match self {
            Known::Outline(facts) => facts.clone(),
            Known::Element(element) => element.facts(),
        }
    }
}

/// What comes next in an array of which a part has been read.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    /// An element, and where it is in the part.
    Element(Range<usize>, Known<'a>),
    /// The end of the array.
    End,
    /// More has to be read to tell; up to there it has been dealt with.
    More(usize),
}

/// The next element behind `at` of an array that flockq wrote. `bytes` are the array from somewhere before `at`,
/// up to its end when `whole`.
pub(crate) fn next(bytes: &[u8], at: usize, whole: bool) -> Result<Next<'_>, Damage> {
    let mut start = blank(bytes, at);
    let is_separated = matches!(bytes.get(start), Some(b'[' | b','));
    if is_separated {
        start = blank(bytes, start + 1);
    }
    let rest = bytes.get(start..).unwrap_or_default();
    match rest.first() {
        Some(b']') => return Ok(Next::End),
        None if whole => return Err(Damage::new(start, "the array is cut off")),
        None => return Ok(Next::More(at)),
        // `null` is an empty array.
        Some(b'n') if !is_separated => return Ok(Next::End),
        Some(_) => {}
    }
    if let Some((facts, _)) = outline(rest) {
        let place = start..start + facts.length;
        return Ok(Next::Element(place, Known::Outline(facts)));
    }
    let end = start + end_of_value(rest, 0);
    if end >= bytes.len() {
        // A whole array ends with a bracket: the value does too, or it is cut off.
        return if whole {
            Err(Damage::new(start, "the array is cut off"))
        } else {
            Ok(Next::More(at))
        };
    }
    let text = bytes.get(start..end).unwrap_or_default();
    if text.is_empty() {
        return Err(Damage::new(start, "it is not JSON: a value is missing"));
    }
    let element = Element::parse_with_care(text.into()).map_err(|damage| damage.within(start))?;
    Ok(Next::Element(start..end, Known::Element(Box::new(element))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Texts that are JSON, of the usual shape and nearly so.
    fn element() -> impl Strategy<Value = String> {
        let string = prop_oneof![
            Just("\"m1\""),
            Just("\"\""),
            Just("\"a\\u0062\""),
            Just("\"urgent\""),
            Just("\"\u{e9}\""),
            Just("7"),
            Just("null"),
            Just("{\"id\":\"deep\"}"),
            Just("[1,\"}\"]"),
        ];
        let time = prop_oneof![
            Just("\"0001-01-01T00:00:00Z\""),
            Just("\"0001-01-01T00:00:00.0Z\""),
            Just("\"2026-02-03T09:00:01.5-08:00\""),
            Just("\"yesterday\""),
            Just("null"),
        ];
        let key = prop_oneof![
            Just("id"),
            Just("priority"),
            Just("message"),
            Just("i\\u0064"),
            Just("x"),
            Just("error"),
        ];
        let pair = prop_oneof![
            (key, string).prop_map(|(key, value)| format!("\"{key}\":{value}")),
            (
                prop_oneof![Just("queued_at"), Just("last_attempt"), Just("not_before")],
                time
            )
                .prop_map(|(key, value)| format!("\"{key}\" : {value}")),
            prop_oneof![Just("0"), Just("17"), Just("-1"), Just("1e3"), Just("null")]
                .prop_map(|value| format!("\"attempts\":{value}")),
            Just("\"lease\":{\"token\":7}".to_owned()),
        ];
        let object = |pairs: Vec<String>| format!("{{{}}}", pairs.join(", "));
        let payload = proptest::collection::vec(pair.clone(), 0..3).prop_map(object);
        let message = payload.prop_map(|payload| format!("\"message\":{payload}"));
        let around = (
            proptest::collection::vec(pair.clone(), 0..3),
            proptest::option::of(message),
            proptest::collection::vec(pair, 0..3),
        );
        around.prop_map(move |(mut before, message, after)| {
            before.extend(message);
            before.extend(after);
            object(before)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 2000 }, ..ProptestConfig::default() })]

        #[test]
        fn where_it_says_something_it_says_what_the_element_says(text in element()) {
            if let Some((facts, _)) = outline(text.as_bytes()) {
                prop_assert_eq!(facts.length, text.len());
                let element = Element::parse_with_care(text.as_bytes().into()).unwrap();
                prop_assert_eq!(facts, element.facts(), "{}", text);
                prop_assert_eq!(Element::parse(text.as_bytes().into()).unwrap(), element);
            }
        }

        #[test]
        fn an_array_that_is_read_in_parts_has_the_elements_that_it_has_as_a_whole(
            texts in proptest::collection::vec(element(), 0..5), cut in any::<prop::sample::Index>(),
        ) {
            let array = format!("[\n  {}\n]\n", texts.join(",\n  "));
            let bytes = array.as_bytes();
            let cut = cut.index(bytes.len());
            let (mut at, mut end, mut found) = (0, cut, Vec::new());
            loop {
                match next(&bytes[..end], at, end == bytes.len()) {
                    Ok(Next::Element(range, _)) => {
                        at = range.end;
                        found.push(std::str::from_utf8(&bytes[range]).unwrap());
                    }
                    Ok(Next::More(dealt)) => {
                        prop_assert!(end < bytes.len() && dealt == at);
                        end = bytes.len();
                    }
                    Ok(Next::End) => break,
                    Err(_) => {
                        // One of them is no envelope: as the whole says.
                        prop_assert!(texts.iter().any(|text| Element::parse(text.as_bytes().into()).is_err()));
                        return Ok(());
                    }
                }
            }
            prop_assert_eq!(found, texts);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::sample::select(&b"{}[]\",:\\ nmessageid01\xff"[..]), 0..60)) {
            let _ = outline(&bytes);
            let _ = next(&bytes, 0, true);
            let _ = next(&bytes, 0, false);
        }
    }

    #[test]
    fn the_usual_shapes_have_an_outline() {
        for text in [
            r#"{"message":{"id":"m1","to":"deacon/"},"attempts":0,"last_attempt":"0001-01-01T00:00:00Z","queued_at":"2026-02-03T17:00:01.535Z"}"#,
            r#"{"message":1,"attempts":0,"last_attempt":"0001-01-01T00:00:00Z","queued_at":"2026-02-03T17:00:01.535Z","id":"x","priority":"high"}"#,
        ] {
            assert!(outline(text.as_bytes()).is_some(), "{text}");
        }
    }
}
