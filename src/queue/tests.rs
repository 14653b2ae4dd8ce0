//! What a failing disk and a power cut may do to a plain queue, on the store in memory.

use std::sync::Arc;

use serde_json::json;

use crate::format::name::COUNTERS_DIRECTORY;
use crate::store::Store;
use crate::store::fault::{FaultStore, Unsynced};
use crate::{ErrorKind, Message, Nack, Queue, Receive, Spool, Sync};

fn queue(store: &FaultStore, sync: Sync) -> Queue {
    let spool = Spool::builder("unused")
        .sync(sync)
        .open_on(Arc::new(store.clone()))
        .unwrap();
    spool.queue("inbound").unwrap()
}

fn bodies(queue: &Queue) -> Vec<serde_json::Value> {
    queue
        .list(&crate::List::new())
        .unwrap()
        .envelopes
        .iter()
        .map(|envelope| envelope.message().unwrap())
        .collect()
}

/// A store whose queue holds one message, durably.
fn with_one() -> FaultStore {
    let store = FaultStore::plain();
    queue(&store, Sync::Full).send(&json!("first")).unwrap();
    store.forget_effects();
    store
}

#[test]
fn a_commit_syncs_the_new_file_before_it_gets_the_name_and_the_directory_after() {
    let store = with_one();
    queue(&store, Sync::Full).send(&json!("second")).unwrap();
    let expected = [
        "create .inbound.json.",
        "write .inbound.json",
        "sync .inbound.json",
        "rename inbound.json",
        "sync directory ",
    ];
    let effects: Vec<String> = store.effects();
    let is_of_the_queue = |effect: &&String| !effect.contains(COUNTERS_DIRECTORY);
    let of_the_queue: Vec<&String> = effects.iter().filter(is_of_the_queue).collect();
    assert_eq!(of_the_queue, expected);
    assert_eq!(
        effects.len(),
        expected.len() + 1,
        "one write for what is counted"
    );
}

#[test]
fn normal_skips_only_the_directory_and_only_for_what_may_be_forgotten() {
    let store = with_one();
    let inbound = queue(&store, Sync::Normal);
    let delivery = inbound.receive(Receive::new().detached()).unwrap().unwrap();
    assert!(store.effects().contains(&"sync .inbound.json".to_owned()));
    assert!(!store.effects().contains(&"sync directory ".to_owned()));
    store.forget_effects();
    delivery.nack(&Nack::new().error("no session")).unwrap();
    assert!(
        store.effects().contains(&"sync directory ".to_owned()),
        "a nack with a reason is kept"
    );
}

#[test]
fn off_syncs_nothing() {
    let store = with_one();
    queue(&store, Sync::Off).send(&json!("second")).unwrap();
    assert!(
        !store
            .effects()
            .iter()
            .any(|effect| effect.starts_with("sync")),
        "{:?}",
        store.effects()
    );
}

#[test]
fn the_send_can_ask_for_more_than_the_spool() {
    let store = with_one();
    queue(&store, Sync::Off)
        .send(Message::new("second").sync(Sync::Full))
        .unwrap();
    assert!(store.effects().contains(&"sync directory ".to_owned()));
}

#[test]
fn whichever_effect_of_a_send_fails_the_queue_is_whole_and_the_caller_knows() {
    for errno in [libc::EIO, libc::ENOSPC] {
        let mut failed = 0;
        loop {
            let store = with_one();
            let inbound = queue(&store, Sync::Full);
            store.fail(failed, errno);
            let sent = inbound.send(&json!("second"));
            store.heal();
            let Err(error) = sent else { break };
            let found = bodies(&inbound);
            match error.kind() {
                ErrorKind::Io => assert_eq!(found, [json!("first")], "effect {failed}: {error}"),
                ErrorKind::OutcomeUnknown => assert_eq!(
                    found,
                    [json!("first"), json!("second")],
                    "effect {failed}: {error}"
                ),
                other => panic!("effect {failed}: {other}"),
            }
            assert_eq!(error.errno(), Some(errno));
            assert!(
                !store.names().iter().any(|name| name.ends_with(".tmp")),
                "effect {failed} left {:?}",
                store.names()
            );
            inbound.send(&json!("third")).unwrap();
            assert_eq!(bodies(&inbound).last().unwrap(), &json!("third"));
            failed += 1;
        }
        assert_eq!(failed, 5, "every effect of a commit was failed once");
    }
}

#[test]
fn a_sent_message_survives_every_power_cut() {
    for content in [Unsynced::Dropped, Unsynced::Zeroed, Unsynced::Kept] {
        for names in [Unsynced::Dropped, Unsynced::Kept] {
            let store = with_one();
            queue(&store, Sync::Normal).send(&json!("second")).unwrap();
            let after = store.power_cut(content, names);
            assert_eq!(
                bodies(&queue(&after, Sync::Normal)),
                [json!("first"), json!("second")]
            );
        }
    }
}

#[test]
fn a_power_cut_may_forget_an_ack_but_loses_no_other_message() {
    for content in [Unsynced::Dropped, Unsynced::Zeroed, Unsynced::Kept] {
        for names in [Unsynced::Dropped, Unsynced::Kept] {
            let store = with_one();
            let inbound = queue(&store, Sync::Normal);
            inbound.send(&json!("second")).unwrap();
            inbound
                .receive(Receive::new().detached())
                .unwrap()
                .unwrap()
                .ack()
                .unwrap();
            let after = bodies(&queue(&store.power_cut(content, names), Sync::Normal));
            assert!(
                after == [json!("second")] || after == [json!("first"), json!("second")],
                "{after:?}"
            );
        }
    }
}

#[test]
fn a_power_cut_at_off_is_damage_and_never_an_empty_queue() {
    let store = with_one();
    queue(&store, Sync::Off).send(&json!("second")).unwrap();
    for content in [Unsynced::Dropped, Unsynced::Zeroed] {
        let after = store.power_cut(content, Unsynced::Kept);
        assert_eq!(
            queue(&after, Sync::Off).len().unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }
}

#[test]
fn what_a_dead_process_left_half_written_is_removed_by_the_next_change() {
    let store = with_one();
    store.put(".inbound.json.abcdef.tmp", b"[");
    store.put(".outbound.json.abcdef.tmp", b"[");
    store.put("inbound.json.tmp", b"[");
    store.put(".inbound.json.b.json.abcdef.tmp", b"[");
    queue(&store, Sync::Off).send(&json!("second")).unwrap();
    let names = store.names();
    assert!(!names.contains(&".inbound.json.abcdef.tmp".to_owned()));
    assert!(
        names.contains(&".outbound.json.abcdef.tmp".to_owned()),
        "another queue's is not this queue's to remove"
    );
    assert!(
        names.contains(&".inbound.json.b.json.abcdef.tmp".to_owned()),
        "nor that of a queue whose name begins like this one's file"
    );
    assert!(
        names.contains(&"inbound.json.tmp".to_owned()),
        "another program's is not flockq's to remove"
    );
}

#[test]
fn an_unchanged_queue_is_not_written() {
    let store = with_one();
    let inbound = queue(&store, Sync::Full);
    assert_eq!(inbound.remove(&["nobody"]).unwrap(), 0);
    assert!(inbound.ack(&["1.0000000000000001.nobody"]).unwrap()[0].is_err());
    assert!(
        !store
            .effects()
            .iter()
            .any(|effect| effect.starts_with("rename")),
        "{:?}",
        store.effects()
    );
}

#[test]
fn a_lock_file_that_was_replaced_is_taken_anew_and_the_change_decided_again() {
    let store = with_one();
    let inbound = queue(&store, Sync::Off);
    inbound.send(&json!("second")).unwrap();
    store.put(".gastown/locks/inbound.json.lock", b"");
    store.put("inbound.json", b"[\"foreign\"]");
    inbound.send(&json!("third")).unwrap();
    assert_eq!(bodies(&inbound), [json!("foreign"), json!("third")]);
}

#[test]
fn a_transaction_whose_ground_was_changed_writes_nothing_and_says_so() {
    // A program without the library may know no lock at all, or remove its file.
    for removes_lock in [true, false] {
        let store = with_one();
        let inbound = queue(&store, Sync::Off);
        let transaction = inbound.begin().unwrap();
        if removes_lock {
            store.put(".gastown/locks/inbound.json.lock", b"");
        }
        store.put("inbound.json", b"[\"foreign\"]");
        assert_eq!(
            transaction.commit().unwrap_err().kind(),
            ErrorKind::Interrupted
        );
        assert_eq!(store.content("inbound.json").unwrap(), b"[\"foreign\"]");
    }
}

#[test]
fn a_file_that_nobody_else_changed_is_not_read_again() {
    let store = with_one();
    let (inbound, other) = (queue(&store, Sync::Off), queue(&store, Sync::Off));
    let nine: Vec<_> = (0..9).map(|n| json!(n)).collect();
    inbound.send_many(&nine).unwrap();
    let read = store.files_read();
    for n in 0..5 {
        inbound.send(&json!(n)).unwrap();
        other.receive(Receive::new().detached()).unwrap().unwrap();
        assert!(inbound.pop().unwrap().is_some());
    }
    assert_eq!(store.files_read(), read);
    store.put("inbound.json", b"[\"foreign\"]");
    assert_eq!(bodies(&inbound), [json!("foreign")]);
    assert!(store.files_read() > read);
}

#[test]
fn the_lock_file_is_the_same_whatever_is_done() {
    let store = with_one();
    let lock = ".gastown/locks/inbound.json.lock";
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!("second")).unwrap();
    let before = store.stat(lock).unwrap().unwrap().id;
    let delivery = inbound.receive(Receive::new()).unwrap().unwrap();
    delivery.ack().unwrap();
    inbound.checkpoint().unwrap();
    inbound.close().unwrap();
    assert_eq!(store.stat(lock).unwrap().map(|stat| stat.id), Some(before));
    let touches = |effect: &String| effect.contains(lock) && !effect.starts_with("create");
    assert_eq!(store.effects().iter().find(|effect| touches(effect)), None);
}

#[test]
fn a_panic_in_the_callers_code_gives_the_lock_back_and_changes_nothing() {
    for store in [FaultStore::plain(), FaultStore::new()] {
        let inbound = queue(&store, Sync::Full);
        inbound.send(&json!("first")).unwrap();
        store.forget_effects();
        let change = std::panic::AssertUnwindSafe(|| {
            inbound.update(|array| {
                array.clear();
                panic!("the caller's");
            })
        });
        assert!(std::panic::catch_unwind(change).is_err());
        assert!(store.effects().is_empty(), "{:?}", store.effects());
        // Neither this handle nor another process has to wait.
        inbound.send(&json!("second")).unwrap();
        let other = queue(&store.another_process(), Sync::Full);
        other.send(&json!("third")).unwrap();
        assert_eq!(bodies(&inbound).len(), 3);
    }
}
