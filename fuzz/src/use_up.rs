//! All that can be done with a queue whose files may be anything: damage is told in one line and nothing is written; what
//! is read can be changed and read again; a repair leaves a sound queue and the damaged files.

use std::collections::BTreeMap;
use std::path::Path;

use flockq::{
    Error, ErrorKind, List, LockWait, Message, Nack, Queue, Receive, Result, Spool, Sync,
};
use serde_json::value::RawValue;

use super::place::files;

/// More than any input holds.
const ALL: usize = 1_000_000;

pub fn open(spool: &Path) -> Result<Queue> {
    let spool = Spool::builder(spool)
        .sync(Sync::Off)
        .lock_wait(LockWait::NoWait)
        .open()?;
    spool.queue("q")
}

/// What every error must be.
pub fn told(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
    assert!(
        !matches!(error.kind(), ErrorKind::Internal | ErrorKind::Poisoned),
        "{text}"
    );
}

/// The elements, byte for byte.
pub fn texts(queue: &Queue) -> Result<Vec<Vec<u8>>> {
    let page = queue.list(&List::new().limit(ALL)).inspect_err(told)?;
    let mut texts: Vec<_> = page
        .envelopes
        .iter()
        .map(|one| one.text().to_vec())
        .collect();
    texts.sort_unstable();
    Ok(texts)
}

pub fn run(spool: &Path) {
    let before = files(spool);
    let Ok(queue) = open(spool).inspect_err(told) else {
        assert_eq!(files(spool), before, "who is refused changes nothing");
        return;
    };
    let sound = queue
        .check()
        .inspect_err(told)
        .is_ok_and(|report| report.is_sound());
    let _ = (
        texts(&queue),
        queue.stats(),
        queue.load(),
        queue.peek(3),
        queue.get("m1"),
    );
    // But for what others have left: a move that has not ended, and an array that is not the journal's.
    let moving = before.values().any(|file| holds(file, b"\"move\""));
    let replaced = || queue.check().is_ok_and(|report| report.replaced > 0);
    let before = match files(spool) {
        after if after == before || moving || replaced() => after,
        _ => panic!("who looks changes nothing"),
    };
    match texts(&queue) {
        Err(error) => {
            assert!(
                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Version),
                "{error}"
            );
            assert!(!sound, "{error}");
            refused(&queue, spool, &before);
        }
        Ok(_) if moving => drop(queue.pop().inspect_err(told)),
        Ok(texts) if sound => changed(queue, spool, texts),
        // A check reads more than an operation needs: where the sums are right, that elements are JSON is taken for granted.
        Ok(_) => drop(queue.receive(Receive::new().detached()).inspect_err(told)),
    }
    repaired(spool);
}

/// Nobody changes what is damaged.
fn refused(queue: &Queue, spool: &Path, before: &BTreeMap<String, Vec<u8>>) {
    let refusals = [
        queue.send(Message::from_json("1").id("sent")).err(),
        queue.receive(Receive::new()).err(),
        queue.pop().err(),
        queue.remove(&["m1"]).err(),
        queue.purge(None).err(),
        queue.save(&[]).err(),
        queue.update(Vec::clear).err(),
        queue.checkpoint().err(),
    ];
    for (place, refusal) in refusals.iter().enumerate() {
        told(
            refusal
                .as_ref()
                .unwrap_or_else(|| panic!("{place} was done")),
        );
    }
    assert_eq!(&files(spool), before, "what is damaged stays as it is");
}

/// What is sound can be used, and is the same for whoever opens it next.
fn changed(queue: Queue, spool: &Path, texts_before: Vec<Vec<u8>>) {
    assert_eq!(queue.len().unwrap(), texts_before.len() as u64);
    if queue
        .send(Message::from_json("1").id("sent"))
        .inspect_err(told)
        .is_ok()
    {
        let now = texts(&queue).unwrap();
        assert_eq!(now.len(), texts_before.len() + 1);
        let kept = texts_before
            .iter()
            .all(|text| now.binary_search(text).is_ok());
        assert!(kept, "a send touches nothing else");
    }
    let taken = queue
        .receive_many(50, Receive::new().detached())
        .inspect_err(told);
    for (place, delivery) in taken.unwrap_or_default().iter().enumerate() {
        let settled = match place % 2 {
            0 => delivery.ack(),
            _ => delivery.nack(&Nack::new().error("failed")),
        };
        settled.unwrap();
    }
    drop(queue.pop().inspect_err(told));
    let _ = queue.checkpoint().inspect_err(told);
    let left = texts(&queue).unwrap();
    drop(queue);
    let again = open(spool).unwrap();
    assert!(again.check().unwrap().is_sound());
    assert_eq!(
        texts(&again).unwrap(),
        left,
        "another process sees the same"
    );
    drop(again);
    if let Some(snapshot) = files(spool).get("q.json") {
        serde_json::from_slice::<Vec<&RawValue>>(snapshot).unwrap();
    }
}

fn repaired(spool: &Path) {
    let before = files(spool);
    let queue = open(spool).unwrap();
    let Ok(report) = queue.repair().inspect_err(told) else {
        return;
    };
    assert!(queue.check().unwrap().is_sound());
    // The first look brings moves to their end.
    let may_move = |text: &Vec<u8>| holds(text, b"move") || holds(text, b"\\u");
    let left = queue.len().unwrap();
    assert!(left <= report.messages);
    assert!(left == report.messages || before.values().any(may_move));
    for kept in &report.kept {
        let name = kept.file_name().unwrap().to_string_lossy();
        let (original, _) = name.split_once(".damaged-").unwrap();
        assert_eq!(std::fs::read(kept).unwrap(), before[original], "{name}");
    }
    queue.send(Message::from_json("2")).unwrap();
}

pub fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
