//! What is kept of each message, and the slab that it is kept in: the memory of a waiting message is mostly this.

use super::state::State;
use super::text::Text;
use super::{Order, Seq};
use crate::format::envelope::Facts;
use crate::format::lease::Held;
use crate::format::priority::Priority;
use crate::format::time::{Timestamp, order_key};

/// A place in the slab.
pub(super) type Slot = u32;
/// No place.
pub(super) const NOWHERE: Slot = Slot::MAX;
/// So many entries are made room for at once: growing by doubling would leave half of a large queue's memory unused.
const CHUNK: usize = 1024;

/// What is known of a message without reading it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) seq: Seq,
    pub(super) text: Text,
    /// The hash of its id; 0 when it has none.
    pub(super) id: u64,
    pub(super) queued: i64,
    /// What only few messages have.
    pub(super) extra: Option<Box<Extra>>,
    /// The messages whose ids have the same hash are a chain.
    pub(super) next_same: Slot,
    pub(super) previous_same: Slot,
    pub(super) priority: Priority,
    /// As of the last `advance`.
    pub(super) state: State,
}

/// What only delayed and leased messages have.
#[derive(Debug)]
pub(super) struct Extra {
    pub(super) not_before: Option<Timestamp>,
    pub(super) lease: Option<(u64, Held)>,
    pub(super) in_transit: bool,
}

impl Extra {
    fn of(facts: &Facts<'_>) -> Option<Box<Self>> {
        let is_needed = facts.not_before.is_some() || facts.lease.is_some() || facts.in_transit;
        is_needed.then(|| {
            Box::new(Self {
                not_before: facts.not_before,
                lease: facts.lease.clone(),
                in_transit: facts.in_transit,
            })
        })
    }
}

impl Entry {
    pub(super) fn new(seq: Seq, facts: &Facts<'_>, id: u64, text: Text) -> Self {
        Self {
            seq,
            text,
            id,
            queued: order_key(facts.queued_at),
            extra: Extra::of(facts),
            next_same: NOWHERE,
            previous_same: NOWHERE,
            priority: facts.priority,
            state: State::Ready,
        }
    }

    /// Another envelope, around the same payload and with the same priority, is at this place.
    pub(super) fn change(&mut self, facts: &Facts<'_>, text: Text) {
        self.text = text;
        self.queued = order_key(facts.queued_at);
        self.extra = Extra::of(facts);
    }

    pub(super) fn order(&self) -> Order {
        (self.priority, self.queued, self.seq)
    }

    pub(super) fn not_before(&self) -> Option<Timestamp> {
        self.extra.as_ref()?.not_before
    }

    pub(super) fn is_in_transit(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.in_transit)
    }

    /// The token and the rest of a lease that was not given back.
    pub(super) fn lease(&self) -> Option<&(u64, Held)> {
        self.extra.as_ref()?.lease.as_ref()
    }

    pub(super) fn held(&self) -> Option<&Held> {
        self.lease().map(|(_, held)| held)
    }
}

/// Entries by slot. A slot is used again when its entry is gone.
#[derive(Debug, Default)]
pub(super) struct Slab {
    chunks: Vec<Vec<Option<Entry>>>,
    free: Vec<Slot>,
}

impl Slab {
    pub(super) fn get(&self, slot: Slot) -> Option<&Entry> {
        let slot = slot as usize;
        self.chunks.get(slot / CHUNK)?.get(slot % CHUNK)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        let slot = slot as usize;
        let chunk = self.chunks.get_mut(slot / CHUNK)?;
        chunk.get_mut(slot % CHUNK)?.as_mut()
    }

    pub(super) fn insert(&mut self, entry: Entry) -> Slot {
        if let Some(slot) = self.free.pop() {
            let place = slot as usize;
            if let Some(free) = self
                .chunks
                .get_mut(place / CHUNK)
                .and_then(|chunk| chunk.get_mut(place % CHUNK))
            {
                *free = Some(entry);
                return slot;
            }
        }
        let full = self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK);
        if full {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let mut place = 0;
        if let Some(chunk) = self.chunks.last_mut() {
            place = chunk.len();
            chunk.push(Some(entry));
        }
        // Four thousand million messages fit nowhere else either.
        Slot::try_from(before + place).unwrap_or(NOWHERE)
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Entry> {
        let place = slot as usize;
        let chunk = self.chunks.get_mut(place / CHUNK)?;
        let entry = chunk.get_mut(place % CHUNK)?.take()?;
        self.free.push(slot);
        Some(entry)
    }

    /// All entries with their slots, in no order.
    pub(super) fn with_slots(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        let slots = 0..;
        let places = self.chunks.iter().flatten();
        slots
            .zip(places)
            .filter_map(|(slot, entry)| Some((slot, entry.as_ref()?)))
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flatten().flatten()
    }
}
