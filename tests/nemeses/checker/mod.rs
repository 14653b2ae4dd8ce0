//! What must hold of a history, after Jepsen's total queue and beyond it. Only what is certain counts: what was asked took
//! place at some moment between its begin and its end.

mod deliveries;
mod holds;
mod moves;
mod order;
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Act, Delivery, Event, Moment, Outcome, Way};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// A confirmed message was never acked, and is nowhere.
    Lost,
    /// Nobody sent it, or the send was refused.
    Unexpected,
    /// It came again without a cause: the lease before it cannot have ended.
    Overlap,
    /// It came again, or was still there, after an ack that succeeded.
    AckedAndBack,
    /// An ack, nack or extension succeeded that was too late.
    StaleAccepted,
    /// An ack, nack or extension was refused that was in time.
    RefusedInTime,
    /// A later delivery has no larger token.
    Token,
    /// A later delivery has no larger number of attempts.
    Attempts,
    /// Two messages of one process came in the wrong order.
    Order,
    /// A message is in two queues, or twice in one.
    TwoPlaces,
    /// It left a queue twice without having come back.
    MovedTwice,
    /// Two held one lock.
    TwoHolders,
    /// A change under the lock went missing.
    LostUpdate,
    /// An operation failed in a way that nothing explains.
    Failure,
    /// A process died by itself or hung; a queue is damaged; a file was left behind.
    Wrong,
}

/// What is known when everybody has gone.
#[derive(Default)]
pub struct End {
    /// When everybody had gone.
    pub at: Moment,
    /// Each message that was there, and its queue.
    pub places: Vec<(String, String)>,
    pub counter: u64,
}

/// What there was, for the report.
#[derive(Default, Debug)]
pub struct Verdict {
    pub violations: Vec<(Rule, String)>,
    pub sent: usize,
    pub delivered: usize,
    /// Of deliveries after the first, by why the lease before had ended.
    pub causes: BTreeMap<&'static str, usize>,
    /// Delivered although nobody knew whether it had been sent.
    pub recovered: usize,
    pub stale: usize,
    pub moves: usize,
    pub ordered: usize,
    pub holds: usize,
    pub failures: usize,
}

impl Verdict {
    pub fn count(&self, rule: Rule) -> usize {
        let is_it = |violation: &&(Rule, String)| violation.0 == rule;
        self.violations.iter().filter(is_it).count()
    }

    fn find(&mut self, rule: Rule, about: impl Into<String>) {
        self.violations.push((rule, about.into()));
    }
}

/// One delivery, and by whom it was asked for.
struct Given<'a> {
    process: usize,
    begin: Moment,
    end: Moment,
    queue: &'static str,
    delivery: &'a Delivery,
}

/// What was done with one delivery.
struct Settled<'a> {
    way: Way,
    begin: Moment,
    end: Moment,
    outcome: &'a Outcome,
}

impl Settled<'_> {
    fn is_stale(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(kind) if kind == "StaleReceipt")
    }

    fn is_ok(&self) -> bool {
        *self.outcome == Outcome::Ok
    }
}

/// The history, by what it is about.
struct Known<'a> {
    events: &'a [Event],
    /// By message: by token.
    given: BTreeMap<&'a str, Vec<Given<'a>>>,
    settled: BTreeMap<(&'a str, u64), Vec<Settled<'a>>>,
    /// When a process may have ended at the earliest.
    ends: BTreeMap<usize, Moment>,
    /// The sends of a message.
    sends: BTreeMap<&'a str, Vec<&'a Event>>,
}

impl<'a> Known<'a> {
    fn of(events: &'a [Event]) -> Self {
        let mut known = Self {
            events,
            given: BTreeMap::new(),
            settled: BTreeMap::new(),
            ends: BTreeMap::new(),
            sends: BTreeMap::new(),
        };
        for event in events {
            known.add(event);
        }
        for given in known.given.values_mut() {
            given.sort_by_key(|one| one.delivery.token);
        }
        known
    }

    fn add(&mut self, event: &'a Event) {
        let Event {
            process,
            begin,
            end,
            ..
        } = *event;
        match &event.act {
            Act::Send { ids, .. } => {
                for id in ids {
                    self.sends.entry(id).or_default().push(event);
                }
            }
            Act::Receive { queue, deliveries } => {
                for delivery in deliveries {
                    let given = Given {
                        process,
                        begin,
                        end,
                        queue,
                        delivery,
                    };
                    self.given.entry(&delivery.id).or_default().push(given);
                }
            }
            Act::Settle { way, id, token } => {
                let settled = Settled {
                    way: *way,
                    begin,
                    end,
                    outcome: &event.outcome,
                };
                self.settled.entry((id, *token)).or_default().push(settled);
            }
            Act::End => {
                let first = self.ends.entry(process).or_insert(begin);
                *first = begin.min(*first);
            }
            Act::Move { .. }
            | Act::Hold { .. }
            | Act::Full
            | Act::Other
            | Act::Unsure(_)
            | Act::Wrong(_) => {}
        }
    }

    fn settled(&self, given: &Given<'a>) -> &[Settled<'a>] {
        let key = (given.delivery.id.as_str(), given.delivery.token);
        self.settled.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Whether there may be two messages of this id: its send was tried again.
    fn may_be_two(&self, id: &str) -> bool {
        self.sends.get(id).is_some_and(|sends| sends.len() > 1)
    }

    fn is_sent(&self, id: &str, is_it: impl Fn(&Outcome) -> bool) -> bool {
        let sends = self.sends.get(id).into_iter().flatten();
        sends.into_iter().any(|send| is_it(&send.outcome))
    }
}

/// Judges a history that ended like this; errors of these kinds are explained.
pub fn judge(events: &[Event], end: &End, excuses: &BTreeSet<&str>) -> Verdict {
    let known = Known::of(events);
    let mut verdict = Verdict::default();
    failures(&known, excuses, &mut verdict);
    lost_and_unexpected(&known, end, &mut verdict);
    deliveries::judge(&known, &mut verdict);
    order::judge(&known, &mut verdict);
    moves::judge(&known, end, &mut verdict);
    holds::judge(&known, end.counter, &mut verdict);
    verdict.violations.sort();
    verdict
}

fn failures(known: &Known<'_>, excuses: &BTreeSet<&str>, verdict: &mut Verdict) {
    for event in known.events {
        if let Act::Wrong(what) = &event.act {
            verdict.find(Rule::Wrong, what);
        }
        if let Act::Unsure(what) = &event.act {
            verdict.failures += 1;
            if !excuses.contains("OutcomeUnknown") {
                verdict.find(Rule::Failure, format!("OutcomeUnknown: {what}"));
            }
        }
        let Outcome::Failed(error) = &event.outcome else {
            continue;
        };
        let kind = error.split(' ').next().unwrap_or_default();
        // What is stale is judged with the deliveries.
        if kind == "StaleReceipt" {
            continue;
        }
        verdict.failures += 1;
        if !excuses.contains(kind) {
            verdict.find(Rule::Failure, format!("{error}: {:?}", event.act));
        }
    }
}

fn lost_and_unexpected(known: &Known<'_>, end: &End, verdict: &mut Verdict) {
    let is_known = |outcome: &Outcome| *outcome == Outcome::Ok;
    let is_possible = |outcome: &Outcome| !matches!(outcome, Outcome::Failed(_));
    let consumed: BTreeSet<&str> = (known.settled.iter())
        .filter(|(_, all)| {
            all.iter()
                .any(|one| one.way == Way::Ack && is_possible(one.outcome))
        })
        .map(|((id, _), _)| *id)
        .collect();
    for id in known.sends.keys() {
        if !known.is_sent(id, is_known) {
            verdict.recovered += usize::from(known.given.contains_key(id));
            continue;
        }
        verdict.sent += 1;
        if !consumed.contains(id) {
            verdict.find(Rule::Lost, *id);
        }
    }
    let there = end.places.iter().map(|(id, _)| id.as_str());
    let seen: BTreeSet<&str> = known.given.keys().copied().chain(there).collect();
    for id in seen {
        if !known.is_sent(id, is_possible) {
            verdict.find(Rule::Unexpected, id);
        }
    }
}
