//! What is counted of a queue besides what its journal says: the use of its lock, and everything about a plain queue, which
//! has no journal. `docs/format.md`, section 19.
//!
//! A file of one JSON object that is overwritten in place under the queue's lock. Nothing depends on it: where it is missing
//! or damaged, counting begins anew, and what cannot be written is not counted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::make_directories;
use super::{Open, Stat, Store};
use crate::format::counters::Counters;
use crate::format::journal::Written;
use crate::format::name::{COUNTERS_DIRECTORY, QueueName};

/// The file has this size whatever the counts are, so that one write replaces all of it.
const BYTES: usize = 2048;
/// The upper bounds of the waits that are counted together, in microseconds; the last count is of longer ones.
pub(crate) const WAITS_US: [u64; 7] = [
    100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 60_000_000,
];

/// What is in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counted {
    /// What a journal does not say.
    pub(crate) counters: Counters,
    /// How often another program has written the file of a plain queue.
    pub(crate) foreign_writes: u64,
    pub(crate) lock: LockCounts,
    /// The file of a plain queue as flockq wrote it last.
    written: Option<Written>,
}

/// How the lock of a queue was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LockCounts {
    /// How often it was taken exclusively.
    pub(crate) acquired: u64,
    /// How often somebody had to wait for it.
    pub(crate) contended: u64,
    /// How often somebody waited in vain.
    pub(crate) timed_out: u64,
    /// How often its file was another one, because a program had removed it.
    pub(crate) replaced: u64,
    pub(crate) wait_us: u64,
    pub(crate) wait_max_us: u64,
    /// Waits by their length.
    pub(crate) waits: [u64; WAITS_US.len() + 1],
}

impl LockCounts {
    pub(crate) fn waited(&mut self, wait: Duration) {
        let us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.contended += 1;
        self.wait_us = self.wait_us.saturating_add(us);
        self.wait_max_us = self.wait_max_us.max(us);
        let place = WAITS_US.partition_point(|bound| *bound < us);
        if let Some(count) = self.waits.get_mut(place) {
            *count += 1;
        }
    }

    pub(crate) fn add(&mut self, more: &Self) {
        let sum = |one: &mut u64, other: u64| *one = one.saturating_add(other);
        sum(&mut self.acquired, more.acquired);
        sum(&mut self.contended, more.contended);
        sum(&mut self.timed_out, more.timed_out);
        sum(&mut self.replaced, more.replaced);
        sum(&mut self.wait_us, more.wait_us);
        self.wait_max_us = self.wait_max_us.max(more.wait_max_us);
        for (one, other) in self.waits.iter_mut().zip(more.waits) {
            sum(one, other);
        }
    }
}

/// What commits count for and no journal says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Uncounted {
    pub(crate) counters: Counters,
    /// How often another program has replaced the file, of a journal that goes.
    pub(crate) foreign_writes: u64,
    /// The file of a plain queue as it was found, and as it was left.
    found: Option<Stat>,
    left: Option<Stat>,
}

impl Uncounted {
    /// The file of a plain queue was replaced, or is to be known from here on.
    pub(crate) fn replaced(&mut self, found: Option<Stat>, left: Stat) {
        if self.left.is_none() {
            self.found = found;
        }
        self.left = Some(left);
    }

    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Counted {
    pub(crate) fn take(&mut self, uncounted: &Uncounted) {
        self.counters.add(&uncounted.counters);
        let is_foreign = |found: Stat| self.is_foreign(&found);
        let more = u64::from(uncounted.found.is_some_and(is_foreign));
        self.add_foreign_writes(uncounted.foreign_writes.saturating_add(more));
        if let Some(left) = uncounted.left {
            self.written = (left != Stat::UNSEEN).then(|| Written::from(&left));
        }
    }

    /// What is in the file may be nonsense: no count goes beyond its end.
    pub(crate) fn add_foreign_writes(&mut self, more: u64) {
        self.foreign_writes = self.foreign_writes.saturating_add(more);
    }

    /// Whether the file of a plain queue is another program's, which has not been counted yet.
    pub(crate) fn is_foreign(&self, stat: &Stat) -> bool {
        self.written
            .is_some_and(|written| written != Written::from(stat))
    }
}

/// What has been counted, under the queue's lock.
pub(crate) fn read(store: &dyn Store, name: &QueueName) -> Counted {
    let file = store.open(&path(name), Open::Read);
    let bytes = file
        .and_then(|file| file.read_at(0, BYTES))
        .unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Counts, under the queue's exclusive lock. False: it could not be written.
pub(crate) fn change(
    store: &dyn Store,
    name: &QueueName,
    change: impl FnOnce(&mut Counted),
) -> bool {
    let mut counted = read(store, name);
    change(&mut counted);
    let mut bytes = serde_json::to_vec(&counted).unwrap_or_default();
    bytes.resize(BYTES - 1, b' ');
    bytes.push(b'\n');
    write(store, &path(name), &bytes).is_ok()
}

fn write(store: &dyn Store, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    let root = store.root_stat()?;
    let how = Open::Shared {
        mode: root.file_mode(),
    };
    let file = match store.open(path, how) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            make_directories(store, COUNTERS_DIRECTORY, root.directory_mode())?;
            store.open(path, how)?
        }
        other => other?,
    };
    file.write_at(bytes, 0)
}

fn path(name: &QueueName) -> String {
    format!("{COUNTERS_DIRECTORY}/{}", name.snapshot())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_counted_with_those_of_its_length() {
        let mut counts = LockCounts::default();
        for us in [0, 100, 101, 999_999, 61_000_000] {
            counts.waited(Duration::from_micros(us));
        }
        assert_eq!(counts.waits, [2, 1, 0, 0, 1, 0, 0, 1]);
        assert_eq!((counts.contended, counts.wait_max_us), (5, 61_000_000));
        let mut twice = counts;
        twice.add(&counts);
        assert_eq!(
            (twice.wait_us, twice.wait_max_us),
            (2 * counts.wait_us, 61_000_000)
        );
    }

    #[test]
    fn all_counts_fit_into_the_file() {
        let mut counted = Counted {
            foreign_writes: u64::MAX,
            written: Some(Written {
                inode: u64::MAX,
                modified: i64::MIN,
            }),
            ..Counted::default()
        };
        for (name, _) in Counters::default().named() {
            let text = format!("{name} {}", u64::MAX);
            counted.counters.add(&Counters::of_text(&text).unwrap());
        }
        counted.lock = LockCounts {
            acquired: u64::MAX,
            contended: u64::MAX,
            timed_out: u64::MAX,
            replaced: u64::MAX,
            wait_us: u64::MAX,
            wait_max_us: u64::MAX,
            waits: [u64::MAX; 8],
        };
        let bytes = serde_json::to_vec(&counted).unwrap();
        assert!(bytes.len() < BYTES, "{}", bytes.len());
        assert_eq!(serde_json::from_slice::<Counted>(&bytes).unwrap(), counted);
    }
}
