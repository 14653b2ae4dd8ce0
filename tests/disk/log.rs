//! What a disk was told, in order.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

pub enum Entry {
    Write { offset: u64, bytes: Vec<u8> },
    Flush,
}

#[derive(Default)]
pub struct Log {
    entries: Mutex<Vec<Entry>>,
    /// Writes fail with EIO, and nothing is written.
    pub fails_writes: AtomicBool,
    /// Flushes fail with EIO, and make nothing durable.
    pub fails_flushes: AtomicBool,
}

impl Log {
    /// How much there is: the moment at which something was asked or told.
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap().len()
    }

    pub fn add(&self, entry: Entry) {
        self.entries.lock().unwrap().push(entry);
    }

    /// What there is so far, and nothing from then on.
    pub fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.entries.lock().unwrap())
    }

    pub fn fail(&self, what: Failing, is_on: bool) {
        let switch = match what {
            Failing::Writes => &self.fails_writes,
            Failing::Flushes => &self.fails_flushes,
        };
        switch.store(is_on, Ordering::SeqCst);
    }
}

/// What a disk can be made to refuse.
#[derive(Clone, Copy, Debug)]
pub enum Failing {
    Writes,
    Flushes,
}
