//! What a handle has in one process; after a fork the child gets its own.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use crate::error::Result;
use crate::format::name::{LockNames, QueueName};
use crate::format::receipt::Receipt;
use crate::index::Index;
use crate::spool::Shared;
use crate::store::LockKind;
use crate::store::gate::Tie;
use crate::store::lock::{Care, Hold};
use crate::store::patience::Patience;
use crate::store::real::{descriptors, generation};
use crate::store::registry::{self, Entry};
use crate::sync::{Mutex, MutexGuard};
use crate::wait::{Beds, Interrupts};

use super::Handle;

/// What a handle has in one process. The parent's threads may have held any mutex of it at a fork.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) entry: Arc<Entry>,
    pub(crate) interrupts: Interrupts,
    pub(crate) beds: Beds,
    leases: Mutex<Leases>,
    /// The queues with which this one exchanges messages.
    partners: Mutex<HashMap<QueueName, Arc<Handle>>>,
}

/// The leases taken through a handle, by receipt; given back when it closes.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    pub(crate) receipts: HashSet<String>,
    /// How many of them were still leased when that was looked at.
    left: usize,
}

/// How many receipts may be kept without a look at which of them others have settled.
const FEW: usize = 1000;

/// What inherited handles have in this process, by fork generation and handle. Taken only under the
/// descriptors' mutex, so that no fork finds it locked.
static INHERITED: std::sync::Mutex<Option<Inherited>> = std::sync::Mutex::new(None);
type Inherited = HashMap<(u64, u64), Arc<Attached>>;

fn with_inherited<T>(job: impl FnOnce(&mut Inherited) -> T) -> T {
    let _no_fork = descriptors();
    let mut inherited = INHERITED.lock().unwrap_or_else(PoisonError::into_inner);
    job(inherited.get_or_insert_default())
}

impl Attached {
    pub(super) fn new(spool: &Shared, names: &LockNames) -> Self {
        let entry = registry::entry(
            &spool.store,
            spool.root,
            names,
            spool.file_mode,
            spool.allow_unverified,
        );
        Self {
            entry,
            interrupts: Interrupts::default(),
            beds: Beds::default(),
            leases: Mutex::default(),
            partners: Mutex::default(),
        }
    }

    /// What the handle of this number has in this process, which inherited it; made when it is asked for first.
    pub(super) fn inherited(number: u64, make: impl FnOnce() -> Self) -> Arc<Self> {
        let key = (generation(), number);
        let known = with_inherited(|inherited| inherited.get(&key).cloned());
        known.unwrap_or_else(|| {
            // Made, and dropped if another thread was faster, without the mutex: lock files are opened and closed under it.
            let made = Arc::new(make());
            with_inherited(|inherited| {
                let kept = inherited.entry(key).or_insert_with(|| Arc::clone(&made));
                Arc::clone(kept)
            })
        })
    }

    /// The handle of this number goes, in a process that inherited it.
    pub(super) fn forget_inherited(number: u64) {
        // Dropped without the mutex, too.
        let gone = with_inherited(|inherited| inherited.remove(&(generation(), number)));
        drop(gone);
    }

    /// Takes the queue's exclusive lock and guard.
    pub(crate) fn hold(&self, patience: &Patience) -> Result<Hold> {
        let lock = &self.entry.lock;
        lock.acquire(LockKind::Exclusive, Care::Guarded, Tie::Thread, patience)
    }

    /// Takes the queue's exclusive lock for one change: for a plain queue with the guard.
    pub(super) fn hold_for_change(
        &self,
        patience: &Patience,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Hold> {
        let care = if self.entry.state().files.is_appended_to() {
            Care::AtCommit
        } else {
            Care::Guarded
        };
        let (lock, kind) = (&self.entry.lock, LockKind::Exclusive);
        lock.acquire_meanwhile(kind, care, Tie::Thread, patience, meanwhile)
    }

    /// Takes the queue's lock to look: programs without the library may be writing.
    pub(crate) fn hold_shared(&self, patience: &Patience) -> Result<Hold> {
        let lock = &self.entry.lock;
        lock.acquire(LockKind::Shared, Care::Checked, Tie::Thread, patience)
    }

    pub(crate) fn partners(&self) -> MutexGuard<'_, HashMap<QueueName, Arc<Handle>>> {
        self.partners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Taken while the queue's state is held, never the other way round.
    pub(crate) fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the leases that ended without this handle, when there may be many.
    pub(super) fn forget_ended(&self, index: &Index) {
        let mut leases = self.leases();
        if leases.receipts.len() > FEW.max(2 * leases.left) {
            let is_leased = |receipt: Receipt| {
                let mut held = index.leases_of(&receipt.id);
                held.any(|(_, token, _)| token == receipt.token)
            };
            leases
                .receipts
                .retain(|text| Receipt::parse(text).is_ok_and(is_leased));
            leases.left = leases.receipts.len();
        }
    }
}
