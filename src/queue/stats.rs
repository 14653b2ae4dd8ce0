//! How queues stand, and what has been done with them.

use std::time::Duration;

use crate::error::{ErrorKind, Result};
use crate::format::counters::Counters;
use crate::spool::Spool;
use crate::store::counters::{LockCounts, WAITS_US};

use super::Queue;
use super::look::Probe;

/// How a queue stands, and what has been done with it by all processes together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// All messages, in whatever state.
    pub messages: u64,
    /// Those that a receive would get now.
    pub ready: u64,
    /// Those whose time has not come.
    pub delayed: u64,
    /// Those that somebody has under a lease.
    pub leased: u64,
    /// The bytes of all envelopes.
    pub bytes: u64,
    /// The age of the oldest message.
    pub oldest_age: Option<Duration>,
    /// What has been done with messages.
    pub counters: Counters,
    /// How often another program has written or replaced the file, as far as it was noticed.
    pub foreign_writes: u64,
    /// How often the journal was folded.
    pub checkpoints: u64,
    /// How the lock was used.
    pub lock: LockStats,
}

/// How the lock of a queue was used. A process tells once a second, with what it does next, and when it closes the queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LockStats {
    /// How often it was taken to change something.
    pub acquired: u64,
    /// How often somebody had to wait for it.
    pub contended: u64,
    /// How often somebody waited in vain.
    pub timed_out: u64,
    /// How often its file had been removed or replaced by another program.
    pub replaced: u64,
    /// All waits together.
    pub wait: Duration,
    /// The longest wait.
    pub wait_max: Duration,
    /// How many waits were at most 100 us, 1 ms, 10 ms, 100 ms, 1 s, 10 s, 1 min, and longer.
    pub waits: [u64; 8],
}

impl LockStats {
    /// The upper bounds of `waits`, but of the last.
    pub const BOUNDS: [Duration; 7] = {
        let mut bounds = [Duration::ZERO; WAITS_US.len()];
        let mut place = 0;
        while place < bounds.len() {
            bounds[place] = Duration::from_micros(WAITS_US[place]);
            place += 1;
        }
        bounds
    };
}

impl From<LockCounts> for LockStats {
    fn from(counts: LockCounts) -> Self {
        Self {
            acquired: counts.acquired,
            contended: counts.contended,
            timed_out: counts.timed_out,
            replaced: counts.replaced,
            wait: Duration::from_micros(counts.wait_us),
            wait_max: Duration::from_micros(counts.wait_max_us),
            waits: counts.waits,
        }
    }
}

impl Queue {
    /// How the queue stands.
    pub fn stats(&self) -> Result<Stats> {
        let handle = &self.handle;
        handle.look_at_files(Probe::Now, |files, now| {
            let stands = files.index().stats(now);
            let (mut counted, checkpoints) = files.counted(&*handle.spool.store, &handle.name);
            // What this process has not told yet.
            counted.lock.add(&handle.attached()?.entry.lock.counts());
            Ok(Stats {
                messages: stands.messages,
                ready: stands.ready,
                delayed: stands.delayed,
                leased: stands.leased,
                bytes: stands.bytes,
                oldest_age: stands.oldest_age,
                counters: counted.counters,
                foreign_writes: counted.foreign_writes,
                checkpoints,
                lock: counted.lock.into(),
            })
        })
    }
}

impl Spool {
    /// How every queue stands that has a file, by name. One that cannot be read does not hide how the others stand.
    pub fn stats(&self) -> Result<Vec<(String, Result<Stats>)>> {
        let mut all = Vec::new();
        for name in self.queues()? {
            let stats = self.seen(&name).and_then(|queue| queue.stats());
            if let Err(error) = &stats
                && error.kind() == ErrorKind::Interrupted
            {
                // That says nothing of the queue.
                return stats.map(|_| all);
            }
            all.push((name, stats));
        }
        Ok(all)
    }
}
