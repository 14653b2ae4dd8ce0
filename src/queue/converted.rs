//! How a queue becomes journalled or plain, and what is on record of it, on the store in memory.

use serde_json::json;

use super::journalled::{JOURNAL, bodies, queue, snapshot};
use crate::store::fault::{FaultStore, Unsynced};
use crate::{Mode, Receive, Sync};

#[test]
fn the_configuration_says_that_there_is_a_journal_and_keeps_everything_else() {
    let store = FaultStore::new();
    store.put("flockq.json", br#"{ "version": 1, "mine": [1e5], "default": {"mode": "journal"}, "queues": {"outbound": {"sync": "off"}} }"#);
    queue(&store, Sync::Full).send(&json!(1)).unwrap();
    let text = String::from_utf8(store.content("flockq.json").unwrap()).unwrap();
    assert_eq!(
        text.trim_end(),
        r#"{ "version": 1, "mine": [1e5], "default": {"mode": "journal"}, "queues": {"outbound": {"sync": "off"},"inbound": {"mode":"journal"}} }"#
    );
}

#[test]
fn a_queue_is_converted_to_and_fro_with_its_messages_and_leases() {
    let store = FaultStore::plain();
    let (inbound, other) = (
        queue(&store, Sync::Full),
        queue(&store.another_process(), Sync::Full),
    );
    inbound.send(&json!(1)).unwrap();
    inbound.send(&json!(2)).unwrap();
    let delivery = other.receive(Receive::new().detached()).unwrap().unwrap();
    assert_eq!(inbound.mode().unwrap(), Mode::Plain);
    inbound.convert(Mode::Journal).unwrap();
    inbound.convert(Mode::Journal).unwrap();
    for queue in [
        &inbound,
        &other,
        &queue(&store.another_process(), Sync::Full),
    ] {
        assert_eq!(queue.mode().unwrap(), Mode::Journal);
        queue.send(&json!(3)).unwrap();
    }
    delivery.ack().unwrap();
    assert_eq!(bodies(&inbound).unwrap().len(), 4);
    other.convert(Mode::Plain).unwrap();
    assert_eq!(store.content(JOURNAL), None);
    for queue in [
        &inbound,
        &other,
        &queue(&store.another_process(), Sync::Full),
    ] {
        assert_eq!(queue.mode().unwrap(), Mode::Plain);
        queue.send(&json!(4)).unwrap();
    }
    assert_eq!(snapshot(&store).as_array().unwrap().len(), 7);
}

#[test]
fn a_queue_that_is_converted_before_it_has_files_has_the_mode_that_was_asked_for() {
    for to in [Mode::Journal, Mode::Plain] {
        let store = match to {
            Mode::Journal => FaultStore::plain(),
            Mode::Plain => FaultStore::new(),
        };
        let inbound = queue(&store, Sync::Full);
        // One that has seen that there is nothing, and one that has seen nothing.
        let other = queue(&store.another_process(), Sync::Full);
        assert_eq!(other.len().unwrap(), 0);
        inbound.convert(to).unwrap();
        for queue in [
            &other,
            &inbound,
            &queue(&store.another_process(), Sync::Full),
        ] {
            queue.send(&json!(1)).unwrap();
            assert_eq!(queue.mode().unwrap(), to);
        }
        assert_eq!(inbound.len().unwrap(), 3);
    }
}

#[test]
fn a_conversion_that_is_cut_short_leaves_the_queue_in_one_of_both_modes() {
    for to in [Mode::Journal, Mode::Plain] {
        for last in 0.. {
            let store = FaultStore::plain();
            let inbound = queue(&store, Sync::Full);
            inbound.send(&json!(1)).unwrap();
            if to == Mode::Plain {
                inbound.convert(Mode::Journal).unwrap();
            }
            inbound.send(&json!(2)).unwrap();
            // Not durable yet: the name of the new file may be gone after a power cut.
            let normal = queue(&store, Sync::Normal);
            normal.receive(Receive::new().detached()).unwrap().unwrap();
            std::mem::forget(normal);
            store.die(last);
            let converted = inbound.convert(to);
            std::mem::forget(inbound);
            for names in ["", "no name", ".journal", "inbound.json", "flockq.json"] {
                let cut = store.power_cut_keeping(Unsynced::Dropped, |name| name.ends_with(names));
                let found = queue(&cut, Sync::Full);
                assert_eq!(
                    bodies(&found).unwrap(),
                    [json!(1), json!(2)],
                    "{to} {last} {names}"
                );
                found.send(&json!(3)).unwrap();
                let again = queue(&cut.another_process(), Sync::Full);
                assert_eq!(bodies(&again).unwrap().len(), 3, "{to} {last} {names}");
                if converted.is_ok() {
                    assert_eq!(again.mode().unwrap(), to);
                }
            }
            if converted.is_ok() {
                assert!(last > 3, "{last}");
                break;
            }
        }
    }
}
