//! What becomes of a journalled queue whose journal was cut, zeroed or has a wrong bit: everything that was known to be
//! durable is there or its loss is told, and a repair saves what is whole.

use std::sync::Arc;

use serde_json::json;

use crate::format::frame;
use crate::format::name::QueueName;
use crate::store::fault::FaultStore;
use crate::store::journal::Journal;
use crate::{ErrorKind, List, Queue, Receive, Result, Spool, Sync};

const JOURNAL: &str = "inbound.json.journal";
const FRAMES: usize = 30;

fn queue(store: &FaultStore) -> Queue {
    let spool = Spool::builder("unused")
        .sync(Sync::Full)
        .open_on(Arc::new(store.another_process()));
    spool.unwrap().queue("inbound").unwrap()
}

fn messages(queue: &Queue) -> Result<usize> {
    Ok(queue.list(&List::new().limit(1000))?.envelopes.len())
}

/// A queue with a journal of 30 frames, of which each but the first holds a message; and where each frame begins.
fn filled(sync: Sync) -> (FaultStore, Vec<u8>, Vec<usize>) {
    let store = FaultStore::new();
    let inbound = queue(&store);
    let mut starts = vec![0];
    for number in 1..FRAMES {
        starts.push(store.content(JOURNAL).map_or(0, |journal| journal.len()));
        let message = crate::Message::new(&json!({ "n": number })).sync(sync);
        inbound.send(message).unwrap();
    }
    std::mem::forget(inbound);
    let journal = store.content(JOURNAL).unwrap();
    // Before the first send there was no journal: its frame comes behind the base.
    starts[1] = memchr::memmem::find(&journal[1..], b"flockq1 C").unwrap() + 1;
    (store, journal, starts)
}

/// The messages, as a process sees them that only looks.
fn glance(store: &FaultStore) -> Result<usize> {
    let name = QueueName::parse("inbound").unwrap();
    let (_, index) = Journal::open(store, &name)?.unwrap();
    Ok(index.len())
}

/// The queue with this journal: as many messages as are there, or none when it is damage.
fn opened(store: &FaultStore, journal: &[u8], what: &str) -> Option<usize> {
    store.put(JOURNAL, journal);
    match glance(store) {
        Ok(messages) => Some(messages),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
            assert!(
                error.path().unwrap().ends_with(JOURNAL) && error.offset().is_some(),
                "{what}: {error}"
            );
            None
        }
    }
}

/// The messages that the surviving headers say to be durable.
fn promised(journal: &[u8], starts: &[usize]) -> usize {
    let synced = |start: &usize| {
        let text = journal.get(start + 53..start + 69)?;
        let whole = journal.get(*start..start + 9)?.starts_with(b"flockq1 ");
        usize::from_str_radix(std::str::from_utf8(text).ok()?, 16)
            .ok()
            .filter(|_| whole)
    };
    let durable = starts.iter().filter_map(synced).max().unwrap_or(0);
    starts
        .iter()
        .skip(1)
        .filter(|start| **start < durable)
        .count()
}

#[test]
fn every_truncation_keeps_the_messages_of_the_whole_frames() {
    for sync in [Sync::Full, Sync::Off] {
        let (store, journal, starts) = filled(sync);
        for length in 0..journal.len() {
            let whole = starts.iter().filter(|start| **start <= length).count();
            match opened(&store, &journal[..length], &format!("{length}")) {
                Some(found) => assert_eq!(found, whole - 2, "{length}"),
                None => assert!(length < starts[1], "{length}"),
            }
        }
    }
}

#[test]
fn every_zeroed_block_is_told_or_costs_only_what_was_not_known_to_be_durable() {
    for sync in [Sync::Full, Sync::Off] {
        let (store, journal, starts) = filled(sync);
        for block in 0..journal.len().div_ceil(512) {
            let mut broken = journal.clone();
            let end = broken.len().min(block * 512 + 512);
            broken[block * 512..end].fill(0);
            let promised = promised(&broken, &starts);
            if let Some(found) = opened(&store, &broken, &format!("{block}")) {
                assert!(found >= promised, "{block}: {found}, {promised}");
            }
        }
    }
}

#[test]
fn whatever_is_left_of_three_unsynced_frames_what_was_synced_is_there_and_the_queue_goes_on() {
    let (store, synced, _) = filled(Sync::Full);
    let inbound = queue(&store);
    let mut ends = Vec::new();
    for number in 0..3 {
        let body = json!({ "n": number, "body": "x".repeat(400) });
        inbound
            .send(crate::Message::new(&body).sync(Sync::Off))
            .unwrap();
        ends.push(store.content(JOURNAL).unwrap().len());
    }
    std::mem::forget(inbound);
    let journal = store.content(JOURNAL).unwrap();
    let whole = |same: usize| FRAMES - 1 + ends.iter().filter(|end| **end <= same).count();
    for length in synced.len()..=journal.len() {
        let found = opened(&store, &journal[..length], &format!("{length}"));
        assert_eq!(found, Some(whole(length)), "{length}");
    }
    let first = synced.len() / 512;
    let sectors = journal.len().div_ceil(512) - first;
    for mask in 0_u32..1 << sectors {
        let mut broken = journal.clone();
        for sector in (0..sectors).filter(|sector| mask >> sector & 1 == 1) {
            // What was synced is not written again.
            let from = ((first + sector) * 512).max(synced.len());
            let to = ((first + sector) * 512 + 512).min(broken.len());
            broken[from..to].fill(0);
        }
        let pairs = broken.iter().zip(&journal);
        let same = pairs.take_while(|(one, other)| one == other).count();
        let found = opened(&store, &broken, &format!("{mask:b}"));
        assert_eq!(found, Some(whole(same)), "{mask:b}");
        let inbound = queue(&store);
        inbound.send(&json!("on")).unwrap();
        assert_eq!(messages(&inbound).unwrap(), whole(same) + 1, "{mask:b}");
        std::mem::forget(inbound);
    }
}

#[test]
fn every_flipped_bit_is_told_or_costs_only_what_was_not_known_to_be_durable() {
    for sync in [Sync::Full, Sync::Off] {
        let (store, journal, starts) = filled(sync);
        for place in 0..journal.len() {
            // Where nothing was synced there is little to lose: one bit of each byte.
            let some = place % 8..place % 8 + 1;
            for bit in if sync == Sync::Full { 0..8 } else { some } {
                let mut broken = journal.clone();
                broken[place] ^= 1 << bit;
                store.put(JOURNAL, &broken);
                let what = format!("{place} {bit}");
                let Some(found) = (match glance(&store) {
                    // The version is a part of what can be damaged.
                    Err(error) if error.kind() == ErrorKind::Version => None,
                    _ => opened(&store, &broken, &what),
                }) else {
                    continue;
                };
                let promised = promised(&broken, &starts);
                // A wrong bit in the watermark itself is found by the sum of its header.
                let damaged = starts.iter().rposition(|start| *start <= place).unwrap();
                assert!(
                    found >= promised.min(damaged.saturating_sub(1)),
                    "{what}: {found}, {promised}"
                );
                assert!(found < FRAMES, "{what}");
                // Behind every frame but the last stands one that says that it was durable.
                assert!(
                    sync == Sync::Off || damaged == FRAMES - 1,
                    "{what}: a durable message was dropped, and nobody said so"
                );
            }
        }
    }
}

#[test]
fn a_repair_saves_what_is_whole_keeps_the_original_and_says_what_is_lost() {
    let (store, journal, starts) = filled(Sync::Full);
    for damaged in 1..FRAMES {
        let mut broken = journal.clone();
        broken[starts[damaged] + 120] ^= 1;
        store.put(JOURNAL, &broken);
        store.put("inbound.json", b"[]\n");
        let found = queue(&store);
        if damaged == FRAMES - 1 {
            // The last one looks like a commit that was not finished.
            assert_eq!(messages(&found).unwrap(), FRAMES - 2);
            std::mem::forget(found);
            continue;
        }
        assert!(!found.check().unwrap().is_sound());
        let report = found.repair().unwrap();
        assert_eq!(
            (report.messages, report.damage.len()),
            (FRAMES as u64 - 2, 1),
            "{report:?}"
        );
        assert_eq!(report.damage[0].offset, Some(starts[damaged] as u64));
        let kept = report
            .kept
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
        let kept: Vec<String> = kept.collect();
        assert_eq!(store.content(&kept[1]).unwrap(), broken);
        assert_eq!(messages(&found).unwrap(), FRAMES - 2);
        let after = queue(&store).check().unwrap();
        assert!(
            after.is_sound() && after.messages == FRAMES as u64 - 2,
            "{after:?}"
        );
        assert_eq!(
            found.repair().unwrap().kept.len(),
            0,
            "a sound queue is left alone"
        );
    }
}

#[test]
fn a_repair_of_a_queue_without_its_journal_begins_with_its_snapshot() {
    let (store, _, _) = filled(Sync::Full);
    let inbound = queue(&store);
    inbound.checkpoint().unwrap();
    inbound.send(&json!("lost")).unwrap();
    store.take_away(JOURNAL);
    let report = inbound.repair().unwrap();
    assert_eq!(
        (report.messages, report.damage.len()),
        (FRAMES as u64 - 1, 1)
    );
    inbound.send(&json!("on")).unwrap();
    assert_eq!(messages(&queue(&store)).unwrap(), FRAMES);
}

#[test]
fn a_snapshot_that_was_damaged_is_found_again_under_its_second_name() {
    let (store, _, _) = filled(Sync::Full);
    let inbound = queue(&store);
    inbound.checkpoint().unwrap();
    let first = inbound.receive(Receive::new().detached()).unwrap().unwrap();
    first.ack().unwrap();
    std::mem::forget(inbound);
    store.put("inbound.json", b"\0\0\0\0");
    let found = queue(&store);
    assert_eq!(messages(&found).unwrap_err().kind(), ErrorKind::Corrupt);
    let report = found.repair().unwrap();
    assert_eq!(
        (report.messages, report.damage.len()),
        (FRAMES as u64 - 2, 0),
        "{report:?}"
    );
}

#[test]
fn a_plain_file_that_was_cut_off_gives_its_whole_messages() {
    let store = FaultStore::plain();
    let inbound = queue(&store);
    for number in 0..5 {
        inbound.send(&json!({ "n": number })).unwrap();
    }
    let whole = store.content("inbound.json").unwrap();
    store.put("inbound.json", &whole[..whole.len() - 30]);
    let report = inbound.repair().unwrap();
    assert_eq!(
        (report.messages, report.damage.len(), report.kept.len()),
        (4, 1, 1)
    );
    assert_eq!(messages(&inbound).unwrap(), 4);
    assert_eq!(
        store.content("inbound.json.damaged-1").unwrap(),
        &whole[..whole.len() - 30]
    );
}

#[test]
fn a_damaged_journal_beside_an_array_that_was_replaced_is_found_and_repaired() {
    let (store, journal, _) = filled(Sync::Full);
    let salt = frame::first(&journal).unwrap().unwrap().salt;
    let (_, end, _) =
        frame::scan(&journal, frame::Cursor::start(salt), journal.len() as u64).unwrap();
    let (nonsense, _) = end.frame(frame::Kind::Commit, 0, b"30 9 30\n+ 3\n\"\xff\"\n");
    store.put(JOURNAL, &[&journal[..], &nonsense].concat());
    store.put("inbound.json", b"[7]\n");
    let inbound = queue(&store);
    let report = inbound.check().unwrap();
    assert!(
        report.damage.len() == 1 && report.damage[0].path.ends_with(JOURNAL),
        "{report:?}"
    );
    assert_eq!(messages(&inbound).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(inbound.repair().unwrap().kept.len(), 2);
    assert!(inbound.check().unwrap().is_sound());
    assert!(messages(&inbound).unwrap() >= FRAMES - 1);
}

/// A conversion to plain was cut short before the journal was removed, and then somebody damaged the array. A process that knew
/// the queue before may have gone on with the journal.
#[test]
fn a_repair_of_a_plain_queue_with_a_journal_saves_what_is_in_it_and_removes_it() {
    for is_left_over in [true, false] {
        let (store, _, _) = filled(Sync::Full);
        let inbound = queue(&store);
        if is_left_over {
            inbound.checkpoint().unwrap();
        }
        std::mem::forget(inbound);
        let plain = br#"{"version":1,"queues":{"inbound":{"mode":"plain"}}}"#;
        store.put("flockq.json", plain);
        let whole = store.content("inbound.json").unwrap_or_default();
        store.put("inbound.json", &[&whole[..], b"nonsense"].concat());
        let inbound = queue(&store);
        assert!(messages(&inbound).is_err());
        let report = inbound.repair().unwrap();
        assert_eq!(report.messages, FRAMES as u64 - 1, "{report:?}");
        assert_eq!(report.kept.len(), 2, "{report:?}");
        assert!(store.content(JOURNAL).is_none());
        inbound.send(&json!("on")).unwrap();
        assert!(inbound.check().unwrap().is_sound());
        assert_eq!(messages(&queue(&store)).unwrap(), FRAMES);
    }
}

/// By a kill or a full disk, after which somebody repairs it again.
#[test]
fn a_repair_that_is_cut_short_and_begun_anew_repeats_nothing() {
    let mut cut_short = 0;
    for number in 0..40 {
        let (store, mut journal, starts) = filled(Sync::Full);
        journal[starts[5] + 120] ^= 1;
        store.put(JOURNAL, &journal);
        let process = store.another_process();
        let spool = Spool::builder("unused").open_on(Arc::new(process.clone()));
        let inbound = spool.unwrap().queue("inbound").unwrap();
        process.fail_from(number, libc::ENOSPC);
        cut_short += usize::from(inbound.repair().is_err());
        std::mem::forget(inbound);
        process.heal();
        let again = queue(&store);
        again.repair().unwrap();
        assert_eq!(messages(&again).unwrap(), FRAMES - 2, "{number}");
    }
    assert!(cut_short > 5, "{cut_short}");
}

/// The journal is damaged, and another program has put its own array in the place of the last checkpoint's.
#[test]
fn a_repair_saves_what_another_program_has_added() {
    let (store, _, _) = filled(Sync::Full);
    let inbound = queue(&store);
    inbound.checkpoint().unwrap();
    inbound.send(&json!("sent")).unwrap();
    inbound.send(&json!("behind")).unwrap();
    std::mem::forget(inbound);
    let journal = store.content(JOURNAL).unwrap();
    let sent = memchr::memmem::find(&journal, b":\"sent\"").unwrap();
    let mut broken = journal.clone();
    broken[sent + 2] ^= 1;
    store.put(JOURNAL, &broken);
    let whole = store.content("inbound.json").unwrap();
    let end = whole.iter().rposition(|byte| *byte == b']').unwrap();
    store.put(
        "inbound.json",
        &[&whole[..end], b",{\"message\":\"theirs\"}]"].concat(),
    );
    let found = queue(&store);
    let report = found.repair().unwrap();
    let is_told = |finding: &crate::Finding| finding.rule.contains("1 messages that only it has");
    assert!(report.damage.iter().any(is_told), "{report:?}");
    let text = store.content("inbound.json").unwrap();
    let has = |word: &str| memchr::memmem::find(&text, word.as_bytes()).is_some();
    assert!(has("theirs") && has("behind") && !has(":\"sent\""));
    assert_eq!(messages(&found).unwrap(), FRAMES - 1 + 2);
}
