//! One element of the array: an envelope, or a bare payload.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Damage;
use super::json::{located, span};
use super::lease::Lease;
use super::priority::Priority;
use super::time::{self, NEVER, Timestamp};

/// What flockq knows of one element. The text is the element byte for byte; everything else was read from it.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    text: Arc<[u8]>,
    payload: Range<usize>,
    /// The element is the payload itself: it has no key `message`.
    bare: bool,
    id: Option<Arc<str>>,
    priority: Priority,
    attempts: u64,
    queued_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    lease: Option<Box<Lease>>,
}

/// The texts of an envelope that only people look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) error: Option<String>,
    pub(crate) queued_at: Option<String>,
    pub(crate) last_attempt: Option<String>,
    pub(crate) not_before: Option<String>,
}

/// A change of one key: its new value as JSON text, or none to remove it.
pub(crate) type Edit<'a> = (&'a str, Option<String>);

/// A new message.
#[derive(Debug)]
pub(crate) struct Fresh<'a> {
    pub(crate) payload: &'a [u8],
    /// The id that was asked for.
    pub(crate) id: Option<&'a str>,
    /// The id to give when neither the caller nor the payload has one.
    pub(crate) fresh_id: &'a str,
    pub(crate) priority: Option<Priority>,
    pub(crate) queued_at: Timestamp,
    pub(crate) not_before: Option<Timestamp>,
}

/// The keys of an object in order, with their values as they stand.
struct Keys<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Keys<'a> {
    /// Reads an object's keys; `None` when the text is another kind of value.
    fn read(text: &'a str) -> Result<Option<Self>, Damage> {
        if !text.starts_with('{') {
            return Ok(None);
        }
        struct KeysVisitor;
        impl<'de> Visitor<'de> for KeysVisitor {
            type Value = Keys<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<'de>, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    keys.push((key.0, map.next_value()?));
                }
                Ok(Keys(keys))
            }
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        reader.deserialize_map(KeysVisitor).map(Some).map_err(|error| located(text, &error))
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// A string value; `null` counts as absent.
    fn string(&self, text: &str, name: &str) -> Result<Option<Cow<'a, str>>, Damage> {
        match self.get(name) {
            None => Ok(None),
            Some(value) if value.get() == "null" => Ok(None),
            Some(value) => match serde_json::from_str::<Key<'a>>(value.get()) {
                Ok(string) => Ok(Some(string.0)),
                Err(_) => Err(Damage::new(span(text, value.get()).start, format!("{name} is not a string"))),
            },
        }
    }

    /// A time; "never" and `null` count as absent.
    fn time(&self, text: &str, name: &str) -> Result<Option<Timestamp>, Damage> {
        let Some(string) = self.string(text, name)? else { return Ok(None) };
        if string == NEVER {
            return Ok(None);
        }
        let read = time::parse(&string).map(Some);
        read.ok_or_else(|| Damage::new(self.get(name).map_or(0, |value| span(text, value.get()).start), format!("{name} is not an RFC 3339 time")))
    }
}

/// A string that is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The keys whose repetition would make it unclear what the envelope says.
const KNOWN: &[&str] = &["message", "attempts", "last_attempt", "queued_at", "error", "id", "priority", "not_before", "expires", "lease"];

impl Element {
    /// Reads an element of an array that is known to be JSON.
    pub(crate) fn parse(bytes: Arc<[u8]>) -> Result<Self, Damage> {
        let text = std::str::from_utf8(&bytes).map_err(|error| Damage::new(error.valid_up_to(), "it is not UTF-8"))?;
        let bare = |id, priority| Self {
            text: Arc::clone(&bytes),
            payload: 0..bytes.len(),
            bare: true,
            id,
            priority,
            attempts: 0,
            queued_at: None,
            not_before: None,
            lease: None,
        };
        let Some(keys) = Keys::read(text)? else { return Ok(bare(None, Priority::Normal)) };
        let Some(message) = keys.get("message") else {
            let (id, priority) = own(Some(&keys));
            return Ok(bare(id, priority.unwrap_or_default()));
        };
        for name in KNOWN {
            if let Some((_, value)) = keys.0.iter().filter(|(key, _)| key == name).nth(1) {
                return Err(Damage::new(span(text, value.get()).start, format!("{name} stands twice in one envelope")));
            }
        }
        let (own_id, own_priority) = own(Keys::read(message.get())?.as_ref());
        let attempts = match keys.get("attempts") {
            None => 0,
            Some(value) => serde_json::from_str(value.get())
                .map_err(|_| Damage::new(span(text, value.get()).start, "attempts is not a whole number from 0"))?,
        };
        let lease = match keys.get("lease") {
            Some(value) if value.get() != "null" => {
                Some(Box::new(Lease::parse(value.get()).map_err(|rule| Damage::new(span(text, value.get()).start, rule))?))
            }
            _ => None,
        };
        keys.string(text, "error")?;
        keys.time(text, "last_attempt")?;
        keys.time(text, "expires")?;
        let id = keys.string(text, "id")?.filter(|id| !id.is_empty()).map(|id| Arc::from(&*id));
        Ok(Self {
            payload: span(text, message.get()),
            bare: false,
            id: id.or(own_id),
            priority: keys.string(text, "priority")?.map(|priority| Priority::of(&priority)).or(own_priority).unwrap_or_default(),
            attempts,
            queued_at: keys.time(text, "queued_at")?,
            not_before: keys.time(text, "not_before")?,
            lease,
            text: Arc::clone(&bytes),
        })
    }

    /// A new envelope. Keys that say nothing new are left out.
    pub(crate) fn compose(fresh: &Fresh<'_>) -> Result<Self, Damage> {
        let payload = std::str::from_utf8(fresh.payload).map_err(|error| Damage::new(error.valid_up_to(), "it is not UTF-8"))?.trim();
        let (own_id, own_priority) = own(Keys::read(payload)?.as_ref());
        let mut text = format!(
            "{{\"message\":{payload},\"attempts\":0,\"last_attempt\":\"{NEVER}\",\"queued_at\":\"{}\"",
            fresh.queued_at
        );
        let id = match (fresh.id, &own_id) {
            (Some(id), Some(own)) if id == &**own => None,
            (Some(id), _) => Some(id),
            (None, Some(_)) => None,
            (None, None) => Some(fresh.fresh_id),
        };
        let mut add = |key: &str, value: String| text.push_str(&format!(",\"{key}\":{value}"));
        if let Some(id) = id {
            add("id", quoted(id));
        }
        if let Some(priority) = fresh.priority.filter(|priority| *priority != own_priority.unwrap_or_default()) {
            add("priority", quoted(priority.name()));
        }
        if let Some(not_before) = fresh.not_before {
            add("not_before", quoted(&not_before.to_string()));
        }
        text.push('}');
        Self::parse(Arc::from(text.into_bytes()))
    }

    /// The same element with some keys changed. Order, unknown keys, untouched values and the element's own layout
    /// stay; new keys come last. A bare payload becomes the `message` of an envelope.
    pub(crate) fn edit(&self, edits: &[Edit<'_>]) -> Result<Self, Damage> {
        let text = std::str::from_utf8(&self.text).map_err(|error| Damage::new(error.valid_up_to(), "it is not UTF-8"))?;
        let keys = if self.bare { None } else { Keys::read(text)? };
        let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = match &keys {
            Some(keys) => keys.0.iter().map(|(key, value)| (Cow::Owned(quoted(key)), Cow::Borrowed(value.get()))).collect(),
            None => vec![(Cow::Borrowed("\"message\""), Cow::Borrowed(text))],
        };
        for (key, value) in edits {
            let key = quoted(key);
            let place = pairs.iter().position(|(known, _)| *known == key);
            match (place, value) {
                (Some(place), Some(value)) => {
                    if let Some(pair) = pairs.get_mut(place) {
                        pair.1 = Cow::Owned(value.clone());
                    }
                }
                (Some(place), None) => drop(pairs.remove(place)),
                (None, Some(value)) => pairs.push((Cow::Owned(key), Cow::Owned(value.clone()))),
                (None, None) => {}
            }
        }
        let (before_key, before_end, colon) = if self.bare { ("", "", ":") } else { layout(text) };
        let joined: Vec<String> = pairs.iter().map(|(key, value)| format!("{before_key}{key}{colon}{value}")).collect();
        Self::parse(Arc::from(format!("{{{}{before_end}}}", joined.join(",")).into_bytes()))
    }

    pub(crate) fn text(&self) -> &Arc<[u8]> {
        &self.text
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.text.get(self.payload.clone()).unwrap_or_default()
    }

    pub(crate) fn id(&self) -> Option<&Arc<str>> {
        self.id.as_ref()
    }

    pub(crate) fn priority(&self) -> Priority {
        self.priority
    }

    pub(crate) fn attempts(&self) -> u64 {
        self.attempts
    }

    pub(crate) fn queued_at(&self) -> Option<Timestamp> {
        self.queued_at
    }

    pub(crate) fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.lease.as_deref()
    }

    /// Reads what is not kept, because only people look at it.
    pub(crate) fn texts(&self) -> Texts {
        let Ok(text) = std::str::from_utf8(&self.text) else { return Texts::default() };
        let keys = match Keys::read(text) {
            Ok(Some(keys)) if !self.bare => keys,
            _ => return Texts::default(),
        };
        let read = |name: &str| keys.string(text, name).ok().flatten().filter(|string| string != NEVER).map(Cow::into_owned);
        Texts { error: read("error"), queued_at: read("queued_at"), last_attempt: read("last_attempt"), not_before: read("not_before") }
    }
}

/// What a payload says of itself: its string `id` and `priority`. Anything else there is not flockq's business.
fn own(keys: Option<&Keys<'_>>) -> (Option<Arc<str>>, Option<Priority>) {
    let read = |name: &str| {
        let value = keys?.get(name)?;
        serde_json::from_str::<Key<'_>>(value.get()).ok().map(|string| string.0)
    };
    let id = read("id").filter(|id| !id.is_empty()).map(|id| Arc::from(&*id));
    (id, read("priority").map(|priority| Priority::of(&priority)))
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// How the element is laid out: what stands before a key, before the closing brace, and between key and value.
fn layout(text: &str) -> (&str, &str, &'static str) {
    let blank = |part: &str| part.len() - part.trim_start_matches([' ', '\t', '\r', '\n']).len();
    let inside = text.get(1..text.len() - 1).unwrap_or_default();
    let before_key = inside.get(..blank(inside)).unwrap_or_default();
    let end = inside.trim_end_matches([' ', '\t', '\r', '\n']).len();
    let before_end = if before_key.len() == inside.len() { "" } else { inside.get(end..).unwrap_or_default() };
    let spaced = before_key.contains('\n');
    (before_key, before_end, if spaced { ": " } else { ":" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element(text: &str) -> Element {
        Element::parse(Arc::from(text.as_bytes())).unwrap()
    }

    fn text(element: &Element) -> &str {
        std::str::from_utf8(element.text()).unwrap()
    }

    fn compose(payload: &str, id: Option<&str>, priority: Option<Priority>) -> String {
        let fresh = Fresh {
            payload: payload.as_bytes(),
            id,
            fresh_id: "fresh",
            priority,
            queued_at: "2026-02-03T09:00:00Z".parse().unwrap(),
            not_before: None,
        };
        text(&Element::compose(&fresh).unwrap()).to_owned()
    }

    const PLAIN: &str = r#","attempts":0,"last_attempt":"0001-01-01T00:00:00Z","queued_at":"2026-02-03T09:00:00Z""#;

    #[test]
    fn a_plain_mail_message_gets_only_the_keys_that_existing_programs_know() {
        assert_eq!(compose(r#"{"id":"a"}"#, None, None), format!(r#"{{"message":{{"id":"a"}}{PLAIN}}}"#));
        assert_eq!(compose(r#"{"id":"a"}"#, Some("a"), None), format!(r#"{{"message":{{"id":"a"}}{PLAIN}}}"#));
    }

    #[test]
    fn keys_are_added_only_when_they_say_something_new() {
        assert_eq!(compose("7", None, None), format!(r#"{{"message":7{PLAIN},"id":"fresh"}}"#));
        assert_eq!(compose(r#"{"id":"a"}"#, Some("b\""), None), format!(r#"{{"message":{{"id":"a"}}{PLAIN},"id":"b\""}}"#));
        let high = r#"{"id":"a","priority":"high"}"#;
        assert_eq!(compose(high, None, Some(Priority::High)), format!(r#"{{"message":{high}{PLAIN}}}"#));
        assert_eq!(compose(high, None, Some(Priority::Low)), format!(r#"{{"message":{high}{PLAIN},"priority":"low"}}"#));
    }

    #[test]
    fn an_unknown_priority_ranks_as_normal_and_stays_as_it_is() {
        let odd = element(r#"{"message":{"priority":"whenever","id":"a"}}"#);
        assert_eq!(odd.priority(), Priority::Normal);
        assert_eq!(element(r#"{"message":{"priority":7}}"#).priority(), Priority::Normal);
        assert!(text(&odd.edit(&[("attempts", Some("1".into()))]).unwrap()).contains("whenever"));
    }

    #[test]
    fn an_edit_keeps_order_layout_unknown_keys_and_every_other_byte() {
        let pretty = "{\n    \"message\": {\n      \"n\": 1e-7, \"big\": 123456789012345678901234567890, \"e\": \"\\u003c\"\n    },\n    \"x\": 1.50,\n    \"attempts\": 0\n  }";
        let edited = element(pretty).edit(&[("attempts", Some("1".into())), ("error", Some("\"no\"".into()))]).unwrap();
        assert_eq!(text(&edited), pretty.replace("\"attempts\": 0", "\"attempts\": 1,\n    \"error\": \"no\""));
        let back = edited.edit(&[("error", None), ("attempts", Some("0".into()))]).unwrap();
        assert_eq!(text(&back), pretty);
    }

    #[test]
    fn a_bare_payload_becomes_an_envelope_around_the_same_bytes() {
        for payload in ["7", "null", "\"text\"", "{ \"to\" : \"x\" }", "[1,\n2]"] {
            let edited = element(payload).edit(&[("attempts", Some("1".into()))]).unwrap();
            assert_eq!(text(&edited), format!("{{\"message\":{payload},\"attempts\":1}}"));
            assert_eq!(edited.payload(), payload.as_bytes());
        }
    }

    #[test]
    fn envelopes_of_a_wrong_shape_are_damage_with_the_key_and_the_place() {
        for (envelope, offset, key) in [
            (r#"{"message":1,"attempts":"2"}"#, 24, "attempts"),
            (r#"{"message":1,"attempts":-1}"#, 24, "attempts"),
            (r#"{"message":1,"attempts":1.5}"#, 24, "attempts"),
            (r#"{"message":1,"queued_at":7}"#, 25, "queued_at"),
            (r#"{"message":1,"last_attempt":"soon"}"#, 28, "last_attempt"),
            (r#"{"message":1,"not_before":"soon"}"#, 26, "not_before"),
            (r#"{"message":1,"expires":[]}"#, 23, "expires"),
            (r#"{"message":1,"error":{}}"#, 21, "error"),
            (r#"{"message":1,"id":1}"#, 18, "id"),
            (r#"{"message":1,"priority":1}"#, 24, "priority"),
            (r#"{"message":1,"lease":1}"#, 21, "lease"),
            (r#"{"message":1,"message":2}"#, 23, "message"),
        ] {
            let damage = Element::parse(Arc::from(envelope.as_bytes())).unwrap_err();
            assert_eq!(damage.offset, offset, "{envelope}: {damage:?}");
            assert!(damage.rule.contains(key), "{envelope}: {damage:?}");
        }
        // Without the key `message` it is a payload, whose shape is its own.
        assert!(element(r#"{"attempts":"2"}"#).bare);
        assert_eq!(element(r#"{"message":1,"error":null,"id":null,"lease":null}"#).id(), None);
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![Just("null".to_owned()), "-?[1-9][0-9]{0,30}", "[0-9]\\.[0-9]{1,3}[eE]-?[0-9]", "\"[ a-z<&]{0,8}\"", Just("\"\\u003c\\n\"".to_owned())];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" , "))),
                proptest::collection::vec(("[a-z]{1,4}", inner), 0..4)
                    .prop_map(|pairs| format!("{{{}}}", pairs.iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect::<Vec<_>>().join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn payload_bytes_survive_every_edit(payload in json(), attempts in 0u64..9, error in "\\PC{0,9}") {
            let fresh = Fresh { payload: payload.as_bytes(), id: Some("i"), fresh_id: "f", priority: None, queued_at: Timestamp::UNIX_EPOCH, not_before: None };
            let composed = Element::compose(&fresh).unwrap();
            prop_assert_eq!(composed.payload(), payload.as_bytes());
            let edited = composed.edit(&[("attempts", Some(attempts.to_string())), ("error", Some(quoted(&error)))]).unwrap();
            prop_assert_eq!(edited.payload(), payload.as_bytes());
            prop_assert_eq!(edited.texts().error.unwrap(), error);
            let bare = Element::parse(Arc::from(payload.as_bytes())).unwrap();
            if bare.bare {
                let wrapped = bare.edit(&[("attempts", Some(attempts.to_string()))]).unwrap();
                prop_assert_eq!(wrapped.payload(), payload.as_bytes());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Element::parse(Arc::from(bytes));
        }
    }
}
