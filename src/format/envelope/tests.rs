//! What an edit keeps, what an envelope may be.

use super::*;
use crate::format::name::QueueName;
use crate::format::transit::Way;
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
        spare_id: &|| "fresh".to_owned(),
        priority,
        queued_at: "2026-02-03T09:00:00Z".parse().unwrap(),
        not_before: None,
        expires: None,
    };
    let composed = Element::compose(&fresh).unwrap();
    assert_eq!(
        composed,
        Element::parse_with_care(Arc::clone(composed.text())).unwrap()
    );
    text(&composed).to_owned()
}

const PLAIN: &str =
    r#","attempts":0,"last_attempt":"0001-01-01T00:00:00Z","queued_at":"2026-02-03T09:00:00Z""#;

#[test]
fn a_plain_mail_message_gets_only_the_keys_that_existing_programs_know() {
    assert_eq!(
        compose(r#"{"id":"a"}"#, None, None),
        format!(r#"{{"message":{{"id":"a"}}{PLAIN}}}"#)
    );
    assert_eq!(
        compose(r#"{"id":"a"}"#, Some("a"), None),
        format!(r#"{{"message":{{"id":"a"}}{PLAIN}}}"#)
    );
}

#[test]
fn keys_are_added_only_when_they_say_something_new() {
    assert_eq!(
        compose("7", None, None),
        format!(r#"{{"message":7{PLAIN},"id":"fresh"}}"#)
    );
    assert_eq!(
        compose(r#"{"id":"a"}"#, Some("b\""), None),
        format!(r#"{{"message":{{"id":"a"}}{PLAIN},"id":"b\""}}"#)
    );
    let high = r#"{"id":"a","priority":"high"}"#;
    assert_eq!(
        compose(high, None, Some(Priority::High)),
        format!(r#"{{"message":{high}{PLAIN}}}"#)
    );
    assert_eq!(
        compose(high, None, Some(Priority::Low)),
        format!(r#"{{"message":{high}{PLAIN},"priority":"low"}}"#)
    );
}

#[test]
fn an_unknown_priority_ranks_as_normal_and_stays_as_it_is() {
    let odd = element(r#"{"message":{"priority":"whenever","id":"a"}}"#);
    assert_eq!(odd.priority(), Priority::Normal);
    assert_eq!(
        element(r#"{"message":{"priority":7}}"#).priority(),
        Priority::Normal
    );
    assert!(text(&odd.edit(&[Edit::Attempts(1)]).unwrap()).contains("whenever"));
}

#[test]
fn an_edit_keeps_order_layout_unknown_keys_and_every_other_byte() {
    let pretty = "{\n    \"message\": {\n      \"n\": 1e-7, \"big\": 123456789012345678901234567890, \"e\": \"\\u003c\"\n    },\n    \"x\": 1.50,\n    \"attempts\": 0\n  }";
    let edited = element(pretty)
        .edit(&[Edit::Attempts(1), Edit::Error("no")])
        .unwrap();
    assert_eq!(
        text(&edited),
        pretty.replace("\"attempts\": 0", "\"attempts\": 1,\n    \"error\": \"no\"")
    );
    let back = edited.edit(&[Edit::Attempts(0)]).unwrap();
    assert_eq!(text(&back).replace(",\n    \"error\": \"no\"", ""), pretty);
}

#[test]
fn an_edit_changes_the_values_that_it_names_and_no_other_byte() {
    let python =
        r#"{"message": {"b": 1,"a" : 2}, "\u0061ttempts" : 0, "\/x": [ ], "lease" :null , "y":1}"#;
    let edits = [Edit::Attempts(1), Edit::Lease(None), Edit::Error("no")];
    let expected =
        r#"{"message": {"b": 1,"a" : 2}, "\u0061ttempts" : 1, "\/x": [ ] , "y":1, "error": "no"}"#;
    assert_eq!(text(&element(python).edit(&edits).unwrap()), expected);
    let first = element(r#"{ "lease":null, "message":1 }"#)
        .edit(&[Edit::Lease(None), Edit::Id("i")])
        .unwrap();
    assert_eq!(text(&first), r#"{ "message":1, "id":"i" }"#);
    let alone = element("{\n\t\"message\": 1\n}")
        .edit(&[Edit::Attempts(1)])
        .unwrap();
    assert_eq!(text(&alone), "{\n\t\"message\": 1,\n\t\"attempts\": 1\n}");
}

fn rewritten(envelope: &str, payload: Option<&str>, priority: Option<Priority>) -> String {
    let rewrite = Rewrite {
        payload: payload.map(str::as_bytes),
        priority,
        ..Rewrite::default()
    };
    let before = element(envelope);
    let after = before.rewrite(&rewrite).unwrap();
    assert_eq!(after.id(), before.id());
    text(&after).to_owned()
}

#[test]
fn another_payload_or_priority_leaves_every_other_byte_and_the_id() {
    let pretty = "{\n  \"message\": {\"id\": \"a\", \"priority\": \"low\"},\n  \"x\": 1.50\n}";
    let with = |payload: &str| pretty.replace("{\"id\": \"a\", \"priority\": \"low\"}", payload);
    let other = rewritten(pretty, Some(" {\"id\":\"a\", \"n\":1e-7}\n"), None);
    assert_eq!(other, with("{\"id\":\"a\", \"n\":1e-7}"));
    let named = |payload: &str| with(payload).replace("1.50", "1.50,\n  \"id\": \"a\"");
    for payload in ["7", "{\"id\":\"b\"}", "{\"id\":\"\"}", "null"] {
        assert_eq!(rewritten(pretty, Some(payload), None), named(payload));
    }
    let high = rewritten(pretty, None, Some(Priority::High));
    assert_eq!(
        high,
        pretty.replace("1.50", "1.50,\n  \"priority\": \"high\"")
    );
    // What says nothing new is taken away.
    assert_eq!(rewritten(&high, None, Some(Priority::Low)), pretty);
    // One that it was given it keeps; one that it has from its payload it has from the other.
    let priority = |text: &str| element(text).priority();
    assert_eq!(priority(&rewritten(&high, Some("1"), None)), Priority::High);
    assert_eq!(
        priority(&rewritten(pretty, Some("1"), None)),
        Priority::Normal
    );
    let bare = rewritten("{\"id\":\"a\"}", Some("1"), Some(Priority::Low));
    assert_eq!(bare, r#"{"message":1,"priority":"low","id":"a"}"#);
}

#[test]
fn a_time_is_set_or_taken_away() {
    let at: Timestamp = "2026-02-03T09:00:00Z".parse().unwrap();
    let rewrite = Rewrite {
        times: vec![Edit::NotBefore(Some(at)), Edit::Expires(Some(at))],
        ..Rewrite::default()
    };
    let before = element(r#"{"message":1,"id":"a"}"#);
    let set = before.rewrite(&rewrite).unwrap();
    assert_eq!((set.not_before(), set.expires()), (Some(at), Some(at)));
    let taken = Rewrite {
        times: vec![Edit::NotBefore(None), Edit::Expires(None)],
        ..Rewrite::default()
    };
    assert_eq!(set.rewrite(&taken).unwrap(), before);
    let bare = element("[ 1 ]");
    assert_eq!(bare.rewrite(&taken).unwrap(), bare);
    assert!(taken.is_around() && !taken.is_nothing() && Rewrite::default().is_nothing());
}

#[test]
fn a_bare_payload_becomes_an_envelope_around_the_same_bytes() {
    for payload in ["7", "null", "\"text\"", "{ \"to\" : \"x\" }", "[1,\n2]"] {
        let edited = element(payload).edit(&[Edit::Attempts(1)]).unwrap();
        assert_eq!(
            text(&edited),
            format!("{{\"message\":{payload},\"attempts\":1}}")
        );
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
    assert_eq!(
        element(r#"{"message":1,"attempts":null,"queued_at":null}"#).attempts(),
        0
    );
    // Without the key `message` it is a payload, whose shape is its own.
    assert!(element(r#"{"attempts":"2"}"#).bare);
    assert_eq!(
        element(r#"{"message":1,"error":null,"id":null,"lease":null}"#).id(),
        None
    );
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        "-?[1-9][0-9]{0,30}",
        "[0-9]\\.[0-9]{1,3}[eE]-?[0-9]",
        "\"[ a-z<&]{0,8}\"",
        Just("\"\\u003c\\n\"".to_owned())
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(" , "))),
            proptest::collection::vec(("[a-z]{1,4}", inner), 0..4).prop_map(|pairs| format!(
                "{{{}}}",
                pairs
                    .iter()
                    .map(|(key, value)| format!("\"{key}\" : {value}"))
                    .collect::<Vec<_>>()
                    .join(",")
            )),
        ]
    })
}

fn priorities() -> impl Strategy<Value = Option<Priority>> {
    proptest::option::of(proptest::sample::select(
        &[
            Priority::Urgent,
            Priority::High,
            Priority::Normal,
            Priority::Low,
        ][..],
    ))
}

proptest! {
    #[test]
    fn payload_bytes_survive_every_edit(payload in json(), priority in priorities(), attempts in 0u64..9, error in "\\PC{0,9}") {
        let fresh = Fresh { payload: payload.as_bytes(), id: Some("i"), spare_id: &|| "f".to_owned(), priority, queued_at: Timestamp::UNIX_EPOCH, not_before: None, expires: None };
        let composed = Element::compose(&fresh).unwrap();
        prop_assert_eq!(composed.payload(), payload.as_bytes());
        prop_assert_eq!(&Element::parse_with_care(Arc::clone(composed.text())).unwrap(), &composed);
        let edited = composed.edit(&[Edit::Attempts(attempts), Edit::Error(&error)]).unwrap();
        prop_assert_eq!(edited.payload(), payload.as_bytes());
        prop_assert_eq!(edited.texts().error, Some(error.clone()));
        // What was known before the edit and what is read after it are the same.
        let bare = Element::parse(Arc::from(payload.as_bytes())).unwrap();
        let held = Held { random: 7, boot: Arc::from("b"), until_boot_ms: 8, until: Timestamp::UNIX_EPOCH, consumer: Some(Arc::from(error.as_str())) };
        let lease = Lease { token: 9, held: Some(held) };
        let transit = Transit { id: "m1".to_owned(), way: Way::To, queue: QueueName::parse("other").unwrap() };
        let later = Timestamp::from_second(5).ok();
        let changes = vec![
            vec![Edit::Attempts(3), Edit::LastAttempt(Timestamp::UNIX_EPOCH), Edit::Lease(Some(lease))],
            vec![Edit::Lease(Some(Lease { token: 9, held: None })), Edit::NotBefore(later), Edit::Errors("[]".to_owned())],
            vec![Edit::NotBefore(time::parse(NEVER)), Edit::Expires(later), Edit::From(Some("other".into()))],
            vec![Edit::Move(Some(transit)), Edit::Expires(None), Edit::NotBefore(None)],
            vec![Edit::Move(None), Edit::From(None), Edit::Lease(None), Edit::Id("new")],
        ];
        for before in [composed, edited, bare] {
            let mut element = before;
            for edits in &changes {
                element = element.edit(edits).unwrap();
                prop_assert_eq!(&Element::parse_with_care(Arc::clone(element.text())).unwrap(), &element);
                prop_assert_eq!(&Element::parse(Arc::clone(element.text())).unwrap(), &element);
            }
        }
        let bare = Element::parse(Arc::from(payload.as_bytes())).unwrap();
        if bare.bare {
            let wrapped = bare.edit(&[Edit::Attempts(attempts)]).unwrap();
            prop_assert_eq!(wrapped.payload(), payload.as_bytes());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Element::parse(Arc::from(bytes));
    }
}

#[test]
fn the_examples_of_the_format_page_are_what_is_read_and_written() {
    let page = include_str!("../../../docs/format.md");
    let example = |start: &str| {
        let line = page
            .lines()
            .find(|line| line.trim_start().starts_with(start));
        line.unwrap().trim().to_owned()
    };
    let sent = example("{\"message\"");
    assert_eq!(
        sent.replace("17:00:01.535Z", "09:00:00Z"),
        compose(r#"{"id":"m1","to":"deacon/"}"#, None, None)
    );
    let lease = example("\"lease\":");
    let envelope = element(&format!("{{\"message\":1,{lease}}}"));
    let written = envelope.lease().unwrap().text();
    assert_eq!(format!("\"lease\":{written}"), lease);
}

/// A key that the fast reader does not know would be read by the careful one alone.
#[test]
fn both_readers_know_the_same_keys() {
    for key in KNOWN {
        let text = format!(r#"{{"message":1,"{key}":{{}}}}"#);
        assert!(outline::of(text.as_bytes()).is_none(), "{text}");
    }
    assert!(outline::of(br#"{"message":1,"mine":{}}"#).is_some());
}
