//! What a failing disk and a power cut may do to a plain queue, and what an operation promises in either mode; on the store in
//! memory.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::change::{Told, Wish};
use super::look::Probe;
use crate::format::envelope::Element;
use crate::format::name::COUNTERS_DIRECTORY;
use crate::index::{Change, Index, Now, Plan};
use crate::store::Store;
use crate::store::fault::{FaultStore, Unsynced};
use crate::store::files::Need;
use crate::{Delivery, ErrorKind, Message, MessageUpdate, Nack, Queue, Receive, Spool, Sync};

fn spool(store: &FaultStore) -> Spool {
    let builder = Spool::builder("unused");
    builder.open_on(Arc::new(store.clone())).unwrap()
}

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
fn what_another_program_wrote_when_the_lock_file_was_removed_during_a_change_is_not_overwritten() {
    let store = with_one();
    let inbound = queue(&store, Sync::Off);
    let mut decided = 0;
    let append = |_: &mut Index, _: &Now, _: &mut Told| {
        decided += 1;
        if decided == 1 {
            store.put(".gastown/locks/inbound.json.lock", b"");
            store.put("inbound.json", br#"["foreign"]"#);
        }
        let element = Element::parse(Arc::from(&br#"{"message":"ours"}"#[..])).unwrap();
        let changes = vec![Change::Append(element)];
        Ok(Plan {
            changes,
            result: (),
        })
    };
    let (wish, need) = (Wish::Keep(None), Need::Index);
    inbound
        .handle
        .change_once(wish, need, Probe::None, append)
        .unwrap();
    assert_eq!(decided, 2);
    assert_eq!(bodies(&inbound), [json!("foreign"), json!("ours")]);
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

/// Other programs cut texts in the middle of a character.
#[test]
fn half_a_surrogate_pair_in_what_an_envelope_says_is_no_damage() {
    let store = FaultStore::new();
    let element = r#"{"message":{"id":"m1"},"attempts":1,"error":"cut \ud83d","from":"a\udc00","priority":"\ud83d","errors":[{"error":"\ud83d"}]}"#;
    store.put("inbound.json", format!("[{element}]").as_bytes());
    let inbound = queue(&store, Sync::Off);
    let found = inbound.get("m1").unwrap().remove(0);
    assert_eq!(found.priority(), crate::Priority::Normal);
    assert!(found.error().unwrap().starts_with("cut \u{fffd}"));
    assert!(inbound.check().unwrap().is_sound());
    let delivery = inbound.receive(crate::Receive::new()).unwrap().unwrap();
    delivery.nack(&crate::Nack::new().error("again")).unwrap();
    let text = String::from_utf8(store.content("inbound.json").unwrap()).unwrap();
    assert!(
        text.contains(r#"[{"error":"\ud83d"},"#),
        "its history is kept: {text}"
    );
}

#[test]
fn an_interrupt_ends_the_next_wait_also_when_there_is_something_to_take() {
    let inbound = queue(&FaultStore::new(), Sync::Off);
    inbound.send(&json!(1)).unwrap();
    inbound.interrupt();
    let wait = || inbound.receive(crate::Receive::new().wait_forever());
    assert_eq!(wait().unwrap_err().kind(), ErrorKind::Interrupted);
    assert!(wait().unwrap().is_some());
}

#[test]
fn leases_that_others_settled_are_forgotten_and_those_that_go_on_are_not() {
    let store = FaultStore::new();
    let (inbound, other) = (queue(&store, Sync::Off), queue(&store, Sync::Off));
    inbound.send(&json!("kept")).unwrap();
    let kept = inbound.receive(Receive::new()).unwrap().unwrap();
    let many: Vec<_> = (0..600).map(|body| json!(body)).collect();
    for _ in 0..5 {
        inbound.send_many(&many).unwrap();
        let taken = inbound.receive_many(600, Receive::new()).unwrap();
        let receipts: Vec<&str> = taken.iter().map(Delivery::receipt).collect();
        assert!(other.ack(&receipts).unwrap().iter().all(Result::is_ok));
    }
    let attached = inbound.handle.attach();
    assert!(attached.leases().receipts.len() <= 1201);
    assert!(attached.leases().receipts.contains(kept.receipt()));
    inbound.close().unwrap();
    let again = other.receive(Receive::new()).unwrap().unwrap();
    assert_eq!(again.id(), kept.id());
}

#[test]
fn what_a_handler_has_settled_or_handed_on_is_left_as_it_is() {
    let inbound = queue(&FaultStore::new(), Sync::Off);
    for body in ["detached", "acked", "nacked"] {
        inbound.send(&json!(body)).unwrap();
    }
    let mut handed = Vec::new();
    inbound
        .work(&crate::Work::new().keep(false), |delivery| {
            match delivery.message::<String>().unwrap().as_str() {
                "detached" => {
                    delivery.detach().unwrap();
                    handed.push(delivery.receipt().to_owned());
                }
                "acked" => delivery.ack().unwrap(),
                _ => {
                    let later = std::time::Duration::from_secs(60);
                    delivery.nack(&Nack::new().delay(later)).unwrap();
                    inbound.interrupt();
                }
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(bodies(&inbound), [json!("detached"), json!("nacked")]);
    assert!(inbound.ack(&handed).unwrap().remove(0).is_ok());
}

#[test]
fn a_lease_of_no_time_is_refused() {
    let inbound = queue(&FaultStore::new(), Sync::Off);
    inbound.send(&json!("first")).unwrap();
    let zero = std::time::Duration::ZERO;
    let refused = |error: crate::Error| assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    refused(inbound.receive(Receive::new().lease(zero)).unwrap_err());
    let shortest = Receive::new().lease(std::time::Duration::from_nanos(1));
    let delivery = inbound.receive(shortest).unwrap().unwrap();
    refused(delivery.extend(zero).unwrap_err());
    refused(inbound.keep(delivery.receipt(), Some(zero)).unwrap_err());
    delivery.ack().unwrap();
}

/// Somebody has tidied up: the next leases must name a file that shows again whether this process lives.
#[test]
fn a_consumer_whose_file_was_removed_gets_another_one() {
    let store = FaultStore::new();
    let inbound = queue(&store, Sync::Off);
    inbound.send_many(&[json!(1), json!(2), json!(3)]).unwrap();
    let receive = || inbound.receive(crate::Receive::new()).unwrap().unwrap();
    let files = || -> Vec<String> {
        let is_consumer = |name: &String| name.starts_with(".gastown/consumers/");
        store.names().into_iter().filter(is_consumer).collect()
    };
    let first = receive();
    let before = files();
    assert_eq!(before.len(), 1);
    store.take_away(&before[0]);
    store.pass(2000);
    let second = receive();
    let after = files();
    assert_eq!(after.len(), 1);
    assert_ne!(before, after);
    let name = after[0].rsplit('/').next().unwrap();
    let text = String::from_utf8(store.content("inbound.json.journal").unwrap()).unwrap();
    assert!(text.contains(name));
    first.ack().unwrap();
    second.ack().unwrap();
}

#[test]
fn a_setting_can_be_made_where_null_stands() {
    let store = FaultStore::new();
    store.put(
        "flockq.json",
        br#"{"version":1,"default":null,"queues":null}"#,
    );
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!(1)).unwrap();
    inbound.pop().unwrap();
    let text = String::from_utf8(store.content("flockq.json").unwrap()).unwrap();
    assert!(text.contains(r#""mode""#), "{text}");
    let spool = spool(&store);
    spool.set_config("default.sync", "off").unwrap();
}

/// What a payload says of itself may be anything, and is not kept in memory and written into journals by itself.
#[test]
fn an_id_that_no_send_could_give_is_not_remembered() {
    let store = FaultStore::new();
    let inbound = queue(&store, Sync::Off);
    let spool = spool(&store);
    spool.set_config("inbound.dedup_window", "1h").unwrap();
    for id in ["x".repeat(600), "a\nb".to_owned(), "fits".to_owned()] {
        inbound.send(&json!({ "id": id })).unwrap();
        inbound.pop().unwrap().unwrap();
    }
    inbound.checkpoint().unwrap();
    let text = String::from_utf8(store.content("inbound.json.journal").unwrap()).unwrap();
    assert!(
        text.contains("fits")
            && !text.contains("xxx")
            && !text.contains("a\nb")
            && !text.contains("a\\nb"),
        "{text}"
    );
}

/// A plain queue's file says nothing of what has left it, and what one process knows no other one does.
#[test]
fn a_plain_queue_remembers_nobody_who_has_left_it() {
    for store in [FaultStore::plain(), FaultStore::new()] {
        let inbound = queue(&store, Sync::Off);
        let spool = spool(&store);
        spool.set_config("inbound.dedup_window", "1h").unwrap();
        let send = || {
            let message = Message::new(&json!("once")).id("m1").dedup(true);
            inbound.send(message).unwrap();
            inbound.len().unwrap()
        };
        assert_eq!(send(), 1);
        inbound.pop().unwrap().unwrap();
        let is_plain = inbound.mode().unwrap() == crate::Mode::Plain;
        assert_eq!(send(), u64::from(is_plain));
    }
}

#[test]
fn a_send_that_is_repeated_is_no_second_message_although_the_clock_was_ahead() {
    let store = FaultStore::new();
    let inbound = queue(&store, Sync::Off);
    let spool = spool(&store);
    spool.set_config("inbound.dedup_window", "1h").unwrap();
    store.pass(2 * 60 * 60 * 1000);
    inbound.send(&json!("ahead")).unwrap();
    inbound.pop().unwrap().unwrap();
    store.set_back(2 * 60 * 60 * 1000);
    for expected in [1, 0] {
        let message = Message::new(&json!("once")).id("m1").dedup(true);
        inbound.send(message).unwrap();
        assert_eq!(inbound.len().unwrap(), expected);
        inbound.pop().unwrap();
    }
}

#[test]
fn who_only_looks_writes_nothing() {
    let store = FaultStore::new();
    let inbound = queue(&store, Sync::Off);
    inbound.send(&json!(1)).unwrap();
    let spool = spool(&store.another_process());
    let before = store.content("inbound.json");
    assert!(
        spool
            .stats()
            .unwrap()
            .iter()
            .all(|(_, stats)| stats.is_ok())
    );
    spool.metrics().unwrap();
    spool.doctor().unwrap();
    assert_eq!(store.content("inbound.json"), before);
}

#[test]
fn what_no_queue_has_room_for_is_refused_at_once() {
    let store = FaultStore::new();
    let inbound = queue(&store, Sync::Off);
    let spool = spool(&store);
    spool.set_config("inbound.max_messages", "5").unwrap();
    spool.set_config("inbound.max_bytes", "1000").unwrap();
    let six = (0..6).map(|number| Message::new(&json!(number)).wait_forever());
    let large = Message::new(&json!("x".repeat(2000))).wait_forever();
    for refused in [inbound.send_many(six), inbound.send_many([large])] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("send less at once"), "{error}");
    }
}

#[test]
fn an_update_obeys_the_limit_on_a_payload_and_writes_nothing_when_all_is_so_already() {
    for store in [FaultStore::plain(), FaultStore::new()] {
        let spool = spool(&store);
        spool.set_config("inbound.max_payload_bytes", "9").unwrap();
        let inbound = spool.queue("inbound").unwrap();
        let hour = Duration::from_secs(3600);
        inbound.send(Message::new(&1).id("a").delay(hour)).unwrap();
        let update = |payload: &str| {
            let update = MessageUpdate::new().payload_from_json(payload);
            inbound.update_message("a", update)
        };
        let kind = |payload: &str| update(payload).unwrap_err().kind();
        assert_eq!(kind("1234567890"), ErrorKind::TooLarge);
        assert_eq!(kind("["), ErrorKind::InvalidJson);
        assert_eq!(update("[1, 1e-7]").unwrap(), 1);
        let before = store.effects().len();
        assert_eq!(update("[1, 1e-7]").unwrap(), 1);
        let written = store.effects().split_off(before);
        let is_write = |effect: &String| effect.starts_with("write");
        assert!(!written.iter().any(is_write), "{written:?}");
        let at_once = MessageUpdate::new().delay(Duration::ZERO);
        assert_eq!(inbound.update_message("a", at_once).unwrap(), 1);
        let delivery = inbound.receive(Receive::new().detached()).unwrap();
        let delivery = delivery.expect("it is ready");
        assert_eq!(delivery.payload(), b"[1, 1e-7]");
        delivery.ack().unwrap();
    }
}
