//! What a power cut may leave. Each operation that is not durable has a fate of its own, so that a later one may be there
//! and an earlier one not.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::FaultStore;
use super::clock::Clock;
use super::disk::{Change, Contents, Inode, Naming, What, parent};

/// Writes are torn at these.
const SECTOR: usize = 512;

/// What became of the bytes that were not synced when the power failed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unsynced {
    /// They are gone.
    Dropped,
    /// Their place is there, but it reads as zeros.
    Zeroed,
    /// They made it.
    Kept,
}

/// The choice that makes one power cut out of all that are possible. The operations that are not durable are numbered in
/// one order; those on what nothing depends on have no numbers, and follow the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All of them share one fate; names are lost with the bytes that are dropped.
    Kept,
    Dropped,
    Zeroed,
    /// All but one made it.
    Without(usize),
    /// One alone made it.
    Only(usize),
    /// Each has a fate of its own, drawn from this seed: kept, dropped, zeroed or torn.
    Chance(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Dropped,
    Zeroed,
    Torn(u64),
}

/// Chance that is the same each time.
pub(crate) fn mix(seed: u64, number: u64) -> u64 {
    let mut mixed = seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Cut {
    fn fate(self, number: Option<usize>) -> Fate {
        let kept = |kept| if kept { Fate::Kept } else { Fate::Dropped };
        match self {
            Self::Kept => Fate::Kept,
            Self::Dropped => Fate::Dropped,
            Self::Zeroed => Fate::Zeroed,
            Self::Without(missing) => kept(number != Some(missing)),
            Self::Only(alone) => kept(number == Some(alone)),
            Self::Chance(seed) => Fate::Kept.drawn(seed, number.map_or(1 << 32, |n| n as u64)),
        }
    }
}

impl Fate {
    fn drawn(self, seed: u64, number: u64) -> Self {
        let drawn = mix(seed, number);
        match drawn % 10 {
            0..4 => self,
            4..7 => Self::Dropped,
            7 => Self::Zeroed,
            _ => Self::Torn(drawn),
        }
    }

    fn keeps_a_name(self) -> bool {
        match self {
            Self::Kept | Self::Zeroed => true,
            Self::Dropped => false,
            Self::Torn(drawn) => (drawn >> 10).is_multiple_of(2),
        }
    }
}

impl Change {
    fn befall(&self, fate: Fate, content: &mut Vec<u8>) {
        match (&self.what, fate) {
            (What::Write(..), Fate::Kept) if self.lost => {}
            (_, Fate::Kept) => self.what.apply(content),
            (_, Fate::Zeroed) => self.what.apply_without_bytes(content),
            (What::Write(at, bytes), Fate::Torn(drawn)) => tear(*at, bytes, drawn, content),
            // A size is whole or not at all.
            (What::Size(_), Fate::Torn(_)) if fate.keeps_a_name() => self.what.apply(content),
            (_, Fate::Torn(_) | Fate::Dropped) => {}
        }
    }
}

/// Some of the sectors made it; the size may be that of all, or end with the last that did.
fn tear(at: usize, bytes: &[u8], drawn: u64, content: &mut Vec<u8>) {
    if (drawn >> 11).is_multiple_of(2) {
        content.resize(content.len().max(at + bytes.len()), 0);
    }
    let mut from = 0;
    while from < bytes.len() {
        let to = ((at + from) / SECTOR * SECTOR + SECTOR - at).min(bytes.len());
        if mix(drawn, from as u64).is_multiple_of(2) {
            What::Write(at + from, Arc::from(&bytes[from..to])).apply(content);
        }
        from = to;
    }
}

impl Contents {
    /// How many operations there are that a [`Cut`] can name.
    fn unsynced(&self) -> usize {
        let reachable = self.reachable();
        let main = reachable.iter().filter(|(_, is_main)| **is_main);
        let changes: usize = main
            .map(|(inode, _)| self.inodes[inode].unsynced.len())
            .sum();
        let is_main = |naming: &&Naming| parent(naming.name()).is_empty();
        changes + self.naming.iter().filter(is_main).count()
    }

    fn cut(&self, cut: Cut) -> Self {
        let mut numbers = 0..;
        let mut inodes = BTreeMap::new();
        for (number, is_main) in self.reachable() {
            let was = &self.inodes[&number];
            let mut content = Arc::clone(&was.durable);
            for change in &was.unsynced {
                let fate = cut.fate(numbers.next().filter(|_| is_main));
                change.befall(fate, Arc::make_mut(&mut content));
            }
            inodes.insert(number, Inode::settled(content, was.mode));
        }
        let mut names = self.durable_names.clone();
        let mut directories = self.directories.clone();
        for naming in &self.naming {
            let is_main = parent(naming.name()).is_empty();
            let number = if is_main { numbers.next() } else { None };
            match naming {
                naming if cut.fate(number).keeps_a_name() => naming.apply(&mut names),
                Naming::Directory(path) => {
                    directories.remove(path);
                }
                _ => {}
            }
        }
        // What is in a directory that was lost is lost with it.
        names.retain(|name, _| is_inside(&directories, parent(name)));
        inodes.retain(|inode, _| names.values().any(|named| named == inode));
        Self {
            next_inode: self.next_inode,
            durable_names: names.clone(),
            names,
            naming: Vec::new(),
            inodes,
            directories,
        }
    }

    /// As [`Cut`] does it, but with one fate for all bytes, and a fate for each name of which it is told.
    fn cut_keeping(&self, content: Unsynced, kept: impl Fn(&str) -> bool) -> Self {
        let now = self.names.iter().filter(|(name, _)| kept(name));
        let before = self.durable_names.iter().filter(|(name, _)| !kept(name));
        let names = now.chain(before);
        let names: BTreeMap<_, _> = names.map(|(name, inode)| (name.clone(), *inode)).collect();
        let mut inodes = BTreeMap::new();
        for inode in names.values() {
            let was = &self.inodes[inode];
            let mut left = Arc::clone(&was.durable);
            match content {
                Unsynced::Kept => left = Arc::clone(&was.content),
                Unsynced::Dropped => {}
                Unsynced::Zeroed => {
                    for change in &was.unsynced {
                        change.befall(Fate::Zeroed, Arc::make_mut(&mut left));
                    }
                }
            }
            inodes.insert(*inode, Inode::settled(left, was.mode));
        }
        Self {
            next_inode: self.next_inode,
            durable_names: names.clone(),
            names,
            naming: Vec::new(),
            inodes,
            directories: self.directories.clone(),
        }
    }
}

fn is_inside(directories: &std::collections::BTreeSet<String>, directory: &str) -> bool {
    directory.is_empty()
        || (directories.contains(directory) && is_inside(directories, parent(directory)))
}

/// The disk as it was at one moment.
pub(crate) struct Moment {
    pub(super) contents: Contents,
    pub(super) clock: Clock,
    /// What was about to be done.
    pub(crate) effect: String,
}

impl Moment {
    pub(crate) fn unsynced(&self) -> usize {
        self.contents.unsynced()
    }

    /// What is there when the power failed at that moment, and the machine was started again.
    pub(crate) fn crash(&self, cut: Cut) -> FaultStore {
        FaultStore::on(self.contents.cut(cut), self.clock.booted())
    }
}

impl FaultStore {
    /// What is there after a power cut: another file system, with nothing open.
    pub(crate) fn power_cut(&self, content: Unsynced, names: Unsynced) -> Self {
        self.power_cut_keeping(content, |_| matches!(names, Unsynced::Kept))
    }

    /// The same, where it is told of each unsynced name whether it made it.
    pub(crate) fn power_cut_keeping(&self, content: Unsynced, kept: impl Fn(&str) -> bool) -> Self {
        let contents = self.disk().contents.cut_keeping(content, kept);
        Self::on(contents, self.clock.copy())
    }

    /// This moment.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            contents: self.disk().contents.moment(),
            clock: self.clock.copy(),
            effect: "the end".to_owned(),
        }
    }

    /// From now on the disk is noted before each effect.
    pub(crate) fn record(&self) {
        self.disk().moments = Some(Vec::new());
    }

    /// The moments that were noted, and this one.
    pub(crate) fn recorded(&self) -> Vec<Moment> {
        let mut moments = self.disk().moments.take().unwrap_or_default();
        moments.push(self.moment());
        moments
    }

    /// What tells this disk from another one, as far as anything depends on it.
    pub(crate) fn fingerprint(&self) -> u64 {
        const DISPOSABLE: [&str; 3] = [".gastown/reserve/", ".gastown/co", ".gastown/waiters/"];
        let mut hasher = DefaultHasher::new();
        let contents = &self.disk().contents;
        for (name, inode) in &contents.names {
            if DISPOSABLE.iter().all(|start| !name.starts_with(start)) {
                (name, &contents.inodes[inode].content).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}
