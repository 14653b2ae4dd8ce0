//! Making and removing the files of a journalled queue. `docs/format.md`, section 17.

use super::replay::corrupt;
use super::{Journal, reserve};
use crate::error::{Error, Result};
use crate::format::counters::Counters;
use crate::format::frame::{Cursor, Kind};
use crate::format::journal::{self, Base, Totals};
use crate::format::name::{QueueName, TEMPORARY_SUFFIX};
use crate::index::Index;
use crate::store::atomic::{Replacement, replace};
use crate::store::{Attributes, Store, plain};

/// The array of a queue that was just made.
const EMPTY: &[u8] = b"[]\n";

impl Journal {
    /// Makes the files of a new queue, with this mode if one is configured.
    pub(crate) fn create(
        store: &dyn Store,
        name: &QueueName,
        lock: u64,
        mode: Option<u32>,
    ) -> Result<()> {
        let attributes = plain::new_attributes(store, mode)?;
        let base = Base {
            generation: 1,
            lock,
            replaced: 0,
            counters: Counters::default(),
            remembered: Vec::new(),
            snapshot: journal::binding(EMPTY),
            totals: Totals::default(),
            numbers: Vec::new(),
        };
        // The journal first: a journal without a snapshot can be told from a plain queue, a snapshot alone cannot.
        put_in_place(store, name, &attributes, &base)?;
        // Best effort.
        let _ = reserve::keep(store, name);
        plain::replace_snapshot(store, name, &attributes, EMPTY)
    }

    /// Gives a plain queue a journal; its file stays as it is.
    pub(crate) fn adopt(store: &dyn Store, name: &QueueName, lock: u64) -> Result<()> {
        let path = || store.root().join(name.snapshot());
        let (mut plain, bytes) = plain::read(store, &name.snapshot())
            .map_err(|error| Error::io("read", path(), error))?;
        // Makes the bytes that the journal builds on durable, and their name: whoever wrote them may not have.
        plain.sync(store, name)?;
        let synced = store.sync_directory("");
        synced.map_err(|error| Error::io("sync the directory of", path(), error))?;
        Self::restart(store, name, lock, plain.attributes(), &bytes, (1, 0))
    }

    /// Begins a journal anew, on a snapshot that was just put in place: its generation, and how often another program has replaced
    /// the snapshot of the queue.
    pub(crate) fn restart(
        store: &dyn Store,
        name: &QueueName,
        lock: u64,
        attributes: &Attributes,
        image: &[u8],
        (generation, replaced): (u64, u64),
    ) -> Result<()> {
        let path = store.root().join(name.snapshot());
        let index = Index::parse(image).map_err(|damage| corrupt(&path, &damage))?;
        let totals = index.totals();
        let base = Base {
            generation,
            lock,
            replaced,
            counters: Counters::default(),
            remembered: Vec::new(),
            snapshot: journal::binding(image),
            totals,
            numbers: std::iter::once(0..totals.next).collect(),
        };
        put_in_place(store, name, attributes, &base)
    }

    /// Removes a journal that has been folded.
    pub(crate) fn remove(store: &dyn Store, name: &QueueName) -> Result<()> {
        // Makes the mode durable that says that there is none: whoever put it on record may not have been able to.
        Self::sync_name(store, name)?;
        match store.remove(&name.journal()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let path = store.root().join(name.journal());
                return Err(Error::io("remove", path, error));
            }
            _ => {}
        }
        // Makes the removal durable.
        Self::sync_name(store, name)
    }

    /// Makes durable whether there is a journal.
    pub(crate) fn sync_name(store: &dyn Store, name: &QueueName) -> Result<()> {
        let path = || store.root().join(name.journal());
        let synced = store.sync_directory("");
        synced.map_err(|error| Error::io("sync the directory of", path(), error))
    }
}

/// Puts a journal in place that holds no more than its base.
fn put_in_place(
    store: &dyn Store,
    name: &QueueName,
    attributes: &Attributes,
    base: &Base,
) -> Result<()> {
    let salt = store.system().random();
    let (bytes, _) = Cursor::start(salt).frame(Kind::Base, 0, &journal::write_object(base));
    let file_name = name.journal();
    let how = Replacement {
        name: &file_name,
        temporary: (&name.temp_prefix(), TEMPORARY_SUFFIX),
        attributes,
        sync_content: true,
        sync_name: true,
    };
    replace(store, &how, &bytes, || Ok(true)).map(drop)
}
