//! What is tried no more: where it goes, what it says of itself, and that it is in nobody's way when it cannot go there. On the
//! store in memory.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::store::fault::FaultStore;
use crate::{
    Envelope, ErrorKind, Filter, LockWait, Message, Nack, Priority, Queue, Receive, Spool, Sync,
};

/// A mail spool that gives a message up after its first attempt.
fn spool(store: &FaultStore) -> Spool {
    store.put("flockq.json", br#"{"version":1}"#);
    let spool = open(store);
    spool.adopt_mail().unwrap();
    spool.set_config("inbound.attempts", "1").unwrap();
    spool
}

fn open(store: &FaultStore) -> Spool {
    let builder = Spool::builder("unused")
        .sync(Sync::Full)
        .lock_wait(LockWait::NoWait);
    builder.open_on(Arc::new(store.clone())).unwrap()
}

fn fail(queue: &Queue, nack: &Nack) -> crate::Result<()> {
    let how = Receive::new().detached();
    queue.receive(how).unwrap().unwrap().nack(nack)
}

fn only(queue: &Queue) -> Envelope {
    queue.get("m1").unwrap().remove(0)
}

/// Its consumer died, as far as anybody can see.
fn take_and_forget(store: &FaultStore, queue: &Queue) {
    let how = Receive::new().lease(Duration::from_secs(1)).detached();
    queue.receive(how).unwrap().unwrap();
    store.pass(2000);
}

/// Neither what was said when it was sent nor what is said when it is given back holds there.
#[test]
fn a_dead_letter_is_there_until_somebody_takes_it() {
    let store = FaultStore::new();
    let spool = spool(&store);
    let (inbound, dead) = (
        spool.queue("inbound").unwrap(),
        spool.queue("dead-letter").unwrap(),
    );
    let message = Message::new(&json!({"id": "m1"})).ttl(Duration::from_secs(5));
    inbound.send(message).unwrap();
    let nack = Nack::new()
        .error("no session")
        .delay(Duration::from_secs(60));
    fail(&inbound, &nack).unwrap();
    store.pass(10_000);
    assert_eq!(dead.pop().unwrap().unwrap().id(), Some("m1"));
}

#[test]
fn what_is_given_up_is_not_tried_again_from_the_same_queue() {
    let store = FaultStore::new();
    let spool = spool(&store);
    let error = spool
        .set_config("inbound.retry_queue", "dead-letter")
        .unwrap_err();
    assert!(error.to_string().contains("dead_letter_queue"), "{error}");
    // Said for all, and for this one.
    spool.set_config("inbound.retry_queue", "null").unwrap();
    spool
        .set_config("default.retry_queue", "dead-letter")
        .unwrap();
    let inbound = spool.queue("inbound").unwrap();
    inbound.send(&json!({"id": "m1"})).unwrap();
    fail(&inbound, &Nack::new().error("no session")).unwrap();
    let how = Receive::new().wait(Duration::from_millis(50));
    assert!(inbound.receive(how).unwrap().is_none());
    let dead = spool.queue("dead-letter").unwrap();
    assert_eq!(only(&dead).error(), Some("no session"));
}

/// A disk may be full for one queue and not for another one, or a file may be somebody else's.
#[test]
fn a_message_that_cannot_be_given_up_is_not_in_the_way() {
    for cause in ["refused", "damaged"] {
        let store = FaultStore::new();
        let spool = spool(&store);
        let dead = spool.queue("dead-letter").unwrap();
        dead.send(&json!("there")).unwrap();
        let inbound = spool.queue("inbound").unwrap();
        inbound.send(&json!({"id": "m1"})).unwrap();
        take_and_forget(&store, &inbound);
        inbound.send(&json!({"id": "m2"})).unwrap();
        let journal = store.content("dead-letter.json.journal").unwrap();
        match cause {
            "refused" => store.refuse_writes(Some("dead-letter.json.journal")),
            _ => store.put("dead-letter.json.journal", b"no journal"),
        }
        let pop = || {
            inbound
                .pop()
                .unwrap()
                .and_then(|one| one.id().map(str::to_owned))
        };
        assert_eq!(pop().as_deref(), Some("m2"), "{cause}");
        for _ in 0..3 {
            assert_eq!(pop(), None, "{cause}");
            store.pass(11_000);
        }
        store.refuse_writes(None);
        if cause == "damaged" {
            store.put("dead-letter.json.journal", &journal);
        }
        store.pass(11_000);
        assert_eq!(pop(), None);
        let dead = open(&store.another_process()).queue("dead-letter").unwrap();
        let error = only(&dead).error().map(str::to_owned).unwrap_or_default();
        assert!(error.contains("had no result"), "{cause}: {error}");
        let text = String::from_utf8_lossy(only(&dead).text()).into_owned();
        assert_eq!(text.matches("had no result").count(), 2, "{cause}: {text}");
        let counters = inbound.stats().unwrap().counters;
        assert_eq!(
            (counters.dead_lettered, counters.moved_out),
            (1, 1),
            "{cause}"
        );
    }
}

/// A move to another queue that cannot be ended is told first, and must not hide that these stay.
#[test]
fn a_receive_ends_although_nothing_can_be_moved_anywhere() {
    let store = FaultStore::new();
    let spool = spool(&store);
    spool.queue("dead-letter").unwrap().send(&json!(1)).unwrap();
    store.refuse_writes(Some("dead-letter.json.journal"));
    store.put("archive.json", b"no array");
    store.put(
        "inbound.json",
        br#"[{"message":{"id":"stuck"},"move":{"id":"x","to":"archive"}},
            {"message":{"id":"m1"},"attempts":1},{"message":{"id":"m2"}}]"#,
    );
    let inbound = spool.queue("inbound").unwrap();
    assert_eq!(inbound.pop().unwrap().unwrap().id(), Some("m2"));
    assert!(inbound.pop().unwrap().is_none());
}

#[test]
fn a_message_that_could_not_be_given_up_at_once_says_later_why_it_failed() {
    let store = FaultStore::new();
    let spool = spool(&store);
    let inbound = spool.queue("inbound").unwrap();
    inbound.send(&json!({"id": "m1"})).unwrap();
    store.put("dead-letter.json", b"no array");
    let error = fail(&inbound, &Nack::new().error("no session")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    store.take_away("dead-letter.json");
    store.pass(11_000);
    assert!(inbound.receive(Receive::new()).unwrap().is_none());
    let dead = only(&spool.queue("dead-letter").unwrap());
    assert_eq!(dead.error(), Some("no session"));
}

#[test]
fn a_message_that_was_given_back_at_its_last_attempt_says_so() {
    for by_closing in [true, false] {
        let store = FaultStore::new();
        let spool = spool(&store);
        let inbound = spool.queue("inbound").unwrap();
        inbound.send(&json!({"id": "m1"})).unwrap();
        let delivery = inbound.receive(Receive::new()).unwrap().unwrap();
        if by_closing {
            inbound.close().unwrap();
        } else {
            delivery.nack(&Nack::new()).unwrap();
        }
        let inbound = spool.queue("inbound").unwrap();
        assert!(inbound.receive(Receive::new()).unwrap().is_none());
        let dead = only(&spool.queue("dead-letter").unwrap());
        assert!(dead.error().unwrap().contains("given back"), "{dead:?}");
        assert!(dead.errors().unwrap().contains("given back"), "{dead:?}");
    }
}

#[test]
fn nothing_is_sent_back_to_a_queue_that_cannot_be_read() {
    let store = FaultStore::new();
    let spool = spool(&store);
    let inbound = spool.queue("inbound").unwrap();
    inbound.send(&json!({"id": "m1"})).unwrap();
    fail(&inbound, &Nack::new().error("no session")).unwrap();
    let outbound = spool.queue("outbound").unwrap();
    outbound.send(&json!({"id": "m1"})).unwrap();
    store.put("inbound.json.journal", b"no journal");
    let dead = spool.queue("dead-letter").unwrap();
    let error = dead.redrive(&Filter::new(), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(inbound.receive(Receive::new()).is_err());
    for queue in [dead, outbound] {
        let text = String::from_utf8_lossy(only(&queue).text()).into_owned();
        assert!(!text.contains("\"move\""), "{text}");
        assert!(queue.pop().unwrap().is_some());
    }
}

/// `jq` has made one array of two.
#[test]
fn a_message_that_is_where_it_came_from_is_at_home() {
    let store = FaultStore::new();
    store.put(
        "inbound.json",
        br#"[{"message":{"id":"m1"},"from":"inbound"},{"message":{"id":"m2"},"from":"a/b"},
            {"message":{"id":"m3"},"move":{"id":"x","to":"inbound"}}]"#,
    );
    let inbound = open(&store).queue("inbound").unwrap();
    let error = inbound.redrive(&Filter::new(), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let mut popped = Vec::new();
    while let Some(envelope) = inbound.pop().unwrap() {
        popped.extend(envelope.id().map(str::to_owned));
    }
    popped.sort_unstable();
    assert_eq!(popped, ["m1", "m2", "m3"]);
}

/// The workers of a bad message die, and good ones wait behind it.
#[test]
fn what_is_over_takes_no_place_among_many() {
    let store = FaultStore::new();
    let spool = spool(&store);
    let (inbound, dead) = (
        spool.queue("inbound").unwrap(),
        spool.queue("dead-letter").unwrap(),
    );
    for number in 0..9 {
        let message = Message::new(&json!({"id": format!("bad-{number}")}));
        let message = message
            .ttl(Duration::from_secs(1))
            .priority(Priority::Urgent);
        inbound.send(message).unwrap();
    }
    for number in 0..20 {
        inbound.send(&json!(number)).unwrap();
    }
    store.pass(2000);
    let taken = inbound.receive_many(10, Receive::new()).unwrap();
    assert_eq!(taken.len(), 10);
    assert_eq!(dead.len().unwrap(), 9);
}
