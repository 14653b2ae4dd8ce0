//! What crashes, power cuts, full disks and other processes may do to a journalled queue, on the store in memory.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::store::fault::{FaultStore, Unsynced};
use crate::store::{Open, Store as _};
use crate::{ErrorKind, Message, MessageUpdate, Nack, Queue, Receive, Result, Spool, Sync};

pub(super) const JOURNAL: &str = "inbound.json.journal";
pub(super) const LOCK: &str = ".gastown/locks/inbound.json.lock";

pub(super) fn store() -> FaultStore {
    FaultStore::new()
}

/// The queue as another process sees it: with a registry entry of its own.
pub(super) fn queue(store: &FaultStore, sync: Sync) -> Queue {
    let spool = Spool::builder("unused")
        .sync(sync)
        .open_on(Arc::new(store.clone()));
    spool.unwrap().queue("inbound").unwrap()
}

pub(super) fn bodies(queue: &Queue) -> Result<Vec<Value>> {
    let page = queue.list(&crate::List::new().limit(1000))?;
    Ok(page
        .envelopes
        .iter()
        .map(|envelope| envelope.message().unwrap())
        .collect())
}

pub(super) fn snapshot(store: &FaultStore) -> Value {
    serde_json::from_slice(&store.content("inbound.json").unwrap()).unwrap()
}

/// Every kind of change, in turn.
fn step(queue: &Queue, number: usize) -> Result<()> {
    let send = |value: Value| queue.send(&value).map(drop);
    let receive = || queue.receive(Receive::new().detached());
    match number % 10 {
        0 | 1 | 4 => send(json!({ "n": number })),
        2 => queue
            .send_many(&[json!({ "n": number }), json!({ "m": number })])
            .map(drop),
        3 => receive().map(drop),
        5 => match receive()? {
            Some(delivery) => delivery.nack(&Nack::new().error("no session")),
            None => Ok(()),
        },
        6 => match receive()? {
            Some(delivery) => delivery.ack(),
            None => Ok(()),
        },
        7 => queue.checkpoint(),
        8 => {
            let last = queue.list(&crate::List::new().limit(1000))?;
            let last = last.envelopes.last().and_then(crate::Envelope::id);
            let update = MessageUpdate::new().payload(&json!({ "changed": number }));
            last.map_or(Ok(0), |id| queue.update_message(id, update))
                .map(drop)
        }
        _ => queue.update(|array| {
            array.pop();
        }),
    }
}

#[test]
fn a_commit_is_one_write_and_one_sync() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!(1)).unwrap();
    store.forget_effects();
    inbound.send(&json!(2)).unwrap();
    assert_eq!(
        store.effects(),
        [format!("write {JOURNAL}"), format!("sync {JOURNAL}")]
    );
    store.forget_effects();
    let delivery = inbound.receive(Receive::new().detached()).unwrap().unwrap();
    assert_eq!(store.effects().len(), 2);
    drop(delivery);
    let off = queue(&store, Sync::Off);
    store.forget_effects();
    off.send(&json!(3)).unwrap();
    assert_eq!(store.effects(), [format!("write {JOURNAL}")]);
}

#[test]
fn a_receive_does_not_write_the_payload_again() {
    let store = store();
    let inbound = queue(&store, Sync::Off);
    inbound.send(&json!("x".repeat(10_000))).unwrap();
    let before = store.content(JOURNAL).unwrap().len();
    inbound.receive(Receive::new().detached()).unwrap().unwrap();
    let written = store.content(JOURNAL).unwrap().len() - before;
    assert!(written < 1000, "{written}");
}

#[test]
fn what_one_process_commits_another_sees_by_reading_what_is_new() {
    let store = store();
    let (one, other) = (
        queue(&store, Sync::Off),
        queue(&store.another_process(), Sync::Off),
    );
    for number in 0..60 {
        step(if number % 2 == 0 { &one } else { &other }, number).unwrap();
        assert_eq!(bodies(&one).unwrap(), bodies(&other).unwrap(), "{number}");
    }
    assert_eq!(
        bodies(&queue(&store, Sync::Off)).unwrap(),
        bodies(&one).unwrap()
    );
}

#[test]
fn a_checkpoint_and_a_close_show_the_queue_in_its_file() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!(1)).unwrap();
    assert_eq!(snapshot(&store), json!([]));
    inbound.checkpoint().unwrap();
    assert_eq!(snapshot(&store)[0]["message"], json!(1));
    store.forget_effects();
    inbound.checkpoint().unwrap();
    assert!(store.effects().is_empty(), "there is nothing to fold");
    inbound.send(&json!(2)).unwrap();
    inbound.close().unwrap();
    assert_eq!(snapshot(&store).as_array().unwrap().len(), 2);
    let dropped = queue(&store, Sync::Full);
    dropped.send(&json!(3)).unwrap();
    drop(dropped);
    assert_eq!(snapshot(&store).as_array().unwrap().len(), 3);
}

#[test]
fn a_journal_that_has_grown_is_folded() {
    const THRESHOLD: usize = 4 * 1024 * 1024;
    let store = store();
    let inbound = queue(&store, Sync::Off);
    let mut largest = 0;
    for _ in 0..150 {
        inbound.send(&json!("x".repeat(90_000))).unwrap();
        assert!(inbound.pop().unwrap().is_some());
        largest = largest.max(store.content(JOURNAL).unwrap().len());
    }
    assert!(
        (THRESHOLD - 200_000..THRESHOLD + 200_000).contains(&largest),
        "{largest}"
    );
    assert!(bodies(&inbound).unwrap().is_empty());
}

#[test]
fn whatever_effect_is_the_last_before_a_power_cut_the_queue_is_as_before_or_after() {
    const STEPS: usize = 20;
    for last in 0.. {
        let store = store();
        let mut confirmed = Vec::new();
        let mut attempted = None;
        let inbound = queue(&store, Sync::Full);
        store.die(last);
        for number in 0..STEPS {
            if step(&inbound, number).is_err() {
                // The same step where nothing fails: what it would have led to.
                let twin = self::store();
                let whole = queue(&twin, Sync::Full);
                for before in 0..=number {
                    step(&whole, before).unwrap();
                }
                attempted = Some(bodies(&whole).unwrap());
                break;
            }
            confirmed = bodies(&inbound).unwrap();
        }
        std::mem::forget(inbound);
        for content in [Unsynced::Kept, Unsynced::Dropped, Unsynced::Zeroed] {
            // Of the names that were not synced, those that end like this made it.
            for names in ["", "no name", ".journal", "inbound.json", "flockq.json"] {
                let cut = store.power_cut_keeping(content, |name| name.ends_with(names));
                let found = queue(&cut, Sync::Full);
                let bodies_found = bodies(&found)
                    .unwrap_or_else(|error| panic!("{last} {content:?} {names:?}: {error}"));
                assert!(
                    bodies_found == confirmed || Some(&bodies_found) == attempted.as_ref(),
                    "{last} {content:?} {names:?}: {bodies_found:?}, confirmed {confirmed:?}, attempted {attempted:?}"
                );
                // And it goes on from there, also across a second cut.
                found.send(&json!("on")).unwrap();
                std::mem::forget(found);
                let again = queue(
                    &cut.power_cut(Unsynced::Dropped, Unsynced::Dropped),
                    Sync::Full,
                );
                assert_eq!(
                    bodies(&again).unwrap().len(),
                    bodies_found.len() + 1,
                    "{last}"
                );
            }
        }
        if attempted.is_none() {
            assert!(last > 40, "{last}");
            break;
        }
    }
}

#[test]
fn a_full_disk_fails_the_send_and_leaves_no_half_frame() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!(1)).unwrap();
    let before = store.content(JOURNAL).unwrap();
    store.fail(0, libc::ENOSPC);
    let error = inbound.send(&json!(2)).unwrap_err();
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::Io, Some(libc::ENOSPC))
    );
    assert_eq!(store.content(JOURNAL).unwrap(), before);
    store.heal();
    assert!(inbound.pop().unwrap().is_some());
}

#[test]
fn on_a_full_disk_a_send_fails_and_what_makes_room_still_works() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    for number in 0..20 {
        inbound.send(&json!({ "n": number })).unwrap();
    }
    store.fill();
    let error = inbound.send(&json!(2)).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENOSPC));
    for number in 0..20 {
        let delivery = inbound.receive(Receive::new().detached()).unwrap().unwrap();
        assert_eq!(delivery.message::<Value>().unwrap(), json!({ "n": number }));
        delivery.ack().unwrap();
        let error = inbound.send(&json!("x".repeat(100_000))).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOSPC));
    }
    assert_eq!(
        bodies(&queue(&store.another_process(), Sync::Full)).unwrap(),
        Vec::<Value>::new()
    );
}

#[test]
fn on_a_full_disk_an_update_with_a_payload_leaves_the_space_for_acks() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(Message::new(&json!(1)).id("a")).unwrap();
    store.fill();
    for payload in ["x", &"x".repeat(100_000)] {
        let update = MessageUpdate::new().payload(payload);
        let error = inbound.update_message("a", update).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOSPC));
        assert!(store.content(".gastown/reserve/inbound.json").is_some());
    }
    let later = MessageUpdate::new().delay(std::time::Duration::from_secs(60));
    assert_eq!(inbound.update_message("a", later).unwrap(), 1);
    assert!(store.content(".gastown/reserve/inbound.json").is_none());
    assert_eq!(bodies(&inbound).unwrap(), [json!(1)]);
}

#[test]
fn a_sync_that_failed_is_an_unknown_outcome_and_ends_the_generation_for_everybody() {
    let store = store();
    let (inbound, other) = (
        queue(&store, Sync::Full),
        queue(&store.another_process(), Sync::Full),
    );
    inbound.send(&json!(1)).unwrap();
    assert_eq!(bodies(&other).unwrap().len(), 1);
    let inode = store.inode_of(JOURNAL);
    store.fail(1, libc::EIO);
    assert_eq!(
        inbound.send(&json!(2)).unwrap_err().kind(),
        ErrorKind::OutcomeUnknown
    );
    store.heal();
    assert_eq!(store.inode_of(JOURNAL), inode);
    other.send(&json!(3)).unwrap();
    assert_ne!(
        store.inode_of(JOURNAL),
        inode,
        "nobody builds on what may be gone"
    );
    assert_eq!(bodies(&inbound).unwrap().len(), 3);
}

#[test]
fn a_queue_that_is_synced_after_a_sync_failed_is_durable() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!(1)).unwrap();
    // The second write's sync fails: what it wrote is thrown away, and the next sync of the same file succeeds.
    store.fail(1, libc::EIO);
    assert!(inbound.send(&json!(2)).is_err());
    store.heal();
    inbound.sync().unwrap();
    let cut = store.power_cut(Unsynced::Dropped, Unsynced::Dropped);
    assert_eq!(
        bodies(&queue(&cut, Sync::Full)).unwrap(),
        [json!(1), json!(2)]
    );
}

#[test]
fn who_opens_a_journal_after_a_sync_of_another_process_failed_loses_nothing_that_he_confirms() {
    for behind in ["short", &"x".repeat(100_000)] {
        let store = store();
        let inbound = queue(&store, Sync::Off);
        inbound.send(&json!(1)).unwrap();
        inbound.send(behind).unwrap();
        // It is killed before it can say that its sync has failed: what it wrote can be read, and is not on the disk.
        std::mem::forget(inbound);
        let journal = store.open(JOURNAL, Open::Write).unwrap();
        store.fail(0, libc::EIO);
        assert!(journal.sync_data().is_err());
        store.heal();
        let other = queue(&store.another_process(), Sync::Full);
        store.forget_effects();
        // That there is nothing to do says nothing of what is there.
        other.remove(&["nobody"]).unwrap();
        other.send(&json!(2)).unwrap();
        let written_again = store.effects().contains(&format!("write {JOURNAL}"));
        assert!(written_again, "{:?}", store.effects());
        let cut = store.power_cut(Unsynced::Dropped, Unsynced::Dropped);
        let found = bodies(&queue(&cut, Sync::Full)).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.contains(&json!(behind)) && found.contains(&json!(2)));
        // Once is enough.
        store.forget_effects();
        other.send(&json!(3)).unwrap();
        assert_eq!(store.effects().len(), 2, "{:?}", store.effects());
    }
}

/// Some file systems say only at the sync that there is no space.
#[test]
fn nothing_is_written_behind_a_sync_that_failed_for_want_of_space() {
    for number in 0..12 {
        let store = store();
        let inbound = queue(&store, Sync::Off);
        // Makes the space that acks may use.
        inbound.send(&json!(1)).unwrap();
        inbound.checkpoint().unwrap();
        let first = Message::new("first").id("m1").sync(Sync::Full);
        inbound.send(first).unwrap();
        inbound.send(&"x".repeat(100_000)).unwrap();
        std::mem::forget(inbound);
        let other = queue(&store.another_process(), Sync::Full);
        other.len().unwrap();
        store.forget_effects();
        store.fail(number, libc::ENOSPC);
        let removed = other.remove(&["m1"]);
        let effects = store.effects();
        store.heal();
        let cut = store.power_cut(Unsynced::Dropped, Unsynced::Dropped);
        let left = queue(&cut, Sync::Full).get("m1").unwrap().len();
        if removed.is_ok() {
            assert_eq!(left, 0, "{number}: {effects:?}");
        }
        let is_made = match &removed {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::OutcomeUnknown,
        };
        let left = other.get("m1").unwrap().len();
        assert_eq!(left, usize::from(!is_made), "{number}: {removed:?}");
    }
}

#[test]
fn what_is_gone_before_it_could_be_written_again_is_told() {
    let store = store();
    let inbound = queue(&store, Sync::Off);
    inbound.send(&json!(1)).unwrap();
    inbound.send(&json!(2)).unwrap();
    std::mem::forget(inbound);
    let other = queue(&store.another_process(), Sync::Full);
    assert_eq!(bodies(&other).unwrap().len(), 2);
    // The system drops the page and reads it from the disk again.
    let mut content = store.content(JOURNAL).unwrap();
    let end = content.len();
    content[end - 20..].fill(0);
    store.overwrite(JOURNAL, &content);
    let error = other.send(&json!(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    // Then the rules for what is found decide.
    other.send(&json!(4)).unwrap();
    assert_eq!(bodies(&other).unwrap(), [json!(1), json!(4)]);
}

#[test]
fn what_the_system_still_has_to_tell_of_a_sync_that_failed_does_not_fail_the_next_generation() {
    let poisoned = || {
        let store = store();
        let (one, other) = (
            queue(&store, Sync::Full),
            queue(&store.another_process(), Sync::Full),
        );
        one.send(&json!(1)).unwrap();
        assert_eq!(bodies(&other).unwrap().len(), 1);
        store.fail(1, libc::EIO);
        assert!(one.send(&json!(2)).is_err());
        store.heal();
        store.forget_effects();
        (store, other)
    };
    // The other process had the file open too, and is told when it next syncs it.
    let old_journal = format!("sync {JOURNAL}");
    let (store, other) = poisoned();
    other.send(&json!(3)).unwrap();
    let syncs = store.effects();
    let told = syncs.iter().position(|effect| *effect == old_journal);
    let (store, other) = poisoned();
    store.fail(told.unwrap(), libc::EIO);
    other.send(&json!(3)).unwrap();
    assert_eq!(bodies(&other).unwrap().len(), 3);
}

#[test]
fn a_torn_tail_is_cut_off_for_good_before_anything_is_written_behind_it() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!(1)).unwrap();
    let whole = store.content(JOURNAL).unwrap();
    store.append(JOURNAL, b"flockq1 C 00");
    assert_eq!(bodies(&inbound).unwrap(), [json!(1)]);
    store.forget_effects();
    inbound.send(&json!(2)).unwrap();
    assert_eq!(
        store.effects()[..3],
        ["cut", "sync", "write"].map(|what| format!("{what} {JOURNAL}"))
    );
    assert!(store.content(JOURNAL).unwrap().starts_with(&whole));
    assert_eq!(
        bodies(&queue(&store.another_process(), Sync::Full))
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_missing_journal_is_damage_and_not_an_empty_or_a_plain_queue() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!(1)).unwrap();
    store.take_away(JOURNAL);
    for queue in [&inbound, &queue(&store.another_process(), Sync::Full)] {
        for error in [
            bodies(queue).map(drop),
            queue.send(&json!(2)).map(drop),
            queue.pop().map(drop),
        ] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(
                error.path().unwrap().ends_with(JOURNAL) && error.to_string().contains("not there"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_damaged_journal_is_told_and_left_as_it_is() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    for number in 0..3 {
        inbound.send(&json!(number)).unwrap();
    }
    std::mem::forget(inbound);
    let whole = store.content(JOURNAL).unwrap();
    let mut broken = whole.clone();
    let place = broken
        .windows(9)
        .position(|window| window == b"\"message\"")
        .unwrap();
    broken[place] = b'x';
    store.put(JOURNAL, &broken);
    let error = bodies(&queue(&store.another_process(), Sync::Full)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error
            .offset()
            .is_some_and(|offset| offset > 0 && offset < place as u64)
    );
    assert_eq!(store.content(JOURNAL).unwrap(), broken);
    store.put(JOURNAL, b"flockq2 B whatever a newer version writes");
    let error = queue(&store.another_process(), Sync::Full)
        .send(Message::from_json("1"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Version);
}

/// A program without the library puts its own array in place, by a rename or by writing over the file.
fn replace_snapshot(store: &FaultStore, array: &Value, in_place: bool) {
    let bytes = serde_json::to_vec(array).unwrap();
    if in_place {
        store.overwrite("inbound.json", &bytes);
    } else {
        store.put("inbound.json", &bytes);
    }
}

#[test]
fn what_another_program_puts_in_place_of_the_snapshot_becomes_a_part_of_the_queue() {
    let envelope = |id: &str| json!({ "message": { "id": id } });
    for (in_place, restarted) in [(false, false), (false, true), (true, false), (true, true)] {
        let store = store();
        let inbound = queue(&store, Sync::Full);
        for id in ["acked", "leased", "gone", "left"] {
            inbound.send(&json!({ "id": id })).unwrap();
        }
        inbound.checkpoint().unwrap();
        let acked = inbound.receive(Receive::new().detached()).unwrap().unwrap();
        acked.ack().unwrap();
        let leased = inbound.receive(Receive::new().detached()).unwrap().unwrap();
        inbound.send(&json!({ "id": "sent" })).unwrap();
        let array = json!([
            envelope("acked"),
            envelope("leased"),
            envelope("left"),
            envelope("theirs")
        ]);
        replace_snapshot(&store, &array, in_place);
        let found = if restarted {
            std::mem::forget(inbound);
            queue(&store.another_process(), Sync::Full)
        } else {
            store.pass(2000);
            inbound
        };
        let mut ids: Vec<_> = bodies(&found).unwrap();
        ids.sort_by_key(|body| body["id"].to_string());
        let mut expected = vec!["leased", "left", "sent", "theirs"];
        if in_place {
            // What was there before is gone for good: what is not known to be done is done again.
            expected.insert(0, "acked");
        }
        assert_eq!(
            ids,
            expected
                .iter()
                .map(|id| json!({ "id": id }))
                .collect::<Vec<_>>()
        );
        let settled = found.ack(&[leased.receipt()]).unwrap().remove(0);
        assert_eq!(settled.is_ok(), !in_place, "{in_place} {restarted}");
        // Both versions are kept, and it is written down once.
        let after = store
            .content(".gastown/replaced/inbound.json.1.after")
            .unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&after).unwrap(), array);
        if !in_place {
            let before = store
                .content(".gastown/replaced/inbound.json.1.before")
                .unwrap();
            assert_eq!(
                serde_json::from_slice::<Vec<Value>>(&before).unwrap().len(),
                4
            );
        }
        let log = store.content(".gastown/replaced/log.jsonl").unwrap();
        let lines: Vec<Value> = String::from_utf8(log)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["before_is_known"], json!(!in_place));
        if !in_place {
            assert_eq!(lines[0]["added_ids"], json!(["theirs"]));
            assert_eq!(lines[0]["removed_ids"], json!(["gone"]));
        }
    }
}

#[test]
fn an_update_outlives_another_program_that_replaces_or_overwrites_the_file() {
    for in_place in [false, true] {
        let store = store();
        let inbound = queue(&store, Sync::Full);
        inbound.send(Message::new(&json!(1)).id("ours")).unwrap();
        inbound.checkpoint().unwrap();
        let update = MessageUpdate::new().payload(&json!(2));
        assert_eq!(inbound.update_message("ours", update).unwrap(), 1);
        std::mem::forget(inbound);
        let array = json!([{"message": 1, "id": "ours"}, {"message": 3, "id": "theirs"}]);
        replace_snapshot(&store, &array, in_place);
        store.pass(2000);
        let found = queue(&store.another_process(), Sync::Full);
        let ours = found.get("ours").unwrap().remove(0);
        assert_eq!(ours.message::<Value>().unwrap(), json!(2), "{in_place}");
        assert_eq!(found.len().unwrap(), 2, "{in_place}");
        let log = store.content(".gastown/replaced/log.jsonl").unwrap();
        let line: Value = serde_json::from_slice(&log).unwrap();
        assert_eq!(line["added_ids"], json!(["theirs"]), "{line}");
        assert_eq!(line["removed_ids"], json!([]), "{line}");
    }
}

#[test]
fn a_snapshot_that_was_replaced_by_nonsense_is_damage_and_stays() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!(1)).unwrap();
    std::mem::forget(inbound);
    store.put("inbound.json", b"[{\"message\":");
    let error = bodies(&queue(&store.another_process(), Sync::Full)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.path().unwrap().ends_with("inbound.json"), "{error}");
    assert_eq!(store.content("inbound.json").unwrap(), b"[{\"message\":");
}

#[test]
fn a_mending_that_is_cut_short_loses_nothing() {
    for last in 0.. {
        let store = store();
        let inbound = queue(&store, Sync::Full);
        inbound.send(&json!(1)).unwrap();
        inbound.checkpoint().unwrap();
        inbound.send(&json!(2)).unwrap();
        store.put("inbound.json", b"[{\"message\":1},{\"message\":3}]");
        store.pass(2000);
        store.die(last);
        let mended = bodies(&inbound);
        std::mem::forget(inbound);
        for names in ["", "no name", ".journal", "inbound.json"] {
            let cut = store.power_cut_keeping(Unsynced::Dropped, |name| name.ends_with(names));
            let found = bodies(&queue(&cut, Sync::Full)).unwrap();
            assert_eq!(found.len(), 3, "{last} {names}: {found:?}");
        }
        if mended.is_ok() {
            assert!(last > 8, "{last}");
            break;
        }
    }
}

/// What can be seen of every message.
fn seen(queue: &Queue) -> Vec<(Value, u64, String, Option<String>)> {
    let page = queue.list(&crate::List::new().limit(1000)).unwrap();
    let one = |envelope: &crate::Envelope| {
        let error = envelope.error().map(str::to_owned);
        (
            envelope.message().unwrap(),
            envelope.attempts(),
            envelope.state().to_string(),
            error,
        )
    };
    page.envelopes.iter().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The plain queue is the model: whatever three processes do and whenever they begin anew, both show the same.
    #[test]
    fn a_journalled_queue_does_what_a_plain_one_does(steps in proptest::collection::vec((0usize..13, 0usize..3), 1..60)) {
        let stores = [FaultStore::plain(), store()];
        let open = |store: &FaultStore| queue(&store.another_process(), Sync::Full);
        let mut processes: Vec<Vec<Queue>> =
            stores.iter().map(|store| (0..3).map(|_| open(store)).collect()).collect();
        for (number, who) in steps {
            for (store, queues) in stores.iter().zip(&mut processes) {
                match number {
                    10 => queues[who] = open(store),
                    11 => queues[who].send(&json!("x".repeat(30_000))).map(drop).unwrap(),
                    12 => drop(queues[who].purge(Some(crate::State::Leased)).unwrap()),
                    number => step(&queues[who], number).unwrap(),
                }
            }
            prop_assert_eq!(seen(&processes[0][who]), seen(&processes[1][who]));
        }
        prop_assert_eq!(seen(&open(&stores[0])), seen(&open(&stores[1])));
        drop(processes);
        let messages = seen(&open(&stores[1])).len();
        queue(&stores[1].another_process(), Sync::Full).checkpoint().unwrap();
        let shown = stores[1].content("inbound.json").map_or(0, |file| {
            serde_json::from_slice::<Vec<Value>>(&file).unwrap().len()
        });
        prop_assert_eq!(shown, messages);
    }
}

#[test]
fn whoever_removes_the_lock_file_nothing_is_lost_and_a_journal_belongs_to_one_lock_file() {
    let store = store();
    let processes = [
        queue(&store, Sync::Off),
        queue(&store.another_process(), Sync::Off),
        queue(&store.another_process(), Sync::Off),
    ];
    let mut expected = std::collections::VecDeque::new();
    let mut journals = std::collections::BTreeSet::new();
    for number in 0..200usize {
        if number % 7 != 3 {
            store.take_away(LOCK);
        }
        let inbound = &processes[number * number % 3];
        if number % 3 == 2 {
            let popped = inbound.pop().unwrap();
            assert_eq!(
                popped.map(|message| message.message::<Value>().unwrap()),
                expected.pop_front(),
                "{number}"
            );
        } else {
            inbound.send(&json!(number)).unwrap();
            expected.push_back(json!(number));
        }
        store.pass(1);
        assert_eq!(
            bodies(&processes[number % 3]).unwrap(),
            *expected.make_contiguous(),
            "{number}"
        );
        journals.extend(store.inode_of(JOURNAL));
    }
    assert!(journals.len() > 50, "{}", journals.len());
}
