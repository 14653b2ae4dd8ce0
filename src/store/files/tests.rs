//! What a process knows of a queue beside its messages outlives a commit or a checkpoint that fails, on the store in memory.

use std::sync::Arc;

use serde_json::json;

use crate::store::fault::FaultStore;
use crate::store::{Attributes, Open, Store as _};
use crate::{ErrorKind, Queue, Receive, Spool, Sync};

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
