//! Moves that cannot be brought to their end: the message stays as it was, and nobody else is told of it. On the store in memory.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::store::fault::FaultStore;
use crate::{ErrorKind, Filter, LockWait, Message, Nack, Queue, Receive, Spool, Sync};

/// A spool in which `one` and `two` send what is over to `dead`, and what failed to `retry`, for 10 seconds.
fn spool(store: &FaultStore) -> Spool {
    store.put("flockq.json", br#"{"version":1}"#);
    let spool = open(store);
    for queue in ["one", "two"] {
        for (key, value) in [
            ("attempts", "2"),
            ("backoff", "10s"),
            ("retry_queue", "retry"),
            ("dead_letter_queue", "dead"),
        ] {
            spool.set_config(&format!("{queue}.{key}"), value).unwrap();
        }
    }
    for queue in ["one", "two", "retry", "dead", "other"] {
        // Each has a journal.
        spool.queue(queue).unwrap().send(&json!("there")).unwrap();
        spool.queue(queue).unwrap().purge(None).unwrap();
    }
    spool
}

fn open(store: &FaultStore) -> Spool {
    let builder = Spool::builder("unused")
        .sync(Sync::Full)
        .lock_wait(LockWait::NoWait);
    builder.open_on(Arc::new(store.clone())).unwrap()
}

/// From now on nothing can be written to this queue, or to none.
fn refuse(store: &FaultStore, queue: Option<&str>) {
    store.refuse_writes(
        queue
            .map(|queue| format!("{queue}.json.journal"))
            .as_deref(),
    );
}

fn text(queue: &Queue) -> String {
    let found = queue.get("m1").unwrap().remove(0);
    String::from_utf8_lossy(found.text()).into_owned()
}

/// Whether there is nothing to be received.
fn is_bare(queue: &Queue) -> bool {
    queue.receive(Receive::new()).unwrap().is_none()
}

/// Fails as often as that takes.
fn give_up(store: &FaultStore, queue: &Queue) {
    for _ in 0..2 {
        let delivery = queue.receive(Receive::new().detached()).unwrap().unwrap();
        delivery.nack(&Nack::new().error("no session")).unwrap();
        store.pass(11_000);
    }
    assert!(is_bare(queue));
}

#[test]
fn what_has_expired_and_cannot_be_moved_is_not_delivered() {
    let store = FaultStore::new();
    let spool = spool(&store);
    let (one, dead) = (spool.queue("one").unwrap(), spool.queue("dead").unwrap());
    let message = Message::new(&json!({"id": "m1"})).ttl(Duration::from_secs(5));
    one.send(message).unwrap();
    store.pass(6_000);
    refuse(&store, Some("dead"));
    for _ in 0..3 {
        assert!(one.pop().unwrap().is_none());
        assert!(text(&one).contains("\"expires\""), "{}", text(&one));
        store.pass(11_000);
    }
    refuse(&store, None);
    assert!(one.pop().unwrap().is_none());
    let found = dead.get("m1").unwrap().remove(0);
    assert!(found.error().unwrap().starts_with("its time to live ended"));
}

#[test]
fn what_is_not_redriven_can_be_redriven_later() {
    let store = FaultStore::new();
    let spool = spool(&store);
    let (one, dead) = (spool.queue("one").unwrap(), spool.queue("dead").unwrap());
    one.send(&json!({"id": "m1"})).unwrap();
    give_up(&store, &one);
    let before = text(&dead);
    refuse(&store, Some("one"));
    let error = dead.redrive(&Filter::new(), false).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENOSPC), "{error}");
    assert!(error.to_string().contains("stay in queue dead"), "{error}");
    assert!(text(&dead).contains("\"from\":\"one\""), "{before}");
    refuse(&store, Some("other"));
    let error = dead.move_to("other", &Filter::new()).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENOSPC), "{error}");
    refuse(&store, None);
    let redriven = dead.redrive(&Filter::new(), false).unwrap();
    assert_eq!((redriven.len(), redriven[0].to.as_str()), (1, "one"));
    assert!(text(&one).contains("\"attempts\":0"), "{}", text(&one));
}

#[test]
fn what_cannot_be_brought_back_is_brought_to_nobody_else_and_not_tried_all_the_time() {
    let store = FaultStore::new();
    let spool = spool(&store);
    let (one, two) = (spool.queue("one").unwrap(), spool.queue("two").unwrap());
    one.send(&json!({"id": "m1"})).unwrap();
    let delivery = one.receive(Receive::new()).unwrap().unwrap();
    delivery.nack(&Nack::new().error("no session")).unwrap();
    store.pass(11_000);
    refuse(&store, Some("one"));
    assert!(is_bare(&one));
    refuse(&store, None);
    assert!(is_bare(&two));
    store.forget_effects();
    assert!(is_bare(&one));
    let written = |effect: &&String| effect.starts_with("write retry");
    assert_eq!(store.effects().iter().filter(written).count(), 0);
    store.pass(11_000);
    assert!(is_bare(&two));
    assert_eq!(one.receive(Receive::new()).unwrap().unwrap().attempts(), 2);
}

/// Somebody was killed in the middle of a move, and its other queue was damaged since.
#[test]
fn nobody_hears_of_a_move_of_somebody_else_that_is_stuck() {
    let store = FaultStore::new();
    let spool = spool(&store);
    store.put("archive.json", b"no array");
    store.put(
        "plain.json",
        br#"[{"message":{"id":"stuck"},"move":{"id":"x","to":"archive"}},
            {"message":{"id":"m1"}},{"message":{"id":"m2"}}]"#,
    );
    spool.set_config("plain.retry_queue", "retry").unwrap();
    let plain = spool.queue("plain").unwrap();
    let delivery = plain.receive(Receive::new()).unwrap().unwrap();
    assert_eq!(delivery.id(), "m1");
    delivery.nack(&Nack::new().error("no session")).unwrap();
    assert_eq!(spool.queue("retry").unwrap().get("m1").unwrap().len(), 1);
    assert_eq!(plain.move_to("other", &Filter::new()).unwrap(), ["m2"]);
    assert_eq!(spool.queue("other").unwrap().get("m2").unwrap().len(), 1);
    let error = plain.move_to("archive", &Filter::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

/// Somebody was killed in a move the other way. Whatever fails then: who hears that his message stays finds it where it was.
#[test]
fn nobody_hears_of_a_move_of_somebody_else_the_other_way() {
    for later in ["a-later", "z-later"] {
        let mut heard = 0;
        for number in 0..60 {
            let store = FaultStore::new();
            let spool = spool(&store);
            let stuck = br#"[{"message":{"id":"stuck"},"move":{"id":"x","to":"one"}}]"#;
            store.put(&format!("{later}.json"), stuck);
            spool.set_config("one.retry_queue", later).unwrap();
            let one = spool.queue("one").unwrap();
            one.send(&json!({"id": "m1"})).unwrap();
            let delivery = one.receive(Receive::new()).unwrap().unwrap();
            store.fail(number, libc::ENOSPC);
            let told = delivery.nack(&Nack::new().error("no session"));
            store.heal();
            let file = store.content(&format!("{later}.json")).unwrap();
            let there: Vec<Value> = serde_json::from_slice(&file).unwrap();
            let is_there = |one: &Value| one["message"]["id"] == "m1" && one["move"].is_null();
            let has_arrived = there.iter().any(is_there);
            if let Err(error) = &told {
                heard += 1;
                // It is there, and may not outlive a power cut.
                let is_synced = !error.to_string().contains("cannot sync");
                let is_known = error.kind() != ErrorKind::OutcomeUnknown && is_synced;
                assert!(!is_known || !has_arrived, "{number}: {error}");
            }
        }
        assert!(heard > 3, "{heard}");
    }
}
