//! What a process knows of a queue beside its messages outlives a commit or a checkpoint that fails, on the store in memory.

use std::sync::Arc;

use serde_json::json;

use crate::store::fault::FaultStore;
use crate::store::{Attributes, Open, Store as _};
use crate::{ErrorKind, Mode, Queue, Receive, Spool, Sync};

const SNAPSHOT: &str = "inbound.json";
const JOURNAL: &str = "inbound.json.journal";
const LOCK: &str = ".gastown/locks/inbound.json.lock";

fn spool(store: &FaultStore, sync: Sync) -> Spool {
    let builder = Spool::builder("unused").sync(sync);
    builder.open_on(Arc::new(store.clone())).unwrap()
}

fn queue(store: &FaultStore) -> Queue {
    spool(store, Sync::Off).queue("inbound").unwrap()
}

#[test]
fn files_that_are_replaced_keep_the_permissions_that_they_have_by_then() {
    let store = FaultStore::new();
    let (inbound, other) = (queue(&store), queue(&store.another_process()));
    let change = |modes: [u32; 2]| {
        for (name, mode) in [SNAPSHOT, JOURNAL].into_iter().zip(modes) {
            let file = store.open(name, Open::Read).unwrap();
            let before = file.attributes().unwrap();
            file.set_attributes(&Attributes { mode, ..before }).unwrap();
        }
    };
    let modes = || {
        let mode = |name| store.stat(name).unwrap().unwrap().mode;
        [SNAPSHOT, JOURNAL].map(mode)
    };
    inbound.send(&json!(1)).unwrap();
    assert_eq!(other.len().unwrap(), 1);
    for (queue, wanted) in [(&inbound, [0o600, 0o640]), (&other, [0o660, 0o620])] {
        let replaced = [SNAPSHOT, JOURNAL].map(|name| store.inode_of(name));
        change(wanted);
        queue.checkpoint().unwrap();
        assert_eq!(modes(), wanted);
        assert_ne!(
            [SNAPSHOT, JOURNAL].map(|name| store.inode_of(name)),
            replaced
        );
        queue.send(&json!(2)).unwrap();
    }
    // Another lock file: the journal alone is replaced.
    change([0o600, 0o640]);
    let journal = store.inode_of(JOURNAL);
    store.take_away(LOCK);
    other.send(&json!(3)).unwrap();
    other.send(&json!(4)).unwrap();
    assert_ne!(store.inode_of(JOURNAL), journal);
    assert_eq!(modes(), [0o600, 0o640]);
}

#[test]
fn on_a_full_disk_no_send_takes_the_space_of_acks_however_often_it_is_tried() {
    let store = FaultStore::new();
    let inbound = queue(&store);
    for number in 0..20 {
        inbound.send(&json!(number)).unwrap();
    }
    store.fill();
    for number in 0..20 {
        let delivery = inbound.receive(Receive::new().detached()).unwrap().unwrap();
        assert_eq!(delivery.message::<i32>().unwrap(), number);
        delivery.ack().unwrap();
        for _ in 0..3 {
            let error = inbound.send(&json!("small")).unwrap_err();
            assert_eq!(error.errno(), Some(libc::ENOSPC), "{number}");
        }
    }
    assert_eq!(inbound.len().unwrap(), 0);
}

#[test]
fn a_checkpoint_whose_last_step_fails_is_put_off_until_the_journal_has_grown_on() {
    let more = |queue: &Queue| {
        queue.send(&json!("x".repeat(90_000))).unwrap();
        assert!(queue.pop().unwrap().is_some());
    };
    let nearly_long = || {
        let store = FaultStore::new();
        let inbound = queue(&store);
        for _ in 0..46 {
            more(&inbound);
        }
        store.forget_effects();
        (store, inbound)
    };
    let named = |effect: &String| effect == "rename inbound.json";
    let (store, inbound) = nearly_long();
    more(&inbound);
    let named_at = store.effects().iter().position(named).unwrap();
    let (store, inbound) = nearly_long();
    store.fail(named_at, libc::EIO);
    more(&inbound);
    store.heal();
    store.forget_effects();
    inbound.send(&json!(1)).unwrap();
    assert_eq!(store.effects(), [format!("write {JOURNAL}")]);
    assert!(inbound.pop().unwrap().is_some());
    for _ in 0..15 {
        more(&inbound);
    }
    assert_eq!(store.effects().iter().filter(|it| named(it)).count(), 1);
}

#[test]
fn a_changed_setting_is_seen_although_it_could_not_be_read_at_first() {
    for store in [FaultStore::new(), FaultStore::plain()] {
        let other = queue(&store.another_process());
        let here = spool(&store, Sync::Off);
        here.queue("inbound").unwrap().send(&json!(1)).unwrap();
        other.send(&json!(2)).unwrap();
        here.set_config("inbound.max_payload_bytes", "3").unwrap();
        store.refuse(Some("flockq.json"));
        let error = other.send(&json!("long")).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EMFILE), "{error}");
        store.refuse(None);
        let error = other.send(&json!("long")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    }
}

/// Puts an array of one message in the place of the queue's file, as another program does, and lets the queue find it.
fn replace(store: &FaultStore, queue: &Queue, message: usize) {
    let array = format!("[{{\"message\":{message}}}]");
    store.put(SNAPSHOT, array.as_bytes());
    store.pass(2000);
    queue.len().unwrap();
}

/// The numbers of the versions that are kept, and what was put in place by another program.
fn kept(store: &FaultStore) -> Vec<(u64, String)> {
    let message = |name: &String| {
        let number = name.strip_prefix(".gastown/replaced/inbound.json.")?;
        let number = number.strip_suffix(".after")?.parse().ok()?;
        Some((number, String::from_utf8(store.content(name)?).ok()?))
    };
    let mut kept: Vec<_> = store.names().iter().filter_map(message).collect();
    kept.sort();
    kept
}

#[test]
fn versions_that_are_kept_are_above_the_earlier_ones_also_behind_a_new_journal() {
    // More than are kept, and fewer.
    for (is_repaired, replaced) in [(false, 10), (false, 3), (true, 10), (true, 3)] {
        let store = FaultStore::new();
        let inbound = queue(&store);
        inbound.send(&json!("first")).unwrap();
        for message in 1..=replaced {
            replace(&store, &inbound, message);
        }
        let before = kept(&store);
        if is_repaired {
            store.put(SNAPSHOT, b"[{");
            store.pass(2000);
            assert!(!inbound.check().unwrap().is_sound());
            inbound.repair().unwrap();
            assert_eq!(inbound.stats().unwrap().foreign_writes, replaced as u64);
        } else {
            inbound.convert(Mode::Plain).unwrap();
            inbound.convert(Mode::Journal).unwrap();
        }
        replace(&store, &inbound, 100);
        let after = kept(&store);
        let last = (replaced + 1) as u64;
        assert_eq!(
            after.last().unwrap(),
            &(last, r#"[{"message":100}]"#.to_owned())
        );
        assert_eq!(after.len(), before.len().min(7) + 1, "{after:?}");
        assert!(before.ends_with(&after[..after.len() - 1]), "{after:?}");
        let names = store.names();
        let name = format!(".gastown/replaced/inbound.json.{last}.before");
        assert!(names.contains(&name), "{names:?}");
    }
}

#[test]
fn a_mending_that_is_tried_again_keeps_its_versions_once() {
    let store = FaultStore::new();
    let inbound = queue(&store);
    inbound.send(&json!("first")).unwrap();
    replace(&store, &inbound, 1);
    store.put(SNAPSHOT, b"[]");
    store.pass(2000);
    store.fill();
    for _ in 0..10 {
        let error = inbound.len().unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOSPC), "{error}");
    }
    store.remove(".gastown/reserve/inbound.json").unwrap();
    inbound.len().unwrap();
    let numbers: Vec<u64> = kept(&store).into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn no_queue_takes_another_one_s_versions_for_its_own() {
    let store = FaultStore::new();
    let spool = spool(&store, Sync::Off);
    let (inbound, other) = (
        spool.queue("inbound").unwrap(),
        spool.queue("inbound.json.5").unwrap(),
    );
    other.send(&json!(1)).unwrap();
    other.checkpoint().unwrap();
    store.put("inbound.json.5.json", b"[]");
    store.pass(2000);
    other.len().unwrap();
    inbound.send(&json!(1)).unwrap();
    for message in 1..=20 {
        replace(&store, &inbound, message);
    }
    assert_eq!(kept(&store).last().unwrap().0, 20);
    for what in ["before", "after"] {
        let name = format!(".gastown/replaced/inbound.json.5.json.1.{what}");
        assert!(store.content(&name).is_some(), "{what}");
    }
}

#[test]
fn what_other_programs_have_written_is_counted_once_whatever_the_queue_is_converted_to() {
    let store = FaultStore::new();
    let inbound = queue(&store);
    let counted = || inbound.stats().unwrap().foreign_writes;
    let convert = |to, expected| {
        let sent = inbound.stats().unwrap().counters;
        inbound.convert(to).unwrap();
        assert_eq!(counted(), expected);
        inbound.send(&json!("next")).unwrap();
        assert_eq!(counted(), expected);
        assert_eq!(inbound.stats().unwrap().counters.sent, sent.sent + 1);
    };
    inbound.send(&json!("first")).unwrap();
    replace(&store, &inbound, 1);
    replace(&store, &inbound, 2);
    assert_eq!(counted(), 2);
    convert(Mode::Plain, 2);
    convert(Mode::Journal, 2);
    replace(&store, &inbound, 3);
    assert_eq!(counted(), 3);
    convert(Mode::Plain, 3);
    // A plain queue counts it with the next commit, or with the conversion.
    replace(&store, &inbound, 4);
    assert_eq!(counted(), 4);
    convert(Mode::Journal, 4);
    convert(Mode::Plain, 4);
}
