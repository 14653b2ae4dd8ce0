//! Moving: the first of the steps of `docs/format.md`, section 18. A message that is marked is given to nobody; the
//! steps that follow are the same whoever makes them.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;

use super::{edited, remember, remember_from};
use crate::config::{Expired, Policy};
use crate::error::Result;
use crate::format::counters::Counters;
use crate::format::envelope::{Edit, Element};
use crate::format::lease::Lease;
use crate::format::name::QueueName;
use crate::format::time::after;
use crate::format::transit::{Transit, Way};
use crate::index::change::count;
use crate::index::state::State;
use crate::index::{Change, Index, Now, Plan, Seq};

/// So many errors are remembered of a message.
const HISTORY: usize = 10;
/// So many messages are looked at, at a time, for those that are to be given up or are due.
const AT_ONCE: usize = 100;

/// A message that cannot be given up because the queue for that is damaged is left alone for so long.
pub(crate) const STUCK: Duration = Duration::from_secs(10);

/// Which messages are moved by hand. A leased one never is: somebody works on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Which {
    /// Those with one of these ids; `None`: whatever their id.
    pub(crate) ids: Option<Vec<String>>,
    pub(crate) state: Option<State>,
    /// Those whose error has this in it.
    pub(crate) error: Option<String>,
    pub(crate) limit: Option<usize>,
}

/// What moves are made with.
pub(crate) struct Mover<'a> {
    /// The queue that the messages leave.
    pub(crate) own: &'a QueueName,
    /// A fresh id for a move that begins, of a message that gets this back if it stays.
    pub(crate) begin: &'a dyn Fn(Vec<Edit<'static>>) -> String,
}

/// Why a message that is ready is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Its time to live has ended.
    Expired,
    /// It has been delivered as often as it may be.
    Exhausted,
}

/// Whether a message that is ready is to be delivered no more.
pub(crate) fn is_over(element: &Element, policy: &Policy, now: &Now) -> Option<Over> {
    if element.expires().is_some_and(|expires| expires <= now.wall) {
        return Some(Over::Expired);
    }
    (policy.is_last(element.attempts()) && policy.dead_letter_queue.is_some())
        .then_some(Over::Exhausted)
}

/// Whether one that is over is dropped.
pub(crate) fn is_dropped(over: Over, policy: &Policy) -> bool {
    over == Over::Expired && (policy.expired == Expired::Drop || policy.dead_letter_queue.is_none())
}

impl Mover<'_> {
    /// The element on its way to another queue. What is changed `there` is as it was when it stays.
    pub(crate) fn mark<'e>(
        &self,
        element: &Element,
        target: &QueueName,
        edits: Vec<Edit<'e>>,
        there: Vec<Edit<'e>>,
    ) -> Result<Element> {
        let back = there.iter().filter_map(|edit| element.undoing(edit));
        let back = back.collect();
        self.mark_or(element, target, edits, there, back)
    }

    /// The same, for one that is changed in its own way when it stays.
    fn mark_or<'e>(
        &self,
        element: &Element,
        target: &QueueName,
        mut edits: Vec<Edit<'e>>,
        there: Vec<Edit<'e>>,
        back: Vec<Edit<'static>>,
    ) -> Result<Element> {
        let transit = Transit {
            id: (self.begin)(back),
            way: Way::To,
            queue: target.clone(),
        };
        edits.extend(there);
        edits.push(Edit::Move(Some(transit)));
        // The token stays, so that the next one is larger. Whoever had it has it no more.
        if let Some(lease) = element.lease() {
            let (token, held) = (lease.token, None);
            edits.push(Edit::Lease(Some(Lease { token, held })));
        }
        edited(element, &edits)
    }

    /// What says where a message comes from.
    pub(crate) fn origin(&self) -> Edit<'_> {
        Edit::From(Some(self.own.as_str().into()))
    }
}

/// The history of errors with one more.
pub(crate) fn history(element: &Element, error: &str, now: &Now) -> Edit<'static> {
    let known = element.texts().errors;
    // As they are written: other programs may have written what not every language can read.
    let known: Option<Vec<&RawValue>> = known
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok());
    let mut all: Vec<&str> = known.iter().flatten().map(|one| one.get()).collect();
    let more = json!({"at": now.wall.to_string(), "error": error}).to_string();
    all.push(&more);
    let kept = all.split_off(all.len().saturating_sub(HISTORY));
    Edit::Errors(format!("[{}]", kept.join(",")))
}

/// Why a message is given up; `None` when its envelope says so already.
fn last_word(element: &Element, over: Over) -> Option<String> {
    let known = element.texts().error;
    let error = match (over, element.lease()) {
        (Over::Expired, _) => {
            let expires = element.expires().unwrap_or_default();
            format!("its time to live ended at {expires}")
        }
        // It was given back, and is here because it could not be moved then.
        (Over::Exhausted, Some(Lease { held: None, .. })) => return given_back(element),
        (Over::Exhausted, _) => format!(
            "attempt {} had no result: its consumer died or kept it for longer than its lease",
            element.attempts()
        ),
    };
    Some(error).filter(|error| known.as_deref() != Some(error))
}

/// Why a message is given up that was only given back, at its last attempt.
pub(super) fn given_back(element: &Element) -> Option<String> {
    let attempts = element.attempts();
    let is_said = element.texts().error.is_some();
    (!is_said).then(|| format!("attempt {attempts}, the last one, was given back"))
}

/// Gives up the ready messages that are over, as far as they are among the next ones; says how many. `unusable`: they cannot be
/// moved now, and are left alone for a while.
pub(crate) fn give_up(
    index: &mut Index,
    now: &Now,
    policy: &Policy,
    mover: &Mover<'_>,
    unusable: bool,
) -> Result<Plan<u64>> {
    let mut changes = Vec::new();
    let mut result = 0;
    let mut counters = Counters::default();
    for (seq, element) in index.next_ready(AT_ONCE, now)? {
        let Some(over) = is_over(&element, policy, now) else {
            continue;
        };
        let Some(target) = policy
            .dead_letter_queue
            .as_ref()
            .filter(|_| !is_dropped(over, policy))
        else {
            result += 1;
            counters.expired += 1;
            changes.push(Change::Remove(seq));
            changes.extend(element.id().and_then(|id| remember(id, policy, now)));
            continue;
        };
        result += 1;
        if unusable {
            let edits = [Edit::NotBefore(Some(after(now.wall, STUCK)))];
            changes.push(Change::Envelope(seq, edited(&element, &edits)?));
            continue;
        }
        let error = last_word(&element, over);
        let there = vec![Edit::NotBefore(None), Edit::Expires(None), mover.origin()];
        let mut edits = Vec::new();
        if let Some(error) = &error {
            counters.expired += u64::from(over == Over::Expired);
            edits.push(Edit::Error(error));
            edits.push(history(&element, error, now));
        }
        let moved = mover.mark(&element, target, edits, there)?;
        changes.push(Change::Envelope(seq, moved));
    }
    Ok(Plan::counting(changes, result, counters))
}

/// Sends those back whose time has come, to the queue that asks; says how many.
pub(crate) fn bring_back(
    index: &mut Index,
    now: &Now,
    target: &QueueName,
    mover: &Mover<'_>,
) -> Result<Plan<u64>> {
    let mut changes = Vec::new();
    // Those of other queues may stand before them, however many.
    let is_its = |element: &Element| {
        let from = element.texts().from;
        from.is_none_or(|from| from == target.as_str())
    };
    for (seq, element) in index.next_ready_where(AT_ONCE, now, is_its)? {
        let there = vec![Edit::NotBefore(None), Edit::From(None)];
        // One that stays is left alone for a while: it would be tried at each look.
        let mut back = vec![Edit::NotBefore(Some(after(now.wall, STUCK)))];
        back.extend(element.undoing(&Edit::From(None)));
        let moved = mover.mark_or(&element, target, Vec::new(), there, back)?;
        changes.push(Change::Envelope(seq, moved));
    }
    let result = changes.len() as u64;
    Ok(Plan { changes, result })
}

/// Moves messages to another queue, as they are; says their ids.
pub(crate) fn move_to(
    index: &mut Index,
    now: &Now,
    which: &Which,
    target: &QueueName,
    mover: &Mover<'_>,
) -> Result<Plan<Vec<String>>> {
    let (mut changes, mut result) = (Vec::new(), Vec::new());
    for (seq, element) in chosen(index, now, which)? {
        result.push(element.id().map(ToString::to_string).unwrap_or_default());
        let there = vec![mover.origin()];
        let moved = mover.mark(&element, target, Vec::new(), there)?;
        changes.push(Change::Envelope(seq, moved));
    }
    Ok(Plan { changes, result })
}

/// Moves messages back to the queues that `home` says, ready at once and with all attempts before them; says their ids and
/// where they go.
pub(crate) fn redrive(
    index: &mut Index,
    now: &Now,
    which: &Which,
    home: &dyn Fn(&Element) -> Result<QueueName>,
    mover: &Mover<'_>,
) -> Result<Plan<Vec<(String, QueueName)>>> {
    let (mut changes, mut result) = (Vec::new(), Vec::new());
    for (seq, element) in chosen(index, now, which)? {
        let target = home(&element)?;
        let there = vec![Edit::Attempts(0), Edit::NotBefore(None), Edit::From(None)];
        let moved = mover.mark(&element, &target, Vec::new(), there)?;
        changes.push(Change::Envelope(seq, moved));
        let id = element.id().map(ToString::to_string).unwrap_or_default();
        result.push((id, target));
    }
    Ok(Plan { changes, result })
}

/// The messages that are meant, in the order of the array.
fn chosen(index: &mut Index, now: &Now, which: &Which) -> Result<Vec<(Seq, Element)>> {
    let mut found: Vec<Seq> = Vec::new();
    for state in State::ALL {
        if state != State::Leased && which.state.is_none_or(|wanted| wanted == state) {
            found.extend(index.in_state(Some(state), now));
        }
    }
    if let Some(ids) = &which.ids {
        let mut named = Vec::new();
        for id in ids {
            named.extend(index.numbers_of(id)?);
        }
        named.sort_unstable();
        found.retain(|seq| named.binary_search(seq).is_ok());
    }
    found.sort_unstable();
    let mut all = Vec::new();
    for seq in found {
        if which.limit.is_some_and(|limit| all.len() >= limit) {
            break;
        }
        let element = index.element_of(seq)?;
        let fits = which.error.as_ref().is_none_or(|part| {
            let error = element.texts().error;
            error.is_some_and(|error| error.contains(part.as_str()))
        });
        if fits {
            all.push((seq, element));
        }
    }
    Ok(all)
}

/// What has to be done so that moves from one queue to another end. Each part is a commit, in this order.
#[derive(Debug, Default)]
pub(crate) struct Finish {
    /// Copies for the target, given to nobody yet.
    pub(crate) arrive: Vec<Change>,
    /// What the source loses then.
    pub(crate) leave: Vec<Change>,
    /// If the copies cannot be written, the source goes on as if nothing had been asked, as far as `back` knows the moves.
    pub(crate) stay: Vec<Change>,
    /// Copies that were in the target before, and are given to whoever asks from now on.
    pub(crate) arrived: Vec<Change>,
    /// These are not all.
    pub(crate) more: bool,
}

/// Which moves are to be brought to their end.
pub(crate) struct Meant<'a> {
    /// Whether one of them is, by its id.
    pub(crate) is: &'a dyn Fn(&str) -> bool,
    /// So many bytes are copied at a time, and at least one message.
    pub(crate) bytes: u64,
    /// What gives a message what its move has taken from it.
    pub(crate) back: &'a dyn Fn(&str) -> Option<Vec<Edit<'static>>>,
}

/// The steps that are left of the moves from `source`, which has this policy, to `target`.
pub(crate) fn finish(
    (source, own): (&Index, &QueueName),
    (target, other): (&Index, &QueueName),
    (policy, now): (&Policy, &Now),
    meant: &Meant<'_>,
) -> Result<Finish> {
    let mut finish = Finish::default();
    let mut left = Counters::default();
    let come = in_transit(target, Way::From, own).collect::<Result<Vec<_>>>()?;
    let copied: HashSet<&str> = come
        .iter()
        .map(|(.., transit)| transit.id.as_str())
        .collect();
    let forgets = cfg!(mutant = "move_forgotten");
    // Those that have not left yet: their copies are given to nobody.
    let mut marked = HashSet::new();
    let mut bytes = 0;
    for moved in in_transit(source, Way::To, other) {
        let (seq, element, transit) = moved?;
        if (meant.is)(&transit.id) && (bytes < meant.bytes || bytes == 0) {
            bytes += element.text().len() as u64;
            if forgets || !copied.contains(transit.id.as_str()) {
                let arriving = Transit {
                    id: transit.id.clone(),
                    way: Way::From,
                    queue: own.clone(),
                };
                let copy = edited(&element, &[Edit::Move(Some(arriving))])?;
                finish.arrive.push(Change::Append(copy));
                // Only what has no copy can stay: the other one would come to be a second message.
                if let Some(mut edits) = (meant.back)(&transit.id) {
                    edits.push(Edit::Move(None));
                    let stays = edited(&element, &edits)?;
                    finish.stay.push(Change::Envelope(seq, stays));
                }
            }
            finish.leave.push(Change::Remove(seq));
            left.moved_out += 1;
            let is_retried = policy.retry_queue.as_ref() == Some(other);
            left.retried += u64::from(is_retried);
            left.dead_lettered += u64::from(policy.dead_letter_queue.as_ref() == Some(other));
            // What waits there comes back: it is not done before.
            let waits_until = element.not_before().filter(|_| is_retried);
            let from = waits_until.map_or(now.wall, |until| until.max(now.wall));
            let gone = element.id().and_then(|id| remember_from(from, id, policy));
            finish.leave.extend(gone);
        } else {
            finish.more |= (meant.is)(&transit.id);
        }
        marked.insert(transit.id);
    }
    count(&mut finish.leave, left);
    let mut came = Counters::default();
    for (seq, element, transit) in &come {
        if !marked.contains(&transit.id) {
            let arrived = edited(element, &[Edit::Move(None)])?;
            finish.arrived.push(Change::Envelope(*seq, arrived));
            came.moved_in += 1;
        }
    }
    count(&mut finish.arrived, came);
    Ok(finish)
}

/// The messages of a queue that are on their way to another one, or come from there.
fn in_transit<'a>(
    index: &'a Index,
    way: Way,
    queue: &'a QueueName,
) -> impl Iterator<Item = Result<(Seq, Element, Transit)>> + 'a {
    index.in_transit().filter_map(move |found| {
        let moved = found.map(|(seq, element)| {
            let transit = element.transit()?.clone();
            let is_meant = transit.way == way && transit.queue == *queue;
            is_meant.then_some((seq, element, transit))
        });
        moved.transpose()
    })
}

/// The queues with which moves have not ended of which this is so, by their ids. One that leads to this queue itself has ended:
/// somebody has put one queue's array into another.
pub(crate) fn partners(
    index: &Index,
    own: &QueueName,
    is_meant: &dyn Fn(&str) -> bool,
) -> Result<Plan<BTreeSet<QueueName>>> {
    let (mut changes, mut result) = (Vec::new(), BTreeSet::new());
    for found in index.in_transit() {
        let (seq, element) = found?;
        match element.transit() {
            Some(transit) if transit.queue == *own => {
                let stays = edited(&element, &[Edit::Move(None)])?;
                changes.push(Change::Envelope(seq, stays));
            }
            Some(transit) if is_meant(&transit.id) => {
                result.insert(transit.queue.clone());
            }
            _ => {}
        }
    }
    Ok(Plan { changes, result })
}
