//! One element of the array: an envelope, or a bare payload.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::Damage;
use super::json::check_bare;
use super::lease::Lease;
use super::object::{Object, string};
pub(crate) use super::object::{Edit, quoted};
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

/// A new message.
#[derive(Debug)]
pub(crate) struct Fresh<'a> {
    pub(crate) payload: &'a [u8],
    /// The id that was asked for.
    pub(crate) id: Option<&'a str>,
    /// The id to give when neither the caller nor the payload has one.
    pub(crate) spare_id: &'a str,
    pub(crate) priority: Option<Priority>,
    pub(crate) queued_at: Timestamp,
    pub(crate) not_before: Option<Timestamp>,
}

/// An envelope's keys, read by what they must be. `null` counts as absent.
struct Keys<'a, 'o>(&'o Object<'a>);

impl<'a> Keys<'a, '_> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).filter(|value| *value != "null")
    }

    /// The damage of a key's value.
    fn wrong(&self, name: &str, rule: &str) -> Damage {
        Damage::new(self.0.place(name).map_or(0, |place| place.start), format!("{name} {rule}"))
    }

    fn string(&self, name: &str) -> Result<Option<Cow<'a, str>>, Damage> {
        let Some(value) = self.get(name) else { return Ok(None) };
        string(value).map(Some).ok_or_else(|| self.wrong(name, "is not a string"))
    }

    /// A time; "never" counts as absent.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, Damage> {
        let Some(text) = self.string(name)? else { return Ok(None) };
        if text == NEVER {
            return Ok(None);
        }
        let time = time::parse(&text).ok_or_else(|| self.wrong(name, "is not an RFC 3339 time"))?;
        Ok((!time::is_never(time)).then_some(time))
    }
}

/// The keys whose repetition would make it unclear what the envelope says.
const KNOWN: &[&str] = &["message", "attempts", "last_attempt", "queued_at", "error", "id", "priority", "not_before", "expires", "lease"];

impl Element {
    /// Reads an element of an array that is known to be JSON.
    pub(crate) fn parse(bytes: Arc<[u8]>) -> Result<Self, Damage> {
        let text = utf8(&bytes)?;
        let object = Object::read(text)?;
        let Some((object, message)) = object.as_ref().and_then(|object| Some((object, object.place("message")?))) else {
            check_bare(&bytes)?;
            let (id, priority) = own(object.as_ref());
            let (payload, priority) = (0..bytes.len(), priority.unwrap_or_default());
            let text = bytes;
            return Ok(Self { text, payload, bare: true, id, priority, attempts: 0, queued_at: None, not_before: None, lease: None });
        };
        if let Some((name, place)) = object.twice(KNOWN) {
            return Err(Damage::new(place, format!("{name} stands twice in one envelope")));
        }
        let (own_id, own_priority) = own(Object::read(text.get(message.clone()).unwrap_or_default())?.as_ref());
        let keys = Keys(object);
        let attempts = keys.get("attempts").map_or(Ok(0), str::parse).map_err(|_| keys.wrong("attempts", "is not a whole number from 0"))?;
        let lease = keys.get("lease").map(Lease::parse).transpose();
        let lease = lease.map_err(|rule| Damage::new(object.place("lease").map_or(0, |place| place.start), rule))?;
        keys.string("error")?;
        keys.time("last_attempt")?;
        keys.time("expires")?;
        let id = keys.string("id")?.filter(|id| !id.is_empty()).map(|id| Arc::from(&*id));
        let priority = keys.string("priority")?.map(|priority| Priority::of(&priority));
        let (queued_at, not_before) = (keys.time("queued_at")?, keys.time("not_before")?);
        Ok(Self {
            payload: message,
            bare: false,
            id: id.or(own_id),
            priority: priority.or(own_priority).unwrap_or_default(),
            attempts,
            queued_at,
            not_before,
            lease: lease.map(Box::new),
            text: bytes,
        })
    }

    /// A new envelope. Keys that say nothing new are left out.
    pub(crate) fn compose(fresh: &Fresh<'_>) -> Result<Self, Damage> {
        let payload = utf8(fresh.payload)?.trim();
        let (own_id, own_priority) = own(Object::read(payload)?.as_ref());
        let mut text = format!(
            "{{\"message\":{payload},\"attempts\":0,\"last_attempt\":\"{NEVER}\",\"queued_at\":\"{}\"",
            fresh.queued_at
        );
        let id = match (fresh.id, &own_id) {
            (Some(id), Some(own)) if id == &**own => None,
            (Some(id), _) => Some(id),
            (None, Some(_)) => None,
            (None, None) => Some(fresh.spare_id),
        };
        let mut add = |key: &str, value: String| text.extend([",", &quoted(key), ":", &value]);
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

    /// The same element with some keys changed; every other byte stays (INV-3). A bare payload becomes the
    /// `message` of an envelope.
    pub(crate) fn edit(&self, edits: &[Edit<'_>]) -> Result<Self, Damage> {
        let text = utf8(&self.text)?;
        let edited = if self.bare {
            let wrapped = format!("{{\"message\":{text}}}");
            Object::read(&wrapped)?.map(|object| object.edit(edits))
        } else {
            Object::read(text)?.map(|object| object.edit(edits))
        };
        Self::parse(Arc::from(edited.unwrap_or_default().into_bytes()))
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
        let object = utf8(&self.text).and_then(Object::read).ok().flatten();
        let Some(object) = object.filter(|_| !self.bare) else { return Texts::default() };
        let keys = Keys(&object);
        let read = |name: &str| keys.string(name).ok().flatten().map(Cow::into_owned);
        let time = |name: &str| keys.time(name).ok().flatten().and_then(|_| read(name));
        Texts { error: read("error"), queued_at: time("queued_at"), last_attempt: time("last_attempt"), not_before: time("not_before") }
    }
}

/// What a payload says of itself: its string `id` and `priority`. Anything else there is not flockq's business.
fn own(payload: Option<&Object<'_>>) -> (Option<Arc<str>>, Option<Priority>) {
    let read = |name: &str| string(payload?.get(name)?);
    let id = read("id").filter(|id| !id.is_empty()).map(|id| Arc::from(&*id));
    (id, read("priority").map(|priority| Priority::of(&priority)))
}

fn utf8(bytes: &[u8]) -> Result<&str, Damage> {
    std::str::from_utf8(bytes).map_err(|error| Damage::new(error.valid_up_to(), "it is not UTF-8"))
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
            spare_id: "fresh",
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
    fn an_edit_changes_the_values_that_it_names_and_no_other_byte() {
        let python = r#"{"message": {"b": 1,"a" : 2}, "\u0061ttempts" : 0, "\/x": [ ], "lease" :null , "y":1}"#;
        let edits = [("attempts", Some("1".into())), ("lease", None), ("error", Some("\"no\"".into()))];
        let expected = r#"{"message": {"b": 1,"a" : 2}, "\u0061ttempts" : 1, "\/x": [ ] , "y":1, "error": "no"}"#;
        assert_eq!(text(&element(python).edit(&edits).unwrap()), expected);
        let first = element(r#"{ "lease":null, "message":1 }"#).edit(&[("lease", None), ("id", Some("\"i\"".into()))]).unwrap();
        assert_eq!(text(&first), r#"{ "message":1, "id":"i" }"#);
        let alone = element("{\n\t\"message\": 1\n}").edit(&[("attempts", Some("1".into()))]).unwrap();
        assert_eq!(text(&alone), "{\n\t\"message\": 1,\n\t\"attempts\": 1\n}");
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
        assert_eq!(element(r#"{"message":1,"attempts":null,"queued_at":null}"#).attempts(), 0);
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
            let fresh = Fresh { payload: payload.as_bytes(), id: Some("i"), spare_id: "f", priority: None, queued_at: Timestamp::UNIX_EPOCH, not_before: None };
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
