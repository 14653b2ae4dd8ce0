//! What one process sent, in the order in which it was sent.

use std::collections::{BTreeMap, BTreeSet};

use super::super::history::{Act, Moment, Outcome};
use super::{Known, Rule, Verdict};

/// A message, and when it was sent and first received.
struct First<'a> {
    id: &'a str,
    sent: (Moment, usize),
    begin: Moment,
    end: Moment,
}

pub(super) fn judge(known: &Known<'_>, verdict: &mut Verdict) {
    let mut moved: BTreeSet<&str> = BTreeSet::new();
    for event in known.events {
        if let Act::Move { ids, .. } = &event.act {
            moved.extend(ids.iter().map(String::as_str));
        }
    }
    for firsts in by_sender(known, &moved).into_values() {
        verdict.ordered += firsts.len();
        in_order(firsts, verdict);
    }
}

/// The first deliveries of messages that nothing held up, by who sent them.
fn by_sender<'a>(
    known: &Known<'a>,
    moved: &BTreeSet<&str>,
) -> BTreeMap<(usize, &'static str), Vec<First<'a>>> {
    let mut all: BTreeMap<_, Vec<First<'a>>> = BTreeMap::new();
    for event in known.events {
        let Act::Send { ids, class } = &event.act else {
            continue;
        };
        if event.outcome != Outcome::Ok || *class == "delayed" {
            continue;
        }
        for (place, id) in ids.iter().enumerate() {
            let first = known.given.get(id.as_str()).and_then(|all| all.first());
            // With more attempts, somebody had it before and did not live to tell.
            let is_first = |first: &&super::Given<'_>| {
                first.delivery.attempts == 1 && first.queue == "inbound"
            };
            let Some(first) = first.filter(is_first) else {
                continue;
            };
            if moved.contains(id.as_str()) || known.may_be_two(id) {
                continue;
            }
            // What is sent with an id ranks like any other.
            let class = if *class == "dedup" { "normal" } else { class };
            all.entry((event.process, class)).or_default().push(First {
                id,
                sent: (event.begin, place),
                begin: first.begin,
                end: first.end,
            });
        }
    }
    all
}

/// None may have been received for certain before one that was sent before it.
fn in_order(mut firsts: Vec<First<'_>>, verdict: &mut Verdict) {
    firsts.sort_by_key(|first| first.sent);
    let mut latest: Option<&First<'_>> = None;
    for first in &firsts {
        if let Some(before) = latest
            && first.end < before.begin
        {
            verdict.find(Rule::Order, format!("{} before {}", first.id, before.id));
        }
        if latest.is_none_or(|before| first.begin > before.begin) {
            latest = Some(first);
        }
    }
}
