//! What was asked of the queues and what was confirmed, with how long the log of the disk was then; and what has to be
//! there after a power cut at any moment.

use std::collections::BTreeMap;
use std::sync::Mutex;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    Send,
    /// An ack or a pop; whether it is on stable storage when it is confirmed.
    Take {
        is_durable: bool,
    },
    Move,
}

#[derive(Clone, Debug)]
struct Event {
    act: Act,
    /// Where the message is afterwards; or was, if it was taken.
    queue: &'static str,
    asked: usize,
    /// None: it failed, and its outcome is not known.
    told: Option<usize>,
}

/// What is known of one message at some moment.
#[derive(Clone, Debug)]
pub struct Expected {
    pub least: usize,
    pub most: usize,
    pub queues: Vec<&'static str>,
}

/// By id, the messages that anybody tried to send.
pub type Expectation = BTreeMap<String, Expected>;

#[derive(Default)]
pub struct Ledger(Mutex<BTreeMap<String, Vec<Event>>>);

impl Ledger {
    pub fn note(&self, id: &str, act: Act, queue: &'static str, asked: usize, told: Option<usize>) {
        let event = Event {
            act,
            queue,
            asked,
            told,
        };
        let mut events = self.0.lock().unwrap();
        events.entry(id.to_owned()).or_default().push(event);
    }

    /// How many sends were confirmed.
    pub fn confirmed(&self) -> usize {
        let all = self.0.lock().unwrap();
        let is_sent = |event: &&Event| event.act == Act::Send && event.told.is_some();
        all.values().flatten().filter(is_sent).count()
    }

    /// What has to be there if the log of the disk ends at this length.
    pub fn expected(&self, at: usize) -> Expectation {
        let all = self.0.lock().unwrap();
        all.iter()
            .filter_map(|(id, events)| Some((id.clone(), expected(events, at)?)))
            .collect()
    }
}

/// None if nobody had tried to send it yet.
fn expected(events: &[Event], at: usize) -> Option<Expected> {
    // Takes are of other processes than the rest, and may be noted before the send; sends and moves are in order.
    let is_told = |event: &Event| {
        let is_promised = event.act != Act::Take { is_durable: false };
        is_promised && event.told.is_some_and(|told| told <= at)
    };
    // What was promised counts, also where the disk was told nothing of it.
    let is_begun = |event: &&Event| event.asked < at || is_told(event);
    let begun = || events.iter().filter(is_begun);
    begun().find(|event| event.act == Act::Send)?;
    let mut known = Expected {
        least: 0,
        most: 1,
        queues: Vec::new(),
    };
    let mut is_taken = false;
    for event in begun() {
        match event.act {
            Act::Take { .. } => {
                is_taken = true;
                if is_told(event) {
                    known.most = 0;
                }
            }
            Act::Send | Act::Move => {
                if is_told(event) {
                    known.queues.clear();
                }
                known.queues.push(event.queue);
                known.least = usize::from(known.least == 1 || is_told(event));
            }
        }
    }
    if is_taken {
        known.least = 0;
    }
    Some(known)
}

/// What is wrong with what was found: ids, with the queue of each.
pub fn judge(expectation: &Expectation, found: &[(String, String)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, queue) in found {
        match expectation.get(id) {
            None => wrong.push(format!("{id} in {queue} was never sent")),
            Some(known) if known.most == 0 => {
                wrong.push(format!("{id} in {queue} was acked, and is back"));
            }
            Some(known) if !known.queues.contains(&queue.as_str()) => {
                wrong.push(format!("{id} is in {queue}, and not in {known:?}"));
            }
            Some(_) => {}
        }
    }
    for (id, known) in expectation {
        let count = found.iter().filter(|(other, _)| other == id).count();
        if count < known.least {
            wrong.push(format!("{id} is lost"));
        }
        if count > 1 {
            wrong.push(format!("{id} is there {count} times"));
        }
    }
    wrong
}
