//! Where messages are: each in one place, and moved once by each move.

use std::collections::{BTreeMap, BTreeSet};

use super::super::history::{Act, Event, Outcome, Way};
use super::{End, Known, Rule, Verdict};

pub(super) fn judge(known: &Known<'_>, end: &End, verdict: &mut Verdict) {
    places(known, end, verdict);
    let mut moves: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in known.events {
        if let Act::Move { ids, .. } = &event.act {
            verdict.moves += usize::from(event.outcome == Outcome::Ok);
            for id in ids.iter().filter(|id| !known.may_be_two(id)) {
                moves.entry(id).or_default().push(event);
            }
        }
    }
    for (id, moves) in moves {
        once(id, &moves, verdict);
    }
}

fn places(known: &Known<'_>, end: &End, verdict: &mut Verdict) {
    let acked: BTreeSet<&str> = (known.settled.iter())
        // The drain takes what was there; who acked before it is meant.
        .filter(|((id, token), all)| {
            let is_acked = all.iter().any(|one| one.way == Way::Ack && one.is_ok());
            let given = known.given.get(id).into_iter().flatten();
            is_acked
                && !given
                    .into_iter()
                    .any(|one| one.delivery.token == *token && one.begin >= end.at)
        })
        .map(|((id, _), _)| *id)
        .collect();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (id, queue) in &end.places {
        if known.may_be_two(id) {
            continue;
        }
        if let Some(other) = seen.insert(id, queue) {
            verdict.find(Rule::TwoPlaces, format!("{id} in {other} and {queue}"));
        }
        if acked.contains(id.as_str()) {
            verdict.find(Rule::AckedAndBack, format!("{id} in {queue}"));
        }
    }
}

/// A message that left a queue has come back before it leaves it again. The archive is left and entered by moves alone.
fn once(id: &str, moves: &[&Event], verdict: &mut Verdict) {
    let ways = |event: &Event| match event.act {
        Act::Move { from, to, .. } => (from, to),
        _ => ("", ""),
    };
    let known = |event: &&&Event| event.outcome == Outcome::Ok && ways(event).0 != "dead-letter";
    let done: Vec<&Event> = moves.iter().filter(known).copied().collect();
    for pair in done.windows(2) {
        let (one, next) = (pair[0], pair[1]);
        let (from, to) = ways(one);
        // Its way back may have been one that nobody lived to tell of.
        let is_back = |event: &&Event| {
            ways(event) == (to, from) && event.begin < next.end && event.end > one.begin
        };
        if ways(next).0 == from && one.end < next.begin && !moves.iter().any(is_back) {
            verdict.find(Rule::MovedTwice, format!("{id} from {from}"));
        }
    }
}
