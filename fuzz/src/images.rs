//! The files of a queue as a crash may leave them: a snapshot and a journal of some moment, of which parts are cut off,
//! zeroed, flipped, exchanged or added to. What is read then is what the queue once held; nothing is missing of which a
//! frame that is still there says that it was durable; and everything else is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use flockq::{ErrorKind, List, LockWait, Message, Nack, Queue, Receive, Spool, Sync};
use serde_json::Value;

use super::input::Input;
use super::mend::{self, HEADER, header};
use super::{place, use_up};

const SECTOR: usize = 512;

/// What there is, by id (empty where a message has none, as after damage): the attempts of each message.
type State = BTreeMap<String, u64>;

/// The queue between two acts.
struct Moment {
    state: State,
    snapshot: Vec<u8>,
    journal: Vec<u8>,
}

impl Moment {
    fn salt(&self) -> u64 {
        header(&self.journal).unwrap().salt
    }
}

fn state(queue: &Queue) -> flockq::Result<State> {
    let page = queue.list(&List::new().limit(10_000))?;
    let envelopes = page.envelopes.iter();
    Ok(envelopes
        .map(|one| (one.id().unwrap_or_default().to_owned(), one.attempts()))
        .collect())
}

fn open(directory: &Path, sync: Sync) -> Queue {
    let spool = Spool::builder(directory)
        .sync(sync)
        .lock_wait(LockWait::NoWait);
    spool.open().unwrap().queue("q").unwrap()
}

/// Does what the input says, and writes down what there was after each act.
fn lived(input: &mut Input<'_>) -> Vec<Moment> {
    let directory = place::empty();
    let queue = open(&directory, Sync::Full);
    let (mut moments, mut taken, mut sent) = (Vec::new(), Vec::new(), 0);
    let acts = input.byte() % 24 + 1;
    for _ in 0..acts {
        let act = if moments.is_empty() { 0 } else { input.byte() };
        match act % 8 {
            0..=2 => {
                let sync = [Sync::Full, Sync::Off][usize::from(act / 8 % 2)];
                let body = "x".repeat(usize::from(act / 16) * 40);
                let messages = (0..=act / 8 % 3).map(|_| {
                    sent += 1;
                    Message::from_json(format!("{{\"id\":\"m{sent}\",\"body\":\"{body}\"}}"))
                        .sync(sync)
                });
                queue.send_many(messages.collect::<Vec<_>>()).unwrap();
            }
            3 => taken.extend(queue.receive(Receive::new().detached()).unwrap()),
            4 => {
                if let Some(delivery) = taken.pop() {
                    delivery.ack().unwrap();
                }
            }
            5 => {
                if let Some(delivery) = taken.pop() {
                    delivery.nack(&Nack::new().error("failed")).unwrap();
                }
            }
            6 => drop(queue.pop().unwrap()),
            _ => queue.checkpoint().unwrap(),
        }
        let journal = fs::read(directory.join("q.json.journal")).unwrap();
        if moments.is_empty() {
            // Before the first commit, which came with its base.
            let base = HEADER + header(&journal).unwrap().length;
            moments.push(Moment {
                state: State::new(),
                snapshot: fs::read(directory.join("q.json")).unwrap(),
                journal: journal[..base].to_vec(),
            });
        }
        moments.push(Moment {
            state: state(&queue).unwrap(),
            snapshot: fs::read(directory.join("q.json")).unwrap(),
            journal,
        });
    }
    moments
}

/// The old journal as it is when a checkpoint has written its switch, and the new journal is not in place yet.
fn switched(old: &Moment, new: &Moment) -> Vec<u8> {
    let end = 97 + header(&new.journal).unwrap().length;
    let mut base: Value = serde_json::from_slice(&new.journal[HEADER..end]).unwrap();
    base["salt"] = format!("{:016x}", new.salt()).into();
    base["from"] = old.journal.len().into();
    base["copied"] = 0.into();
    mend::append(&old.journal, 'S', format!("{base}\n").as_bytes())
}

/// Harms one of the files; some moments' files are there to take parts from.
fn harm(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    let sectors = bytes.len().div_ceil(SECTOR).max(1);
    let (how, at) = (input.byte(), input.number());
    let sector = |bytes: &Vec<u8>, place: usize| {
        let from = (place % sectors * SECTOR).min(bytes.len());
        from..(from + SECTOR).min(bytes.len())
    };
    match how % 6 {
        0 => bytes.truncate(at),
        1 => {
            let range = sector(bytes, at);
            bytes[range].fill(0);
        }
        2 => {
            let from = at.min(bytes.len());
            bytes[from..].fill(0);
        }
        3 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (how / 6 % 8);
            }
        }
        4 => {
            let (one, other) = (sector(bytes, at), sector(bytes, usize::from(how / 6)));
            let from = bytes[one.clone()].to_vec();
            let to = bytes[other.clone()].to_vec();
            if from.len() == to.len() {
                bytes[one].copy_from_slice(&to);
                bytes[other].copy_from_slice(&from);
            }
        }
        _ => bytes.extend(vec![0; at % 2000]),
    }
}

pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let moments = lived(&mut input);
    let last = moments.len() - 1;
    let back = |steps: u8| last - usize::from(steps) % moments.len();
    let (of_journal, of_snapshot) = (back(input.byte()), back(input.byte()));
    let (then, base) = (&moments[of_journal], &moments[of_snapshot]);
    let (mut snapshot, mut journal) = (base.snapshot.clone(), then.journal.clone());
    let mut followed_by_a_switch = false;
    let next = moments
        .get(of_journal + 1)
        .filter(|next| next.salt() != then.salt());
    if let Some(next) = next.filter(|_| input.byte() % 2 == 1 && of_snapshot <= of_journal + 1) {
        followed_by_a_switch = true;
        journal = switched(then, next);
    }
    let sound_journal = journal.clone();
    for _ in 0..input.byte() % 4 {
        match input.byte() % 4 {
            0 => harm(&mut snapshot, &mut input),
            _ => harm(&mut journal, &mut input),
        }
    }
    let directory = place::empty();
    let record = r#"{"version":1,"queues":{"q":{"mode":"journal"}}}"#;
    fs::write(directory.join("flockq.json"), record).unwrap();
    fs::write(directory.join("q.json"), &snapshot).unwrap();
    fs::write(directory.join("q.json.journal"), &journal).unwrap();
    let queue = open(&directory, Sync::Off);
    let read = state(&queue).inspect_err(use_up::told);
    let fits = snapshot == base.snapshot && base.salt() == then.salt();
    match &read {
        Err(error) => {
            assert!(
                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Version),
                "{error}"
            );
            let torn = fits && is_torn(&sound_journal, &journal);
            assert!(!torn, "what was being written is no damage: {error}");
        }
        Ok(found) if fits => {
            let generation = moments[..=of_journal]
                .iter()
                .filter(|one| one.salt() == then.salt());
            let held =
                |one: &&Moment| one.state == *found && keeps(&one.journal, &journal, then.salt());
            assert!(
                generation.clone().any(|one| held(&one)),
                "{found:?} is not what the queue held when all was written that is known to be durable"
            );
        }
        Ok(found) => {
            let after_a_checkpoint =
                followed_by_a_switch && snapshot == moments[of_journal + 1].snapshot;
            if !after_a_checkpoint {
                foreign(&queue, &snapshot, &journal);
            } else if journal == sound_journal {
                assert_eq!(found, &moments[of_journal + 1].state);
            }
        }
    }
    drop(queue);
    use_up::run(&directory);
}

/// Whether no surviving frame behind this journal's end says that something is missing there (INV-20, from outside).
fn keeps(whole: &[u8], damaged: &[u8], salt: u64) -> bool {
    let mut frames = 0;
    let mut at = 0;
    while let Some(found) = header(whole.get(at..).unwrap_or_default()) {
        at += HEADER + found.length;
        frames += 1;
    }
    (0..damaged.len())
        .filter_map(|place| header(&damaged[place..]))
        .all(|found| {
            found.salt != salt || found.number < frames || found.synced <= whole.len() as u64
        })
}

/// Whether a part of the whole, its base at least, is there and nothing but zeros behind it.
fn is_torn(whole: &[u8], damaged: &[u8]) -> bool {
    let same = whole
        .iter()
        .zip(damaged)
        .take_while(|(one, other)| one == other)
        .count();
    let base = HEADER + header(whole).unwrap().length;
    same >= base && damaged[same..].iter().all(|byte| *byte == 0)
}

/// Another array than the journal's is never taken for it unsaid: the next change counts it.
fn foreign(queue: &Queue, snapshot: &[u8], journal: &[u8]) {
    let bound = {
        let end = header(journal).map_or(0, |found| HEADER + found.length);
        let base: Value = serde_json::from_slice(journal.get(HEADER..end).unwrap_or_default())
            .unwrap_or_default();
        base["snapshot"]["hash"] == format!("{:032x}", mend::hash(snapshot))
    };
    if bound {
        return;
    }
    let sent = queue
        .send(Message::from_json("1").id("sent"))
        .inspect_err(use_up::told);
    if sent.is_ok() {
        assert!(
            queue.check().unwrap().replaced > 0,
            "the array was replaced, and nobody said so"
        );
    }
}
