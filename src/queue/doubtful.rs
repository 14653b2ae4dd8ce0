//! What is made and perhaps not durable: who is told so, who sends again, and what was taken, on the store in memory.

use std::sync::Arc;

use serde_json::json;

use crate::store::fault::{FaultStore, Unsynced};
use crate::store::{Open, Store};
use crate::{ErrorKind, Message, Queue, Receive, Spool, Sync};

fn queue(store: &FaultStore, sync: Sync) -> Queue {
    let builder = Spool::builder("unused").sync(sync);
    let spool = builder.open_on(Arc::new(store.clone())).unwrap();
    spool.queue("inbound").unwrap()
}

/// A plain and a journalled queue with two messages.
fn both() -> [FaultStore; 2] {
    let stores = [FaultStore::plain(), FaultStore::new()];
    for store in &stores {
        let inbound = queue(store, Sync::Full);
        inbound.send(&json!({"id": "m1"})).unwrap();
        inbound.send(&json!({"id": "m2"})).unwrap();
    }
    stores
}

/// What an operation has effects on, one after the other.
fn effects(which: usize, job: impl Fn(&Queue)) -> usize {
    let store = &both()[which];
    let inbound = queue(store, Sync::Full);
    inbound.len().unwrap();
    store.forget_effects();
    job(&inbound);
    store.effects().len()
}

fn once() -> Message {
    Message::new(&json!("once")).id("m3").dedup(true)
}

fn count_after_a_power_cut(store: &FaultStore) -> u64 {
    let after = store.power_cut(Unsynced::Dropped, Unsynced::Dropped);
    queue(&after, Sync::Full).len().unwrap()
}

/// The first one was killed before its sync, or did not ask for one.
#[test]
fn a_send_that_finds_its_message_there_makes_it_durable() {
    for store in both() {
        queue(&store, Sync::Off).send(once()).unwrap();
        queue(&store.another_process(), Sync::Full)
            .send(once())
            .unwrap();
        assert_eq!(count_after_a_power_cut(&store), 3);
    }
}

/// The first one's descriptor has heard of a sync that failed, and nobody else's.
#[test]
fn what_changes_nothing_makes_durable_what_is_there_also_after_a_sync_of_somebody_else_failed() {
    type Job = fn(&Queue);
    let jobs: [(&str, Job); 3] = [
        ("send", |inbound| drop(inbound.send(once()).unwrap())),
        ("update", |inbound| inbound.update(|_| ()).unwrap()),
        ("remove", |inbound| {
            assert_eq!(inbound.remove(&["nobody"]).unwrap(), 0);
        }),
    ];
    for (name, job) in jobs {
        let [_, store] = both();
        let first = queue(&store, Sync::Off);
        first.send(once()).unwrap();
        std::mem::forget(first);
        let journal = store.open("inbound.json.journal", Open::Write).unwrap();
        store.fail(0, libc::EIO);
        assert!(journal.sync_data().is_err());
        store.heal();
        let other = queue(&store.another_process(), Sync::Full);
        job(&other);
        assert_eq!(count_after_a_power_cut(&store), 3, "{name}");
        other.send(&json!("more")).unwrap();
        assert_eq!(count_after_a_power_cut(&store), 4, "{name}");
    }
}

#[test]
fn a_send_that_is_repeated_because_nobody_knows_is_durable() {
    for which in [0, 1] {
        let mut unknown = 0;
        for number in 0..effects(which, |inbound| drop(inbound.send(once()))) {
            let store = &both()[which];
            let inbound = queue(store, Sync::Full);
            store.fail(number, libc::EIO);
            let first = inbound.send(once());
            store.heal();
            let is_unknown = |error: &crate::Error| error.kind() == ErrorKind::OutcomeUnknown;
            unknown += usize::from(first.is_err_and(|error| is_unknown(&error)));
            inbound.send(once()).unwrap();
            assert_eq!(count_after_a_power_cut(store), 3, "{which} {number}");
        }
        assert!(unknown > 0, "{which}");
    }
}

/// The system tells of a failure once, and of the next try that all is well although the bytes are gone.
#[test]
fn a_sync_after_one_that_failed_makes_durable_what_is_there() {
    for which in [0, 1] {
        let mut failed = 0;
        for number in 0..8 {
            let store = &both()[which];
            let inbound = queue(store, Sync::Off);
            inbound.send(once()).unwrap();
            store.fail(number, libc::EIO);
            failed += usize::from(inbound.sync().is_err());
            // Nothing new can be written either.
            store.fail_from(2, libc::EIO);
            let _ = inbound.sync();
            store.heal();
            inbound.sync().unwrap();
            assert_eq!(count_after_a_power_cut(store), 3, "{which} {number}");
        }
        assert!(failed > 0, "{which}");
    }
}

#[test]
fn what_is_taken_out_is_returned_although_nobody_knows_whether_that_is_durable() {
    for which in [0, 1] {
        let mut returned = 0;
        for number in 0..effects(which, |inbound| drop(inbound.pop())) {
            let store = &both()[which];
            let inbound = queue(store, Sync::Full);
            store.fail(number, libc::EIO);
            let popped = inbound.pop();
            store.heal();
            let left = inbound.len().unwrap();
            match popped {
                Ok(popped) => assert_eq!((popped.is_some(), left), (true, 1), "{which} {number}"),
                Err(error) => assert_eq!(left, 2, "{which} {number}: {error}"),
            }
            returned += usize::from(left == 1);
        }
        assert!(returned > 0, "{which}");
    }
}

/// A sync has failed, so that the next change begins with a checkpoint.
fn ended() -> FaultStore {
    let [_, store] = both();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!({"id": "m3"})).unwrap();
    // The second effect is the sync of the commit.
    store.fail(1, libc::EIO);
    let error = inbound.send(&json!({"id": "m4"})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    store.heal();
    std::mem::forget(inbound);
    store
}

/// The next change begins with putting it on record that the queue has a journal.
fn unrecorded() -> FaultStore {
    let [_, store] = both();
    store.put("flockq.json", br#"{"version":1}"#);
    store
}

#[test]
fn what_is_not_taken_out_is_not_returned_whatever_fails_before() {
    for made in [ended, unrecorded] {
        let mut failed = 0;
        for number in 0..24 {
            let store = made();
            let inbound = queue(&store, Sync::Full);
            let before = inbound.len().unwrap();
            store.fail(number, libc::EIO);
            let popped = inbound.pop();
            store.heal();
            let left = inbound.len().unwrap();
            match popped {
                Ok(popped) => assert_eq!((popped.is_some(), left), (true, before - 1), "{number}"),
                Err(error) => {
                    assert_eq!(left, before, "{number}: {error}");
                    assert_eq!(error.kind(), ErrorKind::Io, "{number}: {error}");
                    failed += 1;
                }
            }
        }
        assert!(failed > 5, "{failed}");
    }
}

#[test]
fn a_lease_that_nobody_is_told_of_is_given_back() {
    for which in [0, 1] {
        let mut failed = 0;
        for number in 0..effects(which, |inbound| drop(inbound.receive(Receive::new()))) {
            let store = &both()[which];
            let inbound = queue(store, Sync::Full);
            store.fail(number, libc::EIO);
            let received = inbound.receive_many(2, Receive::new());
            store.heal();
            if received.is_err() {
                failed += 1;
                let again = inbound.receive_many(2, Receive::new()).unwrap();
                assert_eq!(again.len(), 2, "{which} {number}");
            }
        }
        assert!(failed > 0, "{which}");
    }
}

#[test]
fn closing_once_more_gives_back_what_could_not_be_given_back() {
    for store in both() {
        let inbound = queue(&store, Sync::Off);
        let taken = inbound.receive_many(2, Receive::new()).unwrap();
        store.fail_from(0, libc::EIO);
        assert!(inbound.close().is_err());
        store.heal();
        inbound.close().unwrap();
        let other = queue(&store, Sync::Off);
        let again = other.receive_many(2, Receive::new()).unwrap();
        assert_eq!(again.len(), taken.len());
    }
}
