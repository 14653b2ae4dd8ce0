//! The gate of a queue: which thread of this process may use the process's one lock descriptor.
//!
//! First come, first served, so that threads do not starve each other. A hold remembers the
//! thread that took it, only to tell a call that would wait for itself; any thread may end it.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use super::patience::Patience;
use crate::error::Error;
use crate::sync::thread::{self, ThreadId};
use crate::sync::{Condvar, Mutex, MutexGuard};

#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next_ticket: u64,
    /// Who waits, by ticket; and the thread, if what it waits for is to be its.
    line: VecDeque<(u64, Option<ThreadId>)>,
    taken: bool,
    /// Threads that hold the lock, through the gate or shared beside it.
    holders: Vec<ThreadId>,
}

/// Why the gate did not open.
#[derive(Debug)]
pub(crate) enum Refused {
    TimedOut,
    WouldDeadlock,
    Failed(Error),
}

/// Proof of a hold; goes back to [`Gate::leave`] or [`Gate::leave_beside`].
#[derive(Debug)]
pub(crate) struct Pass(Option<ThreadId>);

/// Whether a hold belongs to the thread that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tie {
    /// The thread that asks again is told that it would wait for itself.
    Thread,
    /// For callers whose threads are not their own.
    None,
}

/// A place in line, which is given up when this is dropped.
struct Place<'a> {
    gate: &'a Gate,
    ticket: u64,
}

impl Place<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.line.retain(|(waiting, _)| *waiting != self.ticket);
        drop(state);
        self.gate.changed.notify_all();
    }
}

impl State {
    /// The thread that asks, if holds are its; refused when it has one, or when it asks while it waits for one: a check or a
    /// signal handler that ran meanwhile would wait behind itself.
    fn whoever(&self, tie: Tie) -> std::result::Result<Option<ThreadId>, Refused> {
        let me = (tie == Tie::Thread).then(|| thread::current().id());
        let waits = || self.line.iter().any(|(_, waiting)| *waiting == me);
        if me.is_some_and(|me| self.holders.contains(&me) || waits()) {
            return Err(Refused::WouldDeadlock);
        }
        Ok(me)
    }
}

impl Gate {
    /// Waits in line for the one place inside; says whether somebody was there.
    pub(crate) fn enter(
        &self,
        tie: Tie,
        patience: &Patience,
    ) -> std::result::Result<(Pass, bool), Refused> {
        let mut state = self.state();
        let me = state.whoever(tie)?;
        let mut waited = false;
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.line.push_back((ticket, me));
        loop {
            if !state.taken && state.line.front() == Some(&(ticket, me)) {
                state.line.pop_front();
                state.taken = true;
                state.holders.extend(me);
                return Ok((Pass(me), waited));
            }
            waited = true;
            let place = Place { gate: self, ticket };
            let Some(slice) = patience.slice(Duration::from_secs(1)) else {
                drop(state);
                return Err(Refused::TimedOut);
            };
            drop(
                self.changed
                    .wait_timeout(state, slice)
                    .unwrap_or_else(PoisonError::into_inner),
            );
            // The check is the caller's code: it must not run under the mutex, and it may panic.
            patience.ask().map_err(Refused::Failed)?;
            place.keep();
            state = self.state();
        }
    }

    /// Ends the hold; the next in line goes in.
    pub(crate) fn leave(&self, pass: &Pass) {
        let mut state = self.state();
        state.taken = false;
        Self::forget(&mut state, pass);
        let somebody_waits = !state.line.is_empty();
        drop(state);
        if somebody_waits {
            self.changed.notify_all();
        }
    }

    /// A hold beside the gate (a shared lock with a descriptor of its own): only known, so that
    /// the same thread is told when it would wait for itself.
    pub(crate) fn enter_beside(&self, tie: Tie) -> std::result::Result<Pass, Refused> {
        let mut state = self.state();
        let me = state.whoever(tie)?;
        state.holders.extend(me);
        Ok(Pass(me))
    }

    /// Ends a hold beside the gate.
    pub(crate) fn leave_beside(&self, pass: &Pass) {
        Self::forget(&mut self.state(), pass);
    }

    fn forget(state: &mut State, pass: &Pass) {
        if let Some(place) = state
            .holders
            .iter()
            .position(|holder| Some(*holder) == pass.0)
        {
            state.holders.swap_remove(place);
        }
    }

    /// How many came so far.
    #[cfg(all(test, shuttle))]
    pub(crate) fn came(&self) -> u64 {
        self.state().next_ticket
    }

    /// How many of them are not in line any more.
    #[cfg(all(test, shuttle))]
    pub(crate) fn went(&self) -> u64 {
        let state = self.state();
        let first = state.line.front();
        first.map_or(state.next_ticket, |(ticket, _)| *ticket)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is changed by single steps that cannot panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::patience::{InterruptCheck, LockWait};
    use std::sync::Arc;

    fn at_most(ms: u64) -> Patience {
        Patience::new(LockWait::For(Duration::from_millis(ms)), None)
    }

    #[test]
    fn a_thread_that_holds_the_gate_is_told_so_and_others_time_out() {
        let gate = Arc::new(Gate::default());
        let (pass, _) = gate.enter(Tie::Thread, &at_most(1000)).unwrap();
        assert!(matches!(
            gate.enter(Tie::Thread, &at_most(1000)),
            Err(Refused::WouldDeadlock)
        ));
        let other = Arc::clone(&gate);
        let refused = thread::spawn(move || {
            matches!(
                other.enter(Tie::Thread, &at_most(20)),
                Err(Refused::TimedOut)
            )
        });
        assert!(refused.join().unwrap());
        gate.leave(&pass);
        assert!(gate.enter(Tie::Thread, &at_most(0)).is_ok());
    }

    #[test]
    fn a_thread_whose_check_panics_gives_up_its_place_in_line() {
        let gate = Arc::new(Gate::default());
        let (pass, _) = gate.enter(Tie::Thread, &at_most(1000)).unwrap();
        let other = Arc::clone(&gate);
        let check: InterruptCheck = Arc::new(|| panic!("on purpose"));
        let panicked = thread::spawn(move || {
            let patience = Patience::new(LockWait::Forever, Some(check));
            other.enter(Tie::Thread, &patience).is_ok()
        });
        assert!(panicked.join().is_err());
        gate.leave(&pass);
        assert!(gate.enter(Tie::Thread, &at_most(1000)).is_ok());
    }

    #[test]
    fn a_thread_that_asks_again_while_it_waits_is_told_so_and_nobody_stands_behind_it() {
        let gate = Arc::new(Gate::default());
        let (pass, _) = gate.enter(Tie::Thread, &at_most(1000)).unwrap();
        let (other, again) = (Arc::clone(&gate), Arc::clone(&gate));
        let check: InterruptCheck = Arc::new(move || {
            let asked = again.enter(Tie::Thread, &at_most(60_000));
            matches!(asked, Err(Refused::WouldDeadlock))
        });
        let interrupted = thread::spawn(move || {
            let patience = Patience::new(LockWait::Forever, Some(check));
            matches!(other.enter(Tie::Thread, &patience), Err(Refused::Failed(_)))
        });
        assert!(interrupted.join().unwrap());
        gate.leave(&pass);
        assert!(gate.enter(Tie::Thread, &at_most(0)).is_ok());
    }

    #[test]
    fn a_hold_may_be_ended_by_another_thread() {
        let gate = Arc::new(Gate::default());
        let (pass, _) = gate.enter(Tie::Thread, &at_most(1000)).unwrap();
        let other = Arc::clone(&gate);
        thread::spawn(move || other.leave(&pass)).join().unwrap();
        assert!(gate.enter(Tie::Thread, &at_most(0)).is_ok());
    }

    #[test]
    fn threads_go_in_in_the_order_they_came() {
        let gate = Arc::new(Gate::default());
        let (pass, _) = gate.enter(Tie::Thread, &at_most(1000)).unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (waiting, order) = (Arc::clone(&gate), Arc::clone(&order));
                let thread = thread::spawn(move || {
                    let (pass, waited) = waiting.enter(Tie::Thread, &at_most(5000)).unwrap();
                    assert!(waited);
                    order.lock().unwrap().push(number);
                    waiting.leave(&pass);
                });
                while gate.state().line.len() <= number {
                    thread::yield_now();
                }
                thread
            })
            .collect();
        gate.leave(&pass);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    }
}
