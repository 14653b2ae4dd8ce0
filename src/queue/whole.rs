//! The whole array: load, save, and the change under one lock that load-then-save should have been.

use std::mem;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::index::{Index, Now, plan};
use crate::store::files::Need;
use crate::store::lock::Hold;

use super::Queue;
use super::attached::Attached;
use super::change::{Told, Wish};
use super::look::Probe;

/// A queue's array: the envelopes as JSON texts, byte for byte as in the file.
pub type Array = Vec<Box<RawValue>>;

/// A change of the whole array under one lock: begin, look at the array, set it, commit.
///
/// Dropping it rolls back. While it is open nobody else changes the queue, and the thread that began
/// it gets `WouldDeadlock` from any other operation on the queue. Any thread may finish it. It does not
/// survive a fork: in the child it is `Closed`.
#[derive(Debug)]
pub struct Transaction {
    queue: Queue,
    attached: Arc<Attached>,
    hold: Hold,
    array: Array,
    /// What was read, to be found again: the lock may have to be taken anew, and other programs know none.
    read: Vec<Arc<[u8]>>,
}

impl Queue {
    /// The whole array, read under a shared lock.
    pub fn load(&self) -> Result<Array> {
        self.handle
            .look(Probe::None, |index, _| raw(&index.array()?))
    }

    /// Replaces the whole array under an exclusive lock. Live leases are kept by message: an element without
    /// `lease` whose id is that of a leased message gets that lease.
    ///
    /// `InvalidArgument` for an element that is no envelope. What others changed since the load is lost:
    /// [`Queue::update`] is the change that loses nothing.
    pub fn save(&self, array: &[Box<RawValue>]) -> Result<()> {
        let texts = texts(array);
        let wish = Wish::Keep(None);
        self.handle
            .change(wish, Need::Index, Probe::Now, |index, now, _| {
                plan::save(index, now, texts.clone())
            })
    }

    /// Changes the whole array under one exclusive lock. The closure must not use this queue.
    pub fn update<T>(&self, change: impl FnOnce(&mut Array) -> T) -> Result<T> {
        let mut transaction = self.begin()?;
        let result = change(&mut transaction.array);
        transaction.commit()?;
        Ok(result)
    }

    /// Begins a change of the whole array, for callers that cannot give a closure.
    pub fn begin(&self) -> Result<Transaction> {
        let attached = self.handle.attached()?;
        let (hold, read) = self.handle.mending(&attached, || {
            let hold = attached.hold(&self.handle.patience())?;
            let read = self.read(&attached)?;
            Ok((hold, read))
        })?;
        Ok(Transaction {
            queue: self.clone(),
            attached,
            hold,
            array: raw(&read)?,
            read,
        })
    }

    fn read(&self, attached: &Attached) -> Result<Vec<Arc<[u8]>>> {
        let mut state = attached.entry.state();
        let index =
            state
                .files
                .refresh(&*self.handle.spool.store, &self.handle.name, Need::Index)?;
        index.array()
    }
}

impl Transaction {
    /// Fails in a process that was forked while it was open: the lock stayed with the parent.
    fn check_process(&self) -> Result<()> {
        self.hold.check_process()
    }

    /// The array.
    #[must_use]
    pub fn array(&self) -> &[Box<RawValue>] {
        &self.array
    }

    /// Sets the array that the commit will write.
    pub fn set(&mut self, array: Array) {
        self.array = array;
    }

    /// Writes the array and ends the change. `Interrupted` when the queue was changed meanwhile, by a program without the
    /// library, or by anybody after such a program removed the lock file: nothing was written, begin again.
    pub fn commit(mut self) -> Result<()> {
        let handle = Arc::clone(&self.queue.handle);
        handle.attached()?;
        self.check_process()?;
        let texts = texts(&mem::take(&mut self.array));
        let (wish, need, probe) = (Wish::Keep(None), Need::Index, Probe::Now);
        let decide = |index: &mut Index, now: &Now, _: &mut Told| {
            if index.array()? != self.read {
                let text = format!(
                    "queue {} was changed by another program, or after one had removed its lock file, while the change was open; nothing was written, begin again",
                    handle.name
                );
                return Err(Error::new(ErrorKind::Interrupted, text));
            }
            plan::save(index, now, texts.clone())
        };
        let (attached, hold) = (&self.attached, &self.hold);
        let (result, unsynced) = handle.change_held(attached, hold, wish, need, probe, decide)?;
        handle.finish(&self.attached, self.hold, unsynced.as_ref())?;
        Ok(result)
    }

    /// Ends the change without writing; so does dropping it.
    pub fn rollback(self) {}
}

fn texts(array: &[Box<RawValue>]) -> Vec<Arc<[u8]>> {
    array
        .iter()
        .map(|element| Arc::from(element.get().as_bytes()))
        .collect()
}

fn raw(texts: &[Arc<[u8]>]) -> Result<Array> {
    let one = |text: &Arc<[u8]>| {
        let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
        RawValue::from_string(text.to_owned()).map_err(|error| error.to_string())
    };
    // The index holds only what was parsed before.
    texts
        .iter()
        .map(|text| one(text).map_err(|error| Error::new(ErrorKind::Internal, error)))
        .collect()
}
