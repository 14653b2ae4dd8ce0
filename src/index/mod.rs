//! The state of one queue in memory. Pure: it is told the time, and the changes that were committed; bodies it asks for
//! from whoever made it.
//!
//! It keeps INV-6: every entry is in exactly one of `ready`, `delayed`, `leased`, and `advance` moves it when time
//! has passed, before anything is read from these sets; and INV-10, the order of delivery. The invariants are
//! numbered in `docs/format.md`.

pub(crate) mod change;
mod entry;
mod ids;
pub(crate) mod merge;
pub(crate) mod past;
pub(crate) mod plan;
pub(crate) mod state;
pub(crate) mod text;
mod view;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

pub(crate) use change::{Change, Plan, Wrote, lengths};
pub(crate) use view::View;

use crate::error::{Error, ErrorKind, Result};
use crate::format::Damage;
use crate::format::envelope::{Element, Facts};
use crate::format::journal::Totals;
use crate::format::json;
use crate::format::lease::Held;
pub(crate) use crate::format::lease::Now;
use crate::format::priority::Priority;
use crate::format::time::{Timestamp, between};
use entry::{Entry, NOWHERE, Slab, Slot};
use ids::Ids;
use past::Past;
use state::State;
use text::{NoFiles, Text, Texts};

/// An entry's number: entries stand in the array in this order.
pub(crate) type Seq = u64;

/// Where an element is.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) seq: Seq,
    pub(crate) text: Text,
    slot: Slot,
}

impl Standing {
    /// One of an array that is about to be written.
    pub(crate) fn new(seq: Seq, text: Text) -> Self {
        let slot = NOWHERE;
        Self { seq, text, slot }
    }
}

/// The order of delivery (INV-10). An unknown age counts as the oldest.
type Order = (Priority, i64, Seq);

#[derive(Debug)]
pub(crate) struct Index {
    texts: Arc<dyn Texts>,
    entries: Slab,
    seqs: HashTable<Slot>,
    ids: Ids,
    next: Seq,
    bytes: u64,
    ready: BTreeSet<Order>,
    delayed: BTreeSet<(Timestamp, Seq)>,
    /// Those in `ready` whose due time has come: they go back when the wall clock does.
    due: BTreeSet<(Timestamp, Seq)>,
    /// By deadline on the boot clock.
    leased: BTreeSet<(u64, Seq)>,
    /// Those in a move that has not ended. They count as leased: by the move.
    in_transit: BTreeSet<Seq>,
    /// What is known of those that are gone.
    past: Past,
    /// The boot that `leased` was sorted by.
    boot: Option<Arc<str>>,
}

impl Index {
    pub(crate) fn empty() -> Self {
        Self::reading(Arc::new(NoFiles), 0)
    }

    /// An empty index whose bodies are read from there, and whose next element gets this number.
    pub(crate) fn reading(texts: Arc<dyn Texts>, next: Seq) -> Self {
        Self {
            texts,
            entries: Slab::default(),
            seqs: HashTable::new(),
            ids: Ids::default(),
            next,
            bytes: 0,
            ready: BTreeSet::new(),
            delayed: BTreeSet::new(),
            due: BTreeSet::new(),
            leased: BTreeSet::new(),
            in_transit: BTreeSet::new(),
            past: Past::default(),
            boot: None,
        }
    }

    /// Reads a whole file.
    pub(crate) fn parse(bytes: &[u8]) -> std::result::Result<Self, Damage> {
        let mut index = Self::empty();
        for span in json::elements(bytes)? {
            let start = span.start;
            let text = Arc::from(bytes.get(span).unwrap_or_default());
            let element = Element::parse(text).map_err(|damage| damage.within(start))?;
            index.append(&element.facts(), Text::Here(Arc::clone(element.text())));
        }
        Ok(index)
    }

    /// The index with what was known of messages that are gone.
    pub(crate) fn with_past(mut self, past: Past) -> Self {
        self.past = past;
        self
    }

    pub(crate) fn past(&self) -> &Past {
        &self.past
    }

    /// What a commit says of what is gone.
    pub(crate) fn past_mut(&mut self) -> &mut Past {
        &mut self.past
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            messages: self.len() as u64,
            bytes: self.bytes,
            next: self.next,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.seqs.len()
    }

    /// Where the text of an element is.
    pub(crate) fn text(&self, seq: Seq) -> Option<&Text> {
        Some(&self.entry(seq)?.text)
    }

    /// The elements, as places, in the order of the array.
    pub(crate) fn in_order(&self) -> Vec<Standing> {
        let mut all = self.standing();
        all.sort_unstable_by_key(|standing| standing.seq);
        all
    }

    /// The elements, as places, in no order: quick, because others may be waiting.
    pub(crate) fn standing(&self) -> Vec<Standing> {
        let mut all = Vec::with_capacity(self.len());
        all.extend(self.entries.with_slots().map(|(slot, entry)| Standing {
            seq: entry.seq,
            text: entry.text.clone(),
            slot,
        }));
        all
    }

    /// The whole array, byte for byte.
    pub(crate) fn array(&self) -> Result<Vec<Arc<[u8]>>> {
        let in_order = self.in_order();
        in_order
            .iter()
            .map(|standing| self.read(&standing.text))
            .collect()
    }

    /// The distinct consumers of leases that look live.
    pub(crate) fn consumers(&mut self, now: &Now) -> Vec<Arc<str>> {
        self.advance(now);
        let consumers: HashSet<Arc<str>> = self
            .leased
            .iter()
            .filter_map(|(_, seq)| self.entry(*seq)?.held()?.consumer.clone())
            .collect();
        consumers.into_iter().collect()
    }

    /// Those in a move that has not ended.
    pub(crate) fn in_transit(&self) -> impl Iterator<Item = Result<(Seq, Element)>> {
        let all = self.in_transit.iter().filter_map(|seq| self.entry(*seq));
        all.map(|entry| Ok((entry.seq, self.element(entry)?)))
    }

    /// Whether there are any.
    pub(crate) fn has_in_transit(&self) -> bool {
        !self.in_transit.is_empty()
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

    /// Whether something is ready, or will be within this time.
    pub(crate) fn has_soon(&mut self, within: Duration, now: &Now) -> bool {
        self.has_ready(now) || self.next_due(now).is_some_and(|due| due <= within)
    }

    /// The next ready ones, in order of delivery.
    pub(crate) fn next_ready(&mut self, count: usize, now: &Now) -> Result<Vec<(Seq, Element)>> {
        self.next_ready_where(count, now, |_| true)
    }

    /// The next ones of which this is so.
    pub(crate) fn next_ready_where(
        &mut self,
        count: usize,
        now: &Now,
        is_so: impl Fn(&Element) -> bool,
    ) -> Result<Vec<(Seq, Element)>> {
        self.advance(now);
        let mut found = Vec::new();
        for entry in self.ready.iter().filter_map(|(_, _, seq)| self.entry(*seq)) {
            if found.len() == count {
                break;
            }
            let element = self.element(entry)?;
            if is_so(&element) {
                found.push((entry.seq, element));
            }
        }
        Ok(found)
    }

    /// The entries whose ids have this one's hash, in the order of the array: those that have the id, and by a rare
    /// chance others.
    fn maybe_with_id(&self, id: &str) -> Vec<&Entry> {
        let mut found: Vec<&Entry> = self.ids.with(id, &self.entries).collect();
        found.sort_unstable_by_key(|entry| entry.seq);
        found
    }

    /// The entries with this id.
    fn with_id(&self, id: &str) -> Result<Vec<(&Entry, Element)>> {
        let mut found = Vec::new();
        for entry in self.maybe_with_id(id) {
            let element = self.element(entry)?;
            if element.id().is_some_and(|own| **own == *id) {
                found.push((entry, element));
            }
        }
        Ok(found)
    }

    /// The leases that were not given back, of the messages with this id, in no order: number, token and the rest.
    pub(crate) fn leases_of(&self, id: &str) -> impl Iterator<Item = (Seq, u64, &Held)> {
        self.ids.with(id, &self.entries).filter_map(|entry| {
            let (token, held) = entry.lease()?;
            Some((entry.seq, *token, held))
        })
    }

    /// The element with this number.
    pub(crate) fn element_of(&self, seq: Seq) -> Result<Element> {
        let gone = || Error::new(ErrorKind::Internal, format!("element {seq} is not there"));
        self.element(self.entry(seq).ok_or_else(gone)?)
    }

    /// The numbers of the messages with this id.
    pub(crate) fn numbers_of(&self, id: &str) -> Result<Vec<Seq>> {
        let found = self.with_id(id)?.into_iter();
        Ok(found.map(|(entry, _)| entry.seq).collect())
    }

    pub(crate) fn has_id(&self, id: &str) -> Result<bool> {
        Ok(!self.with_id(id)?.is_empty())
    }

    fn entry(&self, seq: Seq) -> Option<&Entry> {
        self.entries.get(self.slot(seq)?)
    }

    fn slot(&self, seq: Seq) -> Option<Slot> {
        let is = |slot: &Slot| {
            self.entries
                .get(*slot)
                .is_some_and(|entry| entry.seq == seq)
        };
        self.seqs.find(hash_of(seq), is).copied()
    }

    fn read(&self, text: &Text) -> Result<Arc<[u8]>> {
        match text {
            Text::Here(bytes) => Ok(Arc::clone(bytes)),
            Text::There(place) => self.texts.read(place),
        }
    }

    fn element(&self, entry: &Entry) -> Result<Element> {
        let text = self.read(&entry.text)?;
        // It was sound when the index was made: somebody has written over it.
        Element::parse(text).map_err(|damage| {
            let rule = format!(
                "element {} is no longer what it was: {}",
                entry.seq, damage.rule
            );
            Error::new(ErrorKind::Corrupt, rule)
        })
    }

    /// Brings the sets up to the time. Costs what has changed, not what is there.
    fn advance(&mut self, now: &Now) {
        self.past.advance(now.wall);
        let ended: Vec<Seq> = if self.boot.as_ref() != Some(&now.boot_id) || !now.dead.is_empty() {
            self.boot = Some(Arc::clone(&now.boot_id));
            let live = |seq: Seq| {
                let held = self.entry(seq).and_then(Entry::held);
                held.is_some_and(|held| held.is_live(now))
            };
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
            let Some(slot) = self.slot(seq) else { continue };
            self.leave_sets(slot);
            self.enter_sets(slot, |entry| match (entry.held(), entry.not_before()) {
                (Some(held), _) if held.is_live(now) => State::Leased,
                (_, Some(not_before)) if not_before > now.wall => State::Delayed,
                _ => State::Ready,
            });
        }
    }

    pub(crate) fn append(&mut self, facts: &Facts<'_>, text: Text) {
        let seq = self.next;
        self.next += 1;
        self.put(seq, facts, text);
    }

    /// Puts an entry where it belongs as far as that is known without the time; `advance` moves it on.
    pub(crate) fn put(&mut self, seq: Seq, facts: &Facts<'_>, text: Text) {
        let id = facts.id.as_deref().map_or(0, |id| self.ids.hash(id));
        self.put_entry(Entry::new(seq, facts, id, text));
    }

    fn put_entry(&mut self, entry: Entry) {
        let seq = entry.seq;
        self.bytes += entry.text.length();
        let slot = self.entries.insert(entry);
        let entries = &self.entries;
        let rehash = |slot: &Slot| entries.get(*slot).map_or(0, |entry| hash_of(entry.seq));
        self.seqs.insert_unique(hash_of(seq), slot, rehash);
        self.ids.insert(slot, &mut self.entries);
        self.enter_sets(slot, likely_state);
    }

    /// The entry has another envelope. An id stays, and one that had none may get one.
    fn change_entry(&mut self, seq: Seq, facts: &Facts<'_>, text: impl FnOnce(&Text) -> Text) {
        let Some(slot) = self.slot(seq) else { return };
        self.leave_sets(slot);
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        let before = entry.text.length();
        let text = text(&entry.text);
        entry.change(facts, text);
        self.bytes = self.bytes - before + entry.text.length();
        if let (0, Some(id)) = (entry.id, &facts.id) {
            entry.id = self.ids.hash(id);
            self.ids.insert(slot, &mut self.entries);
        } else if entry.held().is_some() {
            // Who has it will settle it by its id, which many may have.
            self.ids.lead(slot, &mut self.entries);
        }
        self.enter_sets(slot, likely_state);
    }

    /// Takes an entry out of everything.
    fn take(&mut self, seq: Seq) -> Option<Entry> {
        self.leave_sets(self.slot(seq)?);
        let entries = &self.entries;
        let is = |slot: &Slot| entries.get(*slot).is_some_and(|entry| entry.seq == seq);
        let (slot, _) = self.seqs.find_entry(hash_of(seq), is).ok()?.remove();
        self.ids.remove(slot, &mut self.entries);
        let entry = self.entries.remove(slot)?;
        self.bytes -= entry.text.length();
        if self.seqs.is_empty() {
            // A queue that was long once does not stay large in memory.
            self.entries = Slab::default();
            self.seqs.shrink_to(0, |_| 0);
            self.ids.clear();
        }
        Some(entry)
    }

    fn enter_sets(&mut self, slot: Slot, state: impl FnOnce(&Entry) -> State) {
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        let seq = entry.seq;
        if entry.is_in_transit() {
            entry.state = State::Leased;
            self.in_transit.insert(seq);
            return;
        }
        entry.state = state(entry);
        match (entry.state, entry.held(), entry.not_before()) {
            (State::Leased, Some(held), _) => {
                // A lease of another boot is found when the boots are compared; in between it must not look like one
                // of this boot that runs for long.
                let is_other_boot = self.boot.as_ref().is_some_and(|boot| *boot != held.boot);
                let until = if is_other_boot { 0 } else { held.until_boot_ms };
                self.leased.insert((until, seq));
            }
            (State::Delayed, _, Some(not_before)) => {
                self.delayed.insert((not_before, seq));
            }
            (_, _, not_before) => {
                self.due
                    .extend(not_before.map(|not_before| (not_before, seq)));
                self.ready.insert(entry.order());
            }
        }
    }

    fn leave_sets(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get(slot) else {
            return;
        };
        let seq = entry.seq;
        if entry.is_in_transit() {
            self.in_transit.remove(&seq);
            return;
        }
        if entry.state == State::Ready {
            self.ready.remove(&entry.order());
        }
        if let Some(not_before) = entry.not_before() {
            self.delayed.remove(&(not_before, seq));
            self.due.remove(&(not_before, seq));
        }
        if let Some(held) = entry.held() {
            // Under no time, where it is of another boot.
            let _ = self.leased.remove(&(held.until_boot_ms, seq)) || self.leased.remove(&(0, seq));
        }
    }
}

/// The state as far as it is known without the time.
fn likely_state(entry: &Entry) -> State {
    match (entry.held(), entry.not_before()) {
        (Some(_), _) => State::Leased,
        (None, Some(_)) => State::Delayed,
        (None, None) => State::Ready,
    }
}

/// Numbers follow each other: a multiplication spreads them over the table.
fn hash_of(seq: Seq) -> u64 {
    seq.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
