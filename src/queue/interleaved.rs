//! What others do to a journalled queue between two steps of one operation, on the store in memory.

use std::sync::Arc;

use serde_json::json;

use super::Queue;
use super::attached::Attached;
use super::change::Wish;
use super::journalled::{JOURNAL, LOCK, bodies, queue, store};
use super::look::Probe;
use crate::format::envelope::Element;
use crate::format::frame;
use crate::format::name::CHECKPOINT_SUFFIX;
use crate::index::{Change, Plan};
use crate::store::fault::Unsynced;
use crate::store::files::{Files, Need};
use crate::store::journal::Unsynced as Unfinished;
use crate::store::lock::Hold;
use crate::{ErrorKind, Sync};

#[test]
fn a_change_of_the_array_that_was_cut_short_is_seen_by_who_goes_on_at_once() {
    let filled = || {
        let store = store();
        let (one, other) = (
            queue(&store, Sync::Full),
            queue(&store.another_process(), Sync::Full),
        );
        one.send_many(&[json!(1), json!(2)]).unwrap();
        assert_eq!(bodies(&other).unwrap().len(), 2);
        store.forget_effects();
        (store, one, other)
    };
    let drop_the_last = |queue: &Queue| queue.update(|array| drop(array.pop()));
    let (store, one, _) = filled();
    drop_the_last(&one).unwrap();
    let named = |effect: &String| effect == "rename inbound.json";
    let named = store.effects().iter().position(named).unwrap();
    let (store, one, other) = filled();
    // Killed behind the first of the two renames.
    store.die(named + 1);
    assert!(drop_the_last(&one).is_err());
    std::mem::forget(one);
    store.heal();
    other.send(&json!(3)).unwrap();
    for queue in [&other, &queue(&store.another_process(), Sync::Full)] {
        assert_eq!(bodies(queue).unwrap(), [json!(1), json!(3)]);
        assert!(queue.check().unwrap().is_sound());
    }
    // Who has seen the array of before, and looks again only when somebody else has gone on from the new one.
    for with_lock_file in [true, false] {
        let (store, one, idle) = filled();
        store.die(named + 1);
        assert!(drop_the_last(&one).is_err());
        std::mem::forget(one);
        store.heal();
        let other = queue(&store.another_process(), Sync::Full);
        if !with_lock_file {
            store.take_away(LOCK);
        }
        other.checkpoint().unwrap();
        idle.send(&json!(3)).unwrap();
        for queue in [&idle, &other, &queue(&store.another_process(), Sync::Full)] {
            assert_eq!(
                bodies(queue).unwrap(),
                [json!(1), json!(3)],
                "{with_lock_file}"
            );
            assert!(queue.check().unwrap().is_sound());
        }
    }
}

#[test]
fn who_only_sends_goes_on_when_another_program_has_replaced_file_and_lock_file() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!("before")).unwrap();
    std::mem::forget(inbound);
    let sender = queue(&store.another_process(), Sync::Full);
    sender.send(&json!("sent")).unwrap();
    store.put("inbound.json", br#"[{"message":"theirs"}]"#);
    store.take_away(LOCK);
    for _ in 0..3 {
        sender.send(&json!("on")).unwrap();
    }
    let found = bodies(&queue(&store.another_process(), Sync::Full)).unwrap();
    assert_eq!(found[0], json!("theirs"));
    let on = found.iter().filter(|body| **body == json!("on")).count();
    assert_eq!(on, 3, "{found:?}");
}

/// Who only sends has not looked at the file.
#[test]
fn whatever_comes_next_goes_on_when_another_program_has_replaced_the_file() {
    let next: [fn(&Queue) -> crate::Result<()>; 3] = [
        |sender| sender.close(),
        |sender| sender.sync(),
        |sender| sender.mode().map(drop),
    ];
    for next in next {
        let store = store();
        queue(&store, Sync::Full).send(&json!("before")).unwrap();
        let sender = queue(&store.another_process(), Sync::Full);
        sender.send(&json!("sent")).unwrap();
        store.put("inbound.json", br#"[{"message":"theirs"}]"#);
        next(&sender).unwrap();
        let found = bodies(&queue(&store.another_process(), Sync::Full)).unwrap();
        assert_eq!(found, [json!("theirs"), json!("sent")]);
    }
}

/// Between a commit and its sync other threads look at the queue without its lock.
#[test]
fn a_commit_is_synced_whatever_another_thread_sees_before_that() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!("first")).unwrap();
    let handle = &inbound.handle;
    let (attached, hold, unsynced) = append(&inbound, "kept");
    // A look that failed: everything is read again.
    attached.entry.state().files.forget();
    handle.finish(&attached, hold, unsynced.as_ref()).unwrap();
    let cut = store.power_cut(Unsynced::Dropped, Unsynced::Dropped);
    let found = bodies(&queue(&cut, Sync::Full)).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_commit_is_synced_unless_the_generation_that_has_it_is_there_to_stay() {
    let mut taken_over = 0;
    for last in 0..24 {
        let store = store();
        let inbound = queue(&store, Sync::Full);
        inbound.send(&json!("first")).unwrap();
        let (attached, hold, unsynced) = append(&inbound, "kept");
        store.take_away(LOCK);
        let process = store.another_process();
        let other = queue(&process, Sync::Full);
        process.die(last);
        let is_done = other.send(&json!("other")).is_ok();
        std::mem::forget(other);
        process.heal();
        let looked = |files: &mut Files| {
            files
                .refresh(&store, &inbound.handle.name, Need::Index)
                .map(drop)
        };
        looked(&mut attached.entry.state().files).unwrap();
        let lock = hold.lock_file().unwrap();
        taken_over +=
            usize::from(!is_done && attached.entry.state().files.journal().unwrap().lock() != lock);
        let finished = inbound.handle.finish(&attached, hold, unsynced.as_ref());
        std::mem::forget(inbound);
        for names in [Unsynced::Dropped, Unsynced::Kept] {
            let cut = store.power_cut(Unsynced::Dropped, names);
            let found = bodies(&queue(&cut, Sync::Full)).unwrap();
            let is_kept = found.contains(&json!("kept"));
            assert!(finished.is_err() || is_kept, "{last} {names:?}: {found:?}");
        }
    }
    assert!(taken_over > 0);
}

/// A commit under the lock, which is held on.
fn append(queue: &Queue, body: &str) -> (Arc<Attached>, Hold, Option<Unfinished>) {
    let handle = &queue.handle;
    let attached = handle.attached().unwrap();
    let hold = attached
        .hold_for_change(&handle.patience(), &mut || ())
        .unwrap();
    let element = Element::parse(Arc::from(
        format!("{{\"message\":\"{body}\"}}").into_bytes(),
    ));
    let element = element.unwrap();
    let (wish, probe) = (Wish::Keep(None), Probe::None);
    let changed = handle.change_held(&attached, &hold, wish, Need::Index, probe, |_, _, _| {
        let changes = vec![Change::Append(element.clone())];
        Ok(Plan {
            changes,
            result: (),
        })
    });
    let ((), unsynced) = changed.unwrap();
    assert!(unsynced.is_some());
    (attached, hold, unsynced)
}

#[test]
fn what_another_program_puts_in_place_during_a_checkpoint_is_not_overwritten() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!("ours")).unwrap();
    let handle = &inbound.handle;
    let attached = handle.attached().unwrap();
    let hold = attached.hold(&handle.patience()).unwrap();
    let mut state = attached.entry.state();
    let cut = state
        .files
        .cut(&store, &handle.name, &hold)
        .unwrap()
        .unwrap();
    let fold = cut.write(&store, &handle.name, CHECKPOINT_SUFFIX).unwrap();
    let Some(journal) = state.files.journal_mut() else {
        panic!("it has a journal")
    };
    store.put("inbound.json", br#"[{"message":"theirs"}]"#);
    assert!(
        fold.end(journal, &store, &handle.name, &hold)
            .unwrap()
            .is_none()
    );
    state.files.forget();
    drop((state, hold));
    inbound.send(&json!("on")).unwrap();
    assert_eq!(
        bodies(&inbound).unwrap(),
        [json!("theirs"), json!("ours"), json!("on")]
    );
    assert!(inbound.check().unwrap().is_sound());
}

/// The system has thrown away what it could not write, and whoever copies it reads something else.
#[test]
fn a_checkpoint_behind_a_failed_sync_copies_nothing_that_has_gone() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!("x".repeat(9000))).unwrap();
    let end = store.content(JOURNAL).unwrap().len();
    let (attached, hold, _) = append(&inbound, &"y".repeat(9000));
    {
        let mut state = attached.entry.state();
        let journal = state.files.journal_mut().unwrap();
        journal.poison(&store, &inbound.handle.name);
    }
    drop(hold);
    let mut bytes = store.content(JOURNAL).unwrap();
    bytes[end + 500..end + 6000].fill(0);
    store.overwrite(JOURNAL, &bytes);
    let error = inbound.checkpoint().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let text = String::from_utf8(store.content("inbound.json").unwrap()).unwrap();
    assert!(
        !text.contains('\0') && !text.contains('y'),
        "nothing of it was copied"
    );
}

#[test]
fn a_checkpoint_hears_of_a_sync_that_failed_for_another_thread() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!("x".repeat(9000))).unwrap();
    let end = store.content(JOURNAL).unwrap().len();
    let (attached, hold, unsynced) = append(&inbound, &"y".repeat(9000));
    let name = &inbound.handle.name;
    let cut = attached.entry.state().files.cut(&store, name, &hold);
    drop(hold);
    // Whoever is told cannot say so to the others yet: the checkpoint's end comes first.
    store.fail(0, libc::EIO);
    assert!(unsynced.unwrap().sync().is_err());
    store.heal();
    let bytes = store.content(JOURNAL).unwrap();
    let mut gone = bytes.clone();
    gone[end + 500..end + 6000].fill(0);
    store.overwrite(JOURNAL, &gone);
    let fold = cut.unwrap().unwrap().write(&store, name, CHECKPOINT_SUFFIX);
    assert!(fold.is_err(), "the cut was before the failure");
    let error = inbound.checkpoint().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(store.content("inbound.json").unwrap(), b"[]\n");
    // What is there after all is saved.
    store.overwrite(JOURNAL, &bytes);
    inbound.checkpoint().unwrap();
    let cut = store.power_cut(Unsynced::Dropped, Unsynced::Dropped);
    assert_eq!(bodies(&queue(&cut, Sync::Full)).unwrap().len(), 2);
}

/// Whoever opened the journal after that sync is told of nothing.
#[test]
fn a_checkpoint_copies_nothing_that_a_sync_of_another_process_has_lost() {
    let store = store();
    let inbound = queue(&store, Sync::Off);
    inbound.send(&json!("x")).unwrap();
    let end = store.content(JOURNAL).unwrap().len();
    inbound.send(&json!("y".repeat(9000))).unwrap();
    std::mem::forget(inbound);
    let other = queue(&store.another_process(), Sync::Off);
    assert_eq!(bodies(&other).unwrap().len(), 2);
    let mut bytes = store.content(JOURNAL).unwrap();
    bytes[end + 500..end + 6000].fill(0);
    store.overwrite(JOURNAL, &bytes);
    let error = other.checkpoint().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(store.content("inbound.json").unwrap(), b"[]\n");
}

#[test]
fn bodies_can_be_read_although_another_checkpoint_comes_before_it_is_told_where_they_are() {
    let store = store();
    let inbound = queue(&store, Sync::Off);
    let other = queue(&store.another_process(), Sync::Off);
    inbound.send_many(&[json!(1), json!(2)]).unwrap();
    let name = &inbound.handle.name;
    let attached = inbound.handle.attached().unwrap();
    let hold = attached.hold(&inbound.handle.patience()).unwrap();
    let mut places = {
        let files = &mut attached.entry.state().files;
        let cut = files.cut(&store, name, &hold).unwrap().unwrap();
        let fold = cut.write(&store, name, CHECKPOINT_SUFFIX).unwrap();
        files.end(&store, name, fold, &hold).unwrap().unwrap()
    };
    drop(hold);
    store.pass(10);
    other.send(&json!(3)).unwrap();
    other.checkpoint().unwrap();
    assert_eq!(inbound.len().unwrap(), 3);
    while !attached.entry.state().files.relocate(&mut places, 1) {}
    assert_eq!(bodies(&inbound).unwrap(), [json!(1), json!(2), json!(3)]);
}

#[test]
fn who_only_sends_does_not_read_the_queue_when_it_waits_for_the_end_of_a_checkpoint() {
    let filled = || {
        let store = store();
        let one = queue(&store, Sync::Full);
        one.send_many(&[json!(1), json!(2)]).unwrap();
        let sender = queue(&store.another_process(), Sync::Full);
        sender.send(&json!(3)).unwrap();
        store.forget_effects();
        (store, one, sender)
    };
    let (store, one, _) = filled();
    one.checkpoint().unwrap();
    let named = |effect: &String| effect == "rename inbound.json";
    let named = store.effects().iter().position(named).unwrap();
    let (store, one, sender) = filled();
    // The switch is there, and what it leads to has no name yet.
    store.fail(named, libc::EIO);
    assert!(one.checkpoint().is_err());
    store.heal();
    let attached = sender.handle.attached().unwrap();
    for _ in 0..2 {
        sender.handle.catch_up(&attached, Need::Tail);
        assert_eq!(attached.entry.state().files.index().len(), 0);
    }
    one.checkpoint().unwrap();
    sender.handle.catch_up(&attached, Need::Tail);
    sender.send(&json!(4)).unwrap();
    assert_eq!(attached.entry.state().files.index().len(), 0);
    assert_eq!(bodies(&one).unwrap().len(), 4);
}

/// The guard is lost in the middle of a checkpoint that has to come first.
#[test]
fn a_setting_is_not_said_to_be_told_when_it_was_not() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send(&json!(1)).unwrap();
    let handle = &inbound.handle;
    let attached = handle.attached().unwrap();
    let hold = attached.hold(&handle.patience()).unwrap();
    {
        let files = &mut attached.entry.state().files;
        files.journal_mut().unwrap().poison(&store, &handle.name);
        store.take_away(&handle.names.guard);
        assert!(!files.announce(&store, &handle.name, &hold).unwrap());
    }
    drop(hold);
    handle.announce().unwrap();
}

/// Between two steps of a move another thread looks at the queue without its lock, and sees what another program has put there.
#[test]
fn no_step_of_a_move_is_made_on_what_was_read_anew_since() {
    let store = store();
    let inbound = queue(&store, Sync::Full);
    inbound.send_many(&[json!(1), json!(2)]).unwrap();
    let (handle, journal) = (&inbound.handle, store.content(JOURNAL));
    let attached = handle.attached().unwrap();
    let hold = attached.hold(&handle.patience()).unwrap();
    let reading = {
        let files = &mut attached.entry.state().files;
        files.refresh(&store, &handle.name, Need::Index).unwrap();
        files.reading()
    };
    assert!(reading.is_some());
    store.put("inbound.json", br#"[{"message":"theirs"}]"#);
    store.pass(1001);
    handle.catch_up(&attached, Need::Index);
    let copy = Element::parse(Arc::from(&b"{\"message\":3}"[..])).unwrap();
    for reading in [reading, None] {
        let changes = [Change::Append(copy.clone())];
        let done = handle.commit_held(&attached, &hold, reading, &changes);
        assert!(!done.unwrap());
        assert_eq!(store.content(JOURNAL), journal);
    }
    assert!(!handle.sync_held(&attached, &hold, reading).unwrap());
    drop(hold);
    assert_eq!(
        bodies(&queue(&store.another_process(), Sync::Full)).unwrap(),
        [json!("theirs"), json!(1), json!(2)]
    );
}

/// Who took the journal over wrote where somebody was still appending under the lock file that had been removed, and died.
#[test]
fn a_commit_is_in_the_queue_only_if_all_that_it_stands_behind_is() {
    let store = store();
    let first = queue(&store, Sync::Full);
    first.send(&json!("first")).unwrap();
    let sender = queue(&store.another_process(), Sync::Off);
    sender.send(&json!("second")).unwrap();
    let whole = store.content(JOURNAL).unwrap();
    first.send(&json!("gone")).unwrap();
    assert_eq!(bodies(&sender).unwrap().len(), 3);
    let salt = frame::first(&whole).unwrap().unwrap().salt;
    let start = frame::Cursor::start(salt);
    let (_, end, _) = frame::scan(&whole, start, whole.len() as u64).unwrap();
    let more = store.content(JOURNAL).unwrap().len() - whole.len() - frame::HEADER_BYTES;
    let (in_its_place, _) = end.frame(frame::Kind::Notice, 0, &vec![b' '; more]);
    store.overwrite(JOURNAL, &[&whole[..], &in_its_place].concat());
    store.take_away(LOCK);
    sender.send(&json!("kept")).unwrap();
    std::mem::forget((first, sender));
    assert_eq!(
        bodies(&queue(&store.another_process(), Sync::Full)).unwrap(),
        [json!("first"), json!("second"), json!("kept")]
    );
}

/// What the disk has refused may go from the system's memory at any time, also when somebody has written it anew.
#[test]
fn who_has_read_what_a_failed_sync_left_reads_it_again_where_it_is_durable() {
    let store = store();
    let inbound = queue(&store, Sync::Off);
    inbound.send(&json!("x")).unwrap();
    let reader = queue(&store.another_process(), Sync::Off);
    assert_eq!(bodies(&reader).unwrap().len(), 1);
    {
        let attached = inbound.handle.attached().unwrap();
        let _hold = attached.hold(&inbound.handle.patience()).unwrap();
        let mut state = attached.entry.state();
        let journal = state.files.journal_mut().unwrap();
        journal.poison(&store, &inbound.handle.name);
    }
    let reading = || {
        reader
            .handle
            .attached()
            .unwrap()
            .entry
            .state()
            .files
            .reading()
    };
    let before = reading();
    inbound.checkpoint().unwrap();
    assert_eq!(bodies(&reader).unwrap(), [json!("x")]);
    assert_ne!(reading(), before);
}
