//! The top level of an object: where its keys and values stand, and how to change one without touching the rest.

use std::borrow::Cow;
use std::ops::Range;

use super::Damage;
use super::json::end_of_string;

/// A change of one key: its new value as JSON text, or none to remove it.
pub(super) type NewValue<'a> = (&'a str, Option<String>);

/// The keys of an object in order. The text is known to be JSON: only what is needed to find them is looked at.
pub(super) struct Object<'a> {
    text: &'a str,
    pairs: Vec<Pair<'a>>,
}

/// One key with its value.
struct Pair<'a> {
    name: Cow<'a, str>,
    /// With its quotes.
    key: Range<usize>,
    value: Range<usize>,
}

impl<'a> Object<'a> {
    /// Reads an object's keys; `None` when the text is another kind of value.
    pub(super) fn read(text: &'a str) -> Result<Option<Self>, Damage> {
        Self::read_around(text, &(0..0))
    }

    /// The same, when it is known already where one of the values stands: it is not looked at.
    pub(super) fn read_around(text: &'a str, known: &Range<usize>) -> Result<Option<Self>, Damage> {
        let bytes = text.as_bytes();
        if bytes.first() != Some(&b'{') {
            return Ok(None);
        }
        let unexpected = |at: usize| {
            Damage::new(
                at.min(bytes.len()),
                "it is not JSON: an object ends or goes on in a wrong way",
            )
        };
        let expect = |at: usize, byte: u8| {
            if bytes.get(at) == Some(&byte) {
                Ok(at)
            } else {
                Err(unexpected(at))
            }
        };
        let mut pairs = Vec::with_capacity(8);
        let mut at = blank(bytes, 1);
        if bytes.get(at) == Some(&b'}') {
            return Ok(Some(Self { text, pairs }));
        }
        loop {
            let key = expect(at, b'"')?..expect(end_of_string(bytes, at + 1), b'"')? + 1;
            let colon = expect(blank(bytes, key.end), b':')?;
            let start = blank(bytes, colon + 1);
            let value = if start == known.start {
                known.clone()
            } else {
                start..end_of_value(bytes, start)
            };
            at = blank(bytes, value.end);
            let raw = text.get(key.clone()).ok_or_else(|| unexpected(key.start))?;
            if value.is_empty() || text.get(value.clone()).is_none() {
                return Err(unexpected(start));
            }
            pairs.push(Pair {
                name: name(raw),
                key,
                value,
            });
            match bytes.get(at) {
                Some(b',') => at = blank(bytes, at + 1),
                Some(b'}') => return Ok(Some(Self { text, pairs })),
                _ => return Err(unexpected(at)),
            }
        }
    }

    /// Where a key's value stands. Of a key that is there twice the last one counts, as for every common reader.
    pub(super) fn place(&self, name: &str) -> Option<Range<usize>> {
        self.pairs
            .iter()
            .rev()
            .find(|pair| pair.name == name)
            .map(|pair| pair.value.clone())
    }

    /// A key's value.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.text.get(self.place(name)?)
    }

    /// The first of these keys that is there twice, and where its second value stands.
    pub(super) fn twice<'n>(&self, names: &[&'n str]) -> Option<(&'n str, usize)> {
        names.iter().find_map(|name| {
            let second = self.pairs.iter().filter(|pair| pair.name == *name).nth(1)?;
            Some((*name, second.value.start))
        })
    }

    /// The object with some keys changed. Everything else stays byte for byte (INV-3); new keys come last and are
    /// set off like the ones before them.
    pub(super) fn edit(&self, edits: &[NewValue<'_>]) -> String {
        self.edit_around(edits, &(0..0)).0
    }

    /// The same, and where the value begins then that is `known` now.
    pub(super) fn edit_around(
        &self,
        edits: &[NewValue<'_>],
        known: &Range<usize>,
    ) -> (String, usize) {
        let mut known_at = 0;
        let part = |range: Range<usize>| self.text.get(range).unwrap_or_default();
        let (first, second) = (self.pairs.first(), self.pairs.get(1));
        let before_first = part(1..first.map_or(1, |pair| pair.key.start));
        let colon = first.map_or(":", |pair| part(pair.key.end..pair.value.start));
        let separator = match (first, second) {
            (Some(first), Some(second)) => Cow::Borrowed(part(first.value.end..second.key.start)),
            _ => Cow::Owned(format!(",{before_first}")),
        };
        let mut text = String::with_capacity(self.text.len() + 256);
        text.push('{');
        let mut end = 0;
        for pair in &self.pairs {
            let before = part(end..pair.key.start);
            end = pair.value.end;
            let edit = edits.iter().find(|(name, _)| pair.name == *name);
            let value = match edit {
                Some((_, None)) => continue,
                Some((_, Some(value))) => value,
                None => part(pair.value.clone()),
            };
            text.push_str(if text.len() == 1 {
                before_first
            } else {
                before
            });
            text.push_str(part(pair.key.start..pair.value.start));
            if pair.value == *known {
                known_at = text.len();
            }
            text.push_str(value);
        }
        for (name, value) in edits.iter().filter(|(name, _)| self.place(name).is_none()) {
            let Some(value) = value else { continue };
            text.push_str(if text.len() == 1 {
                before_first
            } else {
                &separator
            });
            text.push_str(&quoted(name));
            text.push_str(colon);
            text.push_str(value);
        }
        text.push_str(if end == 0 {
            "}"
        } else {
            part(end..self.text.len())
        });
        (text, known_at)
    }
}

/// An object's text with the value at a path of keys set; the objects on the way are made when they are missing.
/// `None` when something on the way is no object.
pub(crate) fn with(text: &str, path: &[&str], value: String) -> Option<String> {
    let Some((key, rest)) = path.split_first() else {
        return Some(value);
    };
    let object = Object::read(text).ok().flatten()?;
    // What is null says as much as what is not there.
    let known = object.get(key).filter(|known| *known != "null");
    let value = with(known.unwrap_or("{}"), rest, value)?;
    Some(object.edit(&[(key, Some(value))]))
}

/// A string's value, when the text is a string that every language can read.
pub(super) fn string(text: &str) -> Option<Cow<'_, str>> {
    let inside = text.strip_prefix('"')?.strip_suffix('"')?;
    if inside.bytes().any(|byte| matches!(byte, b'\\' | b'"')) {
        serde_json::from_str(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}

/// The same, with a replacement character for what not every language can read: half of a surrogate pair, which other
/// programs write where they cut a text. `None`: it is no string.
pub(super) fn string_lossy(text: &str) -> Option<Cow<'_, str>> {
    struct Lossy(String);
    struct Visit;
    impl serde::de::Visitor<'_> for Visit {
        type Value = Lossy;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string")
        }
        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Lossy, E> {
            Ok(Lossy(String::from_utf8_lossy(bytes).into_owned()))
        }
    }
    impl<'de> serde::Deserialize<'de> for Lossy {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_bytes(Visit)
        }
    }
    string(text).or_else(|| {
        let is_string = text.starts_with('"');
        let lossy = is_string.then(|| serde_json::from_str::<Lossy>(text).ok());
        lossy.flatten().map(|Lossy(text)| Cow::Owned(text))
    })
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let is_odd = |byte: u8| byte < b' ' || matches!(byte, b'"' | b'\\');
    if text.bytes().fold(false, |odd, byte| odd | is_odd(byte)) {
        serde_json::Value::from(text).to_string()
    } else {
        ["\"", text, "\""].concat()
    }
}

/// The name of a key. One that not every language can read (half of a surrogate pair) is no name that flockq knows;
/// it stays as it is written.
fn name(key: &str) -> Cow<'_, str> {
    string(key).unwrap_or(Cow::Borrowed(key))
}

/// Behind the blanks that begin here.
pub(super) fn blank(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        .count()
}

/// Behind the value that begins here. Counts brackets instead of descending into them.
pub(super) fn end_of_value(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at + 1),
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth > 0 => depth -= 1,
            b']' | b'}' | b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
        if depth == 0 && matches!(byte, b'"' | b']' | b'}') {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<(String, &str)> {
        let object = Object::read(text).unwrap().unwrap();
        object
            .pairs
            .iter()
            .map(|pair| {
                (
                    pair.name.clone().into_owned(),
                    text.get(pair.value.clone()).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn keys_and_values_are_found_whatever_stands_between_and_in_them() {
        let text = "{ \"a\" : \"},{\\\"\" ,\n\"b\":{\"c\":[\"]\",{}]},\"\\u0063\"\t:1e-7,\"d\":[ ] , \"\":null}";
        let expected = [
            ("a", "\"},{\\\"\""),
            ("b", "{\"c\":[\"]\",{}]}"),
            ("c", "1e-7"),
            ("d", "[ ]"),
            ("", "null"),
        ];
        assert_eq!(
            values(text),
            expected.map(|(name, value)| (name.to_owned(), value))
        );
        assert!(values("{}").is_empty() && values("{ }").is_empty());
        assert!(Object::read("[1]").unwrap().is_none());
    }

    #[test]
    fn what_is_no_object_is_damage_with_its_place() {
        for (text, offset) in [
            ("{", 1),
            ("{1}", 1),
            ("{\"a", 3),
            ("{\"a\"}", 4),
            ("{\"a\":}", 5),
            ("{\"a\":1", 6),
            ("{\"a\":1,}", 7),
            ("{\"a\":1 2}", 7),
        ] {
            let Err(damage) = Object::read(text) else {
                panic!("{text}")
            };
            assert_eq!(damage.offset, offset, "{text}");
        }
    }

    #[test]
    fn all_keys_can_be_removed_and_others_put_there() {
        for (text, empty, other) in [
            ("{}", "{}", "{\"b\":2}"),
            ("{ \"a\" : 1 }", "{ }", "{ \"b\" : 2 }"),
        ] {
            let object = Object::read(text).unwrap().unwrap();
            assert_eq!(object.edit(&[("a", None)]), empty);
            assert_eq!(object.edit(&[("a", None), ("b", Some("2".into()))]), other);
        }
    }

    fn blanks() -> impl Strategy<Value = String> {
        "[ \t\r\n]{0,3}"
    }

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            "-?[1-9][0-9]{0,30}",
            "[0-9]\\.[0-9]{1,3}[eE]-?[0-9]",
            "\\PC{0,8}".prop_map(|text| quoted(&text)),
            Just("\"\\ud800\\u003c\\n\"".to_owned())
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            let pair = (blanks(), "[a-z\"\\\\{}]{0,4}", blanks(), inner.clone()).prop_map(
                |(before, key, between, value)| {
                    format!("{before}{}{between}:{value}", quoted(&key))
                },
            );
            prop_oneof![
                proptest::collection::vec(inner, 0..4)
                    .prop_map(|items| format!("[{}]", items.join(" , "))),
                proptest::collection::vec(pair, 0..4)
                    .prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
            ]
        })
    }

    proptest! {
        /// INV-3: an edit touches nothing but what it names.
        #[test]
        fn every_value_that_an_edit_does_not_name_keeps_its_bytes_and_its_order(
            pairs in proptest::collection::vec((blanks(), "[a-e\"\\\\]{1,2}", blanks(), blanks(), value(), blanks()), 0..6),
            set in "[a-e]", removed in "[a-e]", new in value(),
        ) {
            let mut seen = std::collections::HashSet::new();
            let pairs: Vec<_> = pairs.into_iter().filter(|pair| seen.insert(pair.1.clone())).collect();
            let inside: Vec<String> = pairs.iter().map(|(a, key, b, c, value, d)| format!("{a}{}{b}:{c}{value}{d}", quoted(key))).collect();
            let text = format!("{{{}}}", inside.join(","));
            let object = Object::read(&text).unwrap().unwrap();
            prop_assert_eq!(object.edit(&[]), text.clone());
            prop_assume!(set != removed);
            let edited = object.edit(&[(&set, Some(new.clone())), (&removed, None)]);
            prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&edited).is_ok(), "{}", edited);
            let mut expected: Vec<(String, &str)> = values(&text).into_iter().filter(|(name, _)| *name != removed).collect();
            match expected.iter_mut().find(|(name, _)| *name == set) {
                Some(pair) => pair.1 = &new,
                None => expected.push((set, &new)),
            }
            prop_assert_eq!(values(&edited), expected);
        }

        #[test]
        fn the_values_are_those_that_a_parser_finds(value in value()) {
            use serde_json::value::RawValue;
            use std::collections::HashMap;
            if let Ok(parsed) = serde_json::from_str::<HashMap<String, &RawValue>>(&value) {
                let object = Object::read(&value).unwrap().unwrap();
                prop_assert_eq!(parsed.len(), object.pairs.iter().map(|pair| &pair.name).collect::<std::collections::HashSet<_>>().len());
                for (name, raw) in parsed {
                    prop_assert_eq!(object.get(&name), Some(raw.get()));
                }
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\{[\\PC\\{\\}\",: ]{0,40}") {
            if let Ok(Some(object)) = Object::read(&text) {
                object.edit(&[("a", Some("1".into()))]);
            }
        }
    }
}
