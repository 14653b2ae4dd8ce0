//! Leases, receipts and tokens: why a message came again, and who was refused.

use super::super::history::{Act, MILLISECOND, Moment, Outcome, Way};
use super::{Given, Known, Rule, Settled, Verdict};

/// Leases are kept in whole milliseconds, of a clock that is read at another moment.
const SLACK: Moment = 3 * MILLISECOND;

pub(super) fn judge(known: &Known<'_>, verdict: &mut Verdict) {
    for (id, all) in &known.given {
        verdict.delivered += all.len();
        if known.may_be_two(id) {
            *verdict.causes.entry("sent again").or_default() += all.len() - 1;
            continue;
        }
        for pair in all.windows(2) {
            follows(known, &pair[0], &pair[1], verdict);
        }
        for (place, given) in all.iter().enumerate() {
            acked(known, id, given, &all[place + 1..], verdict);
            receipts(known, id, given, &all[place + 1..], verdict);
        }
    }
}

/// A delivery and the next one that is known.
fn follows(known: &Known<'_>, one: &Given<'_>, next: &Given<'_>, verdict: &mut Verdict) {
    let id = &next.delivery.id;
    let (token, larger) = (one.delivery.token, next.delivery.token);
    if token == larger || next.end < one.begin {
        verdict.find(Rule::Token, format!("{id}: {token} and then {larger}"));
    }
    if next.delivery.attempts <= one.delivery.attempts && !may_be_redriven(known, one, next) {
        let (before, after) = (one.delivery.attempts, next.delivery.attempts);
        verdict.find(Rule::Attempts, format!("{id}: {before} and then {after}"));
    }
    match lease_ends(known, one) {
        (at, cause) if at <= next.end => *verdict.causes.entry(cause).or_default() += 1,
        (_, cause) => verdict.find(Rule::Overlap, format!("{id} {larger} before {cause}")),
    }
}

fn may_be_redriven(known: &Known<'_>, one: &Given<'_>, next: &Given<'_>) -> bool {
    let is_redrive = |act: &Act| matches!(act, Act::Move { from: "dead-letter", ids, .. } if ids.contains(&next.delivery.id));
    known
        .events
        .iter()
        .any(|event| is_redrive(&event.act) && event.begin < next.end && event.end > one.begin)
}

/// When the lease of a delivery may have ended at the earliest, and why.
fn lease_ends(known: &Known<'_>, given: &Given<'_>) -> (Moment, &'static str) {
    let mut runs_out = given.begin.saturating_add(given.delivery.lease);
    let mut ends = Vec::new();
    for settled in known.settled(given) {
        match (settled.way, settled.outcome) {
            (Way::Extend(lease), Outcome::Ok) => runs_out = settled.begin + lease,
            (Way::Extend(lease), Outcome::Unknown) => {
                runs_out = runs_out.min(settled.begin + lease);
            }
            // One that failed on its way to another queue has failed the message all the same.
            (Way::Nack, _) if !settled.is_stale() => ends.push((settled.begin, "given back")),
            _ => {}
        }
    }
    if let Some(end) = known.ends.get(&given.process) {
        ends.push((*end, "its consumer ended"));
    }
    let runs_out = (runs_out.saturating_sub(SLACK), "its lease ran out");
    ends.into_iter().fold(runs_out, Ord::min)
}

/// When the lease of a delivery has run out for certain.
fn runs_out_for_certain(known: &Known<'_>, given: &Given<'_>, before: Moment) -> Moment {
    let mut last = given.end.saturating_add(given.delivery.lease);
    for settled in known.settled(given) {
        if let Way::Extend(lease) = settled.way
            && settled.begin < before
            && !matches!(settled.outcome, Outcome::Failed(_))
        {
            last = last.max(settled.end.saturating_add(lease));
        }
    }
    last + SLACK
}

fn acked(
    known: &Known<'_>,
    id: &str,
    given: &Given<'_>,
    later: &[Given<'_>],
    verdict: &mut Verdict,
) {
    let is_acked = |one: &Settled<'_>| one.way == Way::Ack && one.is_ok();
    if !known.settled(given).iter().any(is_acked) {
        return;
    }
    if let Some(again) = later.first() {
        let (token, queue) = (again.delivery.token, again.queue);
        verdict.find(Rule::AckedAndBack, format!("{id} {token} in {queue}"));
    }
}

/// Who came too late was refused, and nobody else.
fn receipts(
    known: &Known<'_>,
    id: &str,
    given: &Given<'_>,
    later: &[Given<'_>],
    verdict: &mut Verdict,
) {
    let all = known.settled(given);
    for (place, one) in all.iter().enumerate() {
        let about = || format!("{id} {}: {:?}", given.delivery.token, one.way);
        let before = &all[..place];
        let is_done =
            |other: &Settled<'_>| matches!(other.way, Way::Ack | Way::Nack) && other.is_ok();
        let may_be_done =
            |other: &Settled<'_>| !matches!(other.way, Way::Extend(_)) && !other.is_stale();
        if one.is_ok() {
            let is_too_late = before.iter().any(is_done)
                || later.iter().any(|next| next.end < one.begin)
                || one.begin > runs_out_for_certain(known, given, one.begin);
            if is_too_late {
                verdict.find(Rule::StaleAccepted, about());
            }
        } else if one.is_stale() {
            verdict.stale += 1;
            let is_explained =
                before.iter().any(may_be_done) || lease_ends(known, given).0 <= one.end;
            if !is_explained {
                verdict.find(Rule::RefusedInTime, about());
            }
        }
    }
}
