//! What can still be read of a damaged array.

use std::ops::Range;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::Damage;
use super::envelope::Element;
use super::json::check_element;
use super::object::blank;

/// Elements that are whole, and what stands between them that is not.
#[derive(Debug, Default)]
pub(crate) struct Salvaged {
    pub(crate) elements: Vec<Element>,
    pub(crate) lost: Vec<(Range<usize>, String)>,
}

/// Reads an array element by element. Behind damage it goes on with the next thing that looks like an envelope: a part of
/// a broken element must not be taken for a message.
pub(crate) fn array(bytes: &[u8]) -> Salvaged {
    let mut found = Salvaged::default();
    let mut at = blank(bytes, 0);
    if bytes
        .get(at..)
        .is_some_and(|rest| rest.trim_ascii() == b"null")
    {
        return found;
    }
    if bytes.get(at) == Some(&b'[') {
        at += 1;
    } else {
        let end = next_envelope(bytes, at);
        lose(&mut found, at..end, "the file does not begin with an array");
        at = end;
    }
    loop {
        at = blank(bytes, at);
        match bytes.get(at) {
            None => return found,
            Some(b',') => at += 1,
            Some(b']') if blank(bytes, at + 1) == bytes.len() => return found,
            Some(_) => match element(bytes, at) {
                Ok((element, end)) => {
                    found.elements.push(element);
                    at = end;
                }
                Err(damage) => {
                    let end = next_envelope(bytes, at + 1);
                    lose(&mut found, at..end, &damage.rule);
                    at = end;
                }
            },
        }
    }
}

fn lose(found: &mut Salvaged, range: Range<usize>, rule: &str) {
    if !range.is_empty() || found.lost.is_empty() {
        found.lost.push((range, rule.to_owned()));
    }
}

/// The element that begins here, and where it ends.
fn element(bytes: &[u8], at: usize) -> Result<(Element, usize), Damage> {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
    let value = match values.next() {
        Some(Ok(value)) => value.get().as_bytes(),
        Some(Err(error)) => return Err(Damage::new(at, format!("it is not JSON: {error}"))),
        None => return Err(Damage::new(at, "a value is missing")),
    };
    check_element(value)?;
    let end = at + values.byte_offset();
    Ok((Element::parse(Arc::from(value))?, end))
}

/// Where the next envelope begins, if something that looks like one is whole; else the end.
fn next_envelope(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let opens = |key: usize| {
        let before = rest.get(..key)?.trim_ascii_end();
        before.ends_with(b"{").then(|| from + before.len() - 1)
    };
    memchr::memmem::find_iter(rest, b"\"message\"")
        .filter_map(opens)
        .find(|at| element(bytes, *at).is_ok_and(|(element, _)| element.is_marked()))
        .unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope(number: usize) -> String {
        format!(
            r#"{{"message":{{"id":"m{number}","message":"x"}},"attempts":0,"queued_at":"2026-02-03T09:00:00Z"}}"#
        )
    }

    fn file(count: usize) -> String {
        let all: Vec<String> = (0..count).map(envelope).collect();
        format!("[\n  {}\n]\n", all.join(",\n  "))
    }

    fn ids(found: &Salvaged) -> Vec<&str> {
        found
            .elements
            .iter()
            .filter_map(|element| element.id().map(|id| &**id))
            .collect()
    }

    #[test]
    fn a_sound_array_is_read_whole() {
        for text in ["[]", "null", " [\n] ", "[1, \"a\", {\"message\":2}]"] {
            assert!(array(text.as_bytes()).lost.is_empty(), "{text}");
        }
        let found = array(file(5).as_bytes());
        assert_eq!((found.elements.len(), found.lost.len()), (5, 0));
    }

    #[test]
    fn an_array_that_was_cut_off_gives_what_is_whole() {
        let text = file(5);
        for cut in 0..text.len() {
            let found = array(&text.as_bytes()[..cut]);
            let whole = (0..5)
                .filter(|number| text[..cut].contains(&envelope(*number)))
                .count();
            assert_eq!(found.elements.len(), whole, "{cut}");
        }
    }

    #[test]
    fn a_wrong_byte_costs_the_message_that_it_is_in_and_no_other() {
        let text = file(5);
        for place in text.find("m2").unwrap() - 20..text.find("m2").unwrap() + 60 {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = 0;
            let found = array(&bytes);
            for other in ["m0", "m1", "m3", "m4"] {
                assert!(ids(&found).contains(&other), "{place}: {:?}", ids(&found));
            }
            assert!(found.elements.len() <= 5);
        }
    }

    #[test]
    fn zeros_are_no_messages() {
        let found = array(&[0; 5000]);
        assert!(found.elements.is_empty() && found.lost.len() == 1);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::sample::select(&b"{}[]\",:\\ \n\"message\"attempts01\xff\0"[..]), 0..200)) {
            let found = array(&bytes);
            prop_assert!(found.lost.iter().all(|(range, _)| range.end <= bytes.len()));
        }
    }
}
