//! The state of one queue in memory. Pure: it is told the time, and the changes that were committed.
//!
//! It keeps INV-6: every entry is in exactly one of `ready`, `delayed`, `leased`, and `advance` moves it when time
//! has passed, before anything is read from these sets; and INV-10, the order of delivery. The invariants are
//! numbered in `docs/format.md`.

pub(crate) mod plan;
pub(crate) mod state;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use view::View;

use crate::format::envelope::Element;
use crate::format::journal::Totals;
use crate::format::json;
pub(crate) use crate::format::lease::Now;
use crate::format::priority::Priority;
use crate::format::time::{Timestamp, between};
use crate::format::{Damage, lease::Held};

/// An entry's place: entries stand in the array in this order.
pub(crate) type Seq = u64;

/// A change to commit.
#[derive(Debug)]
pub(crate) enum Change {
    /// A new element at the end.
    Append(Element),
    /// Another text for an element.
    Replace(Seq, Element),
    Remove(Seq),
    /// Another array.
    Reset(Vec<Element>),
}

/// What an operation decided: the changes to commit (none: nothing is written), and what it returns then.
#[derive(Debug)]
pub(crate) struct Plan<T> {
    pub(crate) changes: Vec<Change>,
    pub(crate) result: T,
}

/// The order of delivery (INV-10). An unknown age counts as the oldest.
type Order = (Priority, Option<Timestamp>, Seq);

fn order(seq: Seq, element: &Element) -> Order {
    (element.priority(), element.queued_at(), seq)
}

#[derive(Debug)]
pub(crate) struct Index {
    entries: BTreeMap<Seq, Element>,
    next: Seq,
    bytes: u64,
    ids: BTreeSet<(Arc<str>, Seq)>,
    ready: BTreeSet<Order>,
    delayed: BTreeSet<(Timestamp, Seq)>,
    /// Those in `ready` whose due time has come: they go back when the wall clock does.
    due: BTreeSet<(Timestamp, Seq)>,
    /// By deadline on the boot clock.
    leased: BTreeSet<(u64, Seq)>,
    /// The boot that `leased` was sorted by.
    boot: Option<Arc<str>>,
}

impl Index {
    pub(crate) fn empty() -> Self {
        Self {
            entries: BTreeMap::new(),
            next: 0,
            bytes: 0,
            ids: BTreeSet::new(),
            ready: BTreeSet::new(),
            delayed: BTreeSet::new(),
            due: BTreeSet::new(),
            leased: BTreeSet::new(),
            boot: None,
        }
    }

    /// Reads a whole file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let mut index = Self::empty();
        for span in json::elements(bytes)? {
            let start = span.start;
            let text = Arc::from(bytes.get(span).unwrap_or_default());
            index.append(Element::parse(text).map_err(|damage| damage.within(start))?);
        }
        Ok(index)
    }

    /// Reads a whole file whose elements have these numbers, in order.
    pub(crate) fn parse_numbered(
        bytes: &[u8],
        numbers: &[Range<Seq>],
        next: Seq,
    ) -> Result<Self, Damage> {
        let mut index = Self::empty();
        let mut numbers = numbers.iter().cloned().flatten();
        for span in json::elements(bytes)? {
            let start = span.start;
            let text = Arc::from(bytes.get(span).unwrap_or_default());
            let element = Element::parse(text).map_err(|damage| damage.within(start))?;
            let number = numbers.next().filter(|number| *number < next);
            let number = number.ok_or_else(|| {
                Damage::new(
                    start,
                    "there are more elements than the journal has numbers for",
                )
            })?;
            index.put(number, element);
        }
        index.next = next;
        if numbers.next().is_some() {
            return Err(Damage::new(
                bytes.len(),
                "there are fewer elements than the journal has numbers for",
            ));
        }
        Ok(index)
    }

    /// The numbers of the elements, in order.
    pub(crate) fn numbers(&self) -> Vec<Range<Seq>> {
        let mut ranges: Vec<Range<Seq>> = Vec::new();
        for seq in self.entries.keys() {
            match ranges.last_mut() {
                Some(range) if range.end == *seq => range.end += 1,
                _ => ranges.push(*seq..*seq + 1),
            }
        }
        ranges
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            messages: self.entries.len() as u64,
            bytes: self.bytes,
            next: self.next,
        }
    }

    pub(crate) fn element(&self, seq: Seq) -> Option<&Element> {
        self.entries.get(&seq)
    }

    /// The bytes of the array with these changes: every element that is not changed byte for byte (INV-2).
    pub(crate) fn image(&self, changes: &[Change]) -> Vec<u8> {
        let mut kept: BTreeMap<Seq, Option<&Element>> = BTreeMap::new();
        let mut appended: Vec<&Element> = Vec::new();
        let mut reset = false;
        for change in changes {
            match change {
                Change::Append(element) => appended.push(element),
                Change::Replace(seq, element) => drop(kept.insert(*seq, Some(element))),
                Change::Remove(seq) => drop(kept.insert(*seq, None)),
                Change::Reset(elements) => {
                    reset = true;
                    appended = elements.iter().collect();
                }
            }
        }
        let old = self
            .entries
            .iter()
            .filter(|_| !reset)
            .filter_map(|(seq, element)| kept.get(seq).copied().unwrap_or(Some(element)));
        let mut image = Vec::with_capacity(
            usize::try_from(self.bytes).unwrap_or_default() + 4 * self.entries.len() + 1024,
        );
        image.extend_from_slice(b"[");
        for (place, element) in old.chain(appended).enumerate() {
            image.extend_from_slice(if place == 0 { b"\n  " } else { b",\n  " });
            image.extend_from_slice(element.text());
        }
        image.extend_from_slice(if image.len() == 1 { b"]\n" } else { b"\n]\n" });
        image
    }

    /// After a commit: what was written is what is known.
    pub(crate) fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Append(element) => self.append(element),
                Change::Replace(seq, element) => {
                    if self.take(seq).is_some() {
                        self.put(seq, element);
                    }
                }
                Change::Remove(seq) => drop(self.take(seq)),
                Change::Reset(elements) => {
                    *self = Self::empty();
                    for element in elements {
                        self.append(element);
                    }
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The whole array, byte for byte.
    pub(crate) fn array(&self) -> Vec<Arc<[u8]>> {
        self.entries
            .values()
            .map(|element| Arc::clone(element.text()))
            .collect()
    }

    /// The distinct consumers of leases that look live.
    pub(crate) fn consumers(&mut self, now: &Now) -> Vec<Arc<str>> {
        self.advance(now);
        let consumers: HashSet<Arc<str>> = self
            .leased
            .iter()
            .filter_map(|(_, seq)| self.held(*seq)?.consumer.clone())
            .collect();
        consumers.into_iter().collect()
    }

    pub(crate) fn has_ready(&mut self, now: &Now) -> bool {
        self.advance(now);
        !self.ready.is_empty()
    }

    /// How long until time alone makes something ready.
    pub(crate) fn next_due(&mut self, now: &Now) -> Option<Duration> {
        self.advance(now);
        let delayed = self.delayed.first().map(|(due, _)| between(now.wall, *due));
        let leased = self
            .leased
            .first()
            .map(|(until, _)| Duration::from_millis(until.saturating_sub(now.boot_ms)));
        delayed.into_iter().chain(leased).min()
    }

    /// The next ready ones, in order of delivery.
    pub(crate) fn next_ready(&mut self, count: usize, now: &Now) -> Vec<(Seq, Element)> {
        self.advance(now);
        let next = self.ready.iter().take(count);
        next.filter_map(|(_, _, seq)| Some((*seq, self.entries.get(seq)?.clone())))
            .collect()
    }

    /// The entries with this id.
    pub(crate) fn with_id(&self, id: &str) -> Vec<(Seq, Element)> {
        let id: Arc<str> = Arc::from(id);
        let found = self.ids.range((Arc::clone(&id), 0)..=(id, Seq::MAX));
        found
            .filter_map(|(_, seq)| Some((*seq, self.entries.get(seq)?.clone())))
            .collect()
    }

    pub(crate) fn has_id(&self, id: &str) -> bool {
        let id: Arc<str> = Arc::from(id);
        self.ids
            .range((Arc::clone(&id), 0)..=(id, Seq::MAX))
            .next()
            .is_some()
    }

    /// Brings the sets up to the time. Costs what has changed, not what is there.
    fn advance(&mut self, now: &Now) {
        let ended: Vec<Seq> = if self.boot.as_ref() != Some(&now.boot_id) || !now.dead.is_empty() {
            self.boot = Some(Arc::clone(&now.boot_id));
            let live = |seq: Seq| self.held(seq).is_some_and(|held| held.is_live(now));
            self.leased
                .iter()
                .map(|(_, seq)| *seq)
                .filter(|seq| !live(*seq))
                .collect()
        } else {
            self.leased
                .range(..=(now.boot_ms, Seq::MAX))
                .map(|(_, seq)| *seq)
                .collect()
        };
        let due: Vec<Seq> = self
            .delayed
            .range(..=(now.wall, Seq::MAX))
            .map(|(_, seq)| *seq)
            .collect();
        let early: Vec<Seq> = self
            .due
            .range((now.wall, Seq::MAX)..)
            .map(|(_, seq)| *seq)
            .collect();
        for seq in ended.into_iter().chain(due).chain(early) {
            if let Some(element) = self.take(seq) {
                self.insert(seq, element, now);
            }
        }
    }

    fn held(&self, seq: Seq) -> Option<&Held> {
        self.entries.get(&seq)?.lease()?.held.as_ref()
    }

    fn append(&mut self, element: Element) {
        let seq = self.next;
        self.next += 1;
        self.put(seq, element);
    }

    /// Puts an entry where it belongs as far as that is known without the time; `advance` moves it on.
    fn put(&mut self, seq: Seq, element: Element) {
        let held = element.lease().and_then(|lease| lease.held.as_ref());
        match (held, element.not_before()) {
            (Some(held), _) => {
                // A lease of another boot is found when the boots are compared; in between it must not look like one
                // of this boot that runs for long.
                let is_other_boot = self.boot.as_ref().is_some_and(|boot| *boot != held.boot);
                let until = if is_other_boot { 0 } else { held.until_boot_ms };
                self.leased.insert((until, seq));
            }
            (None, Some(not_before)) => {
                self.delayed.insert((not_before, seq));
            }
            (None, None) => {
                self.ready.insert(order(seq, &element));
            }
        }
        self.store(seq, element);
    }

    /// Puts an entry where it belongs now.
    fn insert(&mut self, seq: Seq, element: Element, now: &Now) {
        let held = element.lease().and_then(|lease| lease.held.as_ref());
        match (held.filter(|held| held.is_live(now)), element.not_before()) {
            (Some(held), _) => {
                self.leased.insert((held.until_boot_ms, seq));
            }
            (None, Some(not_before)) if not_before > now.wall => {
                self.delayed.insert((not_before, seq));
            }
            (None, not_before) => {
                self.ready.insert(order(seq, &element));
                self.due
                    .extend(not_before.map(|not_before| (not_before, seq)));
            }
        }
        self.store(seq, element);
    }

    fn store(&mut self, seq: Seq, element: Element) {
        self.bytes += element.text().len() as u64;
        self.ids
            .extend(element.id().map(|id| (Arc::clone(id), seq)));
        self.entries.insert(seq, element);
    }

    fn take(&mut self, seq: Seq) -> Option<Element> {
        let element = self.entries.remove(&seq)?;
        self.bytes -= element.text().len() as u64;
        if let Some(id) = element.id() {
            self.ids.remove(&(Arc::clone(id), seq));
        }
        self.ready.remove(&order(seq, &element));
        if let Some(not_before) = element.not_before() {
            self.delayed.remove(&(not_before, seq));
            self.due.remove(&(not_before, seq));
        }
        if let Some(held) = element.lease().and_then(|lease| lease.held.as_ref()) {
            self.leased.remove(&(held.until_boot_ms, seq));
            self.leased.remove(&(0, seq));
        }
        Some(element)
    }

    /// The state of an entry, after `advance`.
    fn state(&self, seq: Seq, element: &Element) -> state::State {
        if self.ready.contains(&order(seq, element)) {
            state::State::Ready
        } else if element
            .not_before()
            .is_some_and(|not_before| self.delayed.contains(&(not_before, seq)))
        {
            state::State::Delayed
        } else {
            state::State::Leased
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
