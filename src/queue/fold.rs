//! Folding a journal: when it is long, when somebody asks, when a handle closes.

use crate::error::Result;
use crate::format::name::CHECKPOINT_SUFFIX;
use crate::store::files::{Need, remove_left_over};
use crate::store::lock::Hold;
use crate::store::patience::{LockWait, Patience};
use crate::store::turn;

use super::Handle;
use super::attached::Attached;

/// So many elements are told at a time where they are after a checkpoint.
const PART: usize = 10_000;
/// So often a checkpoint tries to have little to do under the lock,
const CATCH_UPS: u32 = 8;
/// and so many bytes of the journal are little.
const LITTLE: u64 = 512 * 1024;

impl Handle {
    /// Folds a journal that has become long. The change is made: what goes wrong here does not concern it, and is tried
    /// again when the journal has grown on.
    pub(super) fn fold_on_the_side(&self, attached: &Attached) {
        let patience = Patience::new(LockWait::NoWait, None);
        if self.fold(attached, &patience).is_err() {
            let files = &mut attached.entry.state().files;
            files.put_off(&*self.spool.store, &self.name);
        }
    }

    /// Folds the journal. Nobody waits for it longer than for any change: the files are written without the lock. False:
    /// another process is at it for longer than the patience for the turn.
    pub(crate) fn fold(&self, attached: &Attached, turn: &Patience) -> Result<bool> {
        let store = &*self.spool.store;
        let cut = || {
            self.mending(attached, || {
                let hold = || attached.hold_for_change(&self.patience(), &mut || ());
                let hold = self.hold_caught_up(attached, hold, || Ok(()))?;
                let files = &mut attached.entry.state().files;
                files.cut(store, &self.name, &hold)
            })
        };
        let is_unfolded = || {
            let _hold = attached.hold_for_change(&self.patience(), &mut || ())?;
            attached.entry.state().files.is_unfolded(store, &self.name)
        };
        if !self.mending(attached, is_unfolded)? {
            return Ok(true);
        }
        let mode = self.spool.file_mode;
        let Some(_turn) = turn::take(store, &self.names.turn, mode, turn)? else {
            return Ok(false);
        };
        remove_left_over(store, &self.name, CHECKPOINT_SUFFIX);
        loop {
            // What there is may have been folded while this one waited for its turn.
            let Some(cut) = cut()? else { return Ok(true) };
            let mut fold = cut.write(store, &self.name, CHECKPOINT_SUFFIX)?;
            let hold = || attached.hold(&self.patience());
            let hold = self.hold_caught_up(attached, hold, || fold.catch_up(&self.name))?;
            let end = || {
                let mut state = attached.entry.state();
                self.sweep(&mut state, &hold);
                let files = &mut state.files;
                files.end(store, &self.name, fold, &hold)
            };
            let Some(mut places) = end()? else { continue };
            drop(hold);
            // In parts: another thread may have the lock by now, and wait for this.
            while !attached.entry.state().files.relocate(&mut places, PART) {}
            return Ok(true);
        }
    }

    /// Folds a small journal, so that whoever reads the snapshot alone sees the queue.
    pub(super) fn show(&self, attached: &Attached, patience: &Patience) -> Result<()> {
        if !attached.entry.state().files.is_small_and_unfolded() {
            return Ok(());
        }
        self.mending_within(attached, patience, || {
            let hold = attached.hold(patience)?;
            let mut state = attached.entry.state();
            self.sweep(&mut state, &hold);
            let store = &*self.spool.store;
            // When the lock was taken away there is nothing to be done again: the next one to close will fold.
            state.files.checkpoint(store, &self.name, &hold).map(drop)
        })
    }

    /// The lock, at a moment when little is left to be read under it: whoever commits all the time is ahead after each
    /// look without it. `also` is done before each try.
    fn hold_caught_up(
        &self,
        attached: &Attached,
        hold: impl Fn() -> Result<Hold>,
        mut also: impl FnMut() -> Result<()>,
    ) -> Result<Hold> {
        for _ in 0..CATCH_UPS {
            also()?;
            self.catch_up(attached, Need::Index);
            let hold = hold()?;
            let files = &attached.entry.state().files;
            if files.lag(&*self.spool.store, &self.name) <= LITTLE {
                return Ok(hold);
            }
        }
        hold()
    }
}
