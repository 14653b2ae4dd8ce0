//! Messages by the hash of their id. Ids may repeat, a hundred thousand times too: equal hashes are a chain through the
//! entries, so that each costs the same.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::entry::{Entry, NOWHERE, Slab, Slot};

#[derive(Debug, Default)]
pub(super) struct Ids {
    /// The first entry of each chain.
    heads: HashTable<Slot>,
    /// Chosen by chance, so that nobody can make ids that collide.
    hasher: RandomState,
}

impl Ids {
    /// The hash of an id; never 0, which stands for none.
    pub(super) fn hash(&self, id: &str) -> u64 {
        self.hasher.hash_one(id).max(1)
    }

    /// The entries whose ids have this one's hash.
    pub(super) fn with<'a>(&self, id: &str, entries: &'a Slab) -> impl Iterator<Item = &'a Entry> {
        let hash = self.hash(id);
        let first = self
            .heads
            .find(hash, |slot| hash_at(entries, *slot) == hash);
        let first = first.and_then(|slot| entries.get(*slot));
        std::iter::successors(first, |entry| entries.get(entry.next_same))
    }

    /// Puts an entry at the start of its chain.
    pub(super) fn insert(&mut self, slot: Slot, entries: &mut Slab) {
        let hash = hash_at(entries, slot);
        if hash == 0 {
            return;
        }
        let is = |other: &Slot| hash_at(entries, *other) == hash;
        let Some(head) = self.heads.find_mut(hash, is) else {
            let rehash = |slot: &Slot| hash_at(entries, *slot);
            self.heads.insert_unique(hash, slot, rehash);
            return;
        };
        let next = std::mem::replace(head, slot);
        if let Some(entry) = entries.get_mut(slot) {
            entry.next_same = next;
        }
        if let Some(next) = entries.get_mut(next) {
            next.previous_same = slot;
        }
    }

    /// Puts an entry at the start of its chain again: it is the one that will be asked for.
    pub(super) fn lead(&mut self, slot: Slot, entries: &mut Slab) {
        let Some(entry) = entries.get(slot).filter(|entry| entry.id != 0) else {
            return;
        };
        if entry.previous_same == NOWHERE {
            return;
        }
        self.remove(slot, entries);
        if let Some(entry) = entries.get_mut(slot) {
            entry.previous_same = NOWHERE;
        }
        self.insert(slot, entries);
    }

    /// Takes an entry out of its chain.
    pub(super) fn remove(&mut self, slot: Slot, entries: &mut Slab) {
        let hash = hash_at(entries, slot);
        let Some((next, previous)) = entries
            .get(slot)
            .filter(|_| hash != 0)
            .map(|entry| (entry.next_same, entry.previous_same))
        else {
            return;
        };
        if let Some(next) = entries.get_mut(next) {
            next.previous_same = previous;
        }
        if let Some(previous) = entries.get_mut(previous) {
            previous.next_same = next;
        } else if let Ok(mut head) = self.heads.find_entry(hash, |head| *head == slot) {
            if next == NOWHERE {
                head.remove();
            } else {
                *head.get_mut() = next;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.heads = HashTable::new();
    }
}

fn hash_at(entries: &Slab, slot: Slot) -> u64 {
    entries.get(slot).map_or(0, |entry| entry.id)
}
