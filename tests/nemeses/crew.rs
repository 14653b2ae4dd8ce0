//! The processes at work, each in a seat: who dies is replaced. Nemeses reach them here, so that what they do is in the history.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::history::{Act, History, MILLISECOND, Moment, now};

/// So long no request takes, however loaded the machine is, and with every stop and every lock in it.
const HUNG: Moment = 150_000 * MILLISECOND;

/// Who sits in a seat.
#[derive(Clone)]
pub struct Process {
    pub number: usize,
    pub pid: Pid,
    /// Whether it has opened the spool: before that a language's own start may fail.
    pub is_at_work: bool,
}

#[derive(Default)]
pub struct Seat {
    process: Mutex<Option<Process>>,
    /// What it was asked and when, as long as it has not answered.
    asked: Mutex<Option<(Moment, String)>>,
    was_killed: AtomicBool,
}

impl Seat {
    pub fn take(&self, process: Process) {
        self.was_killed.store(false, Ordering::SeqCst);
        *self.process.lock().unwrap() = Some(process);
    }

    pub fn begins(&self) {
        if let Some(process) = self.process.lock().unwrap().as_mut() {
            process.is_at_work = true;
        }
    }

    /// Nobody sends a signal from here on: after the process is waited for, its number may be another's.
    pub fn leave(&self) {
        *self.process.lock().unwrap() = None;
        *self.asked.lock().unwrap() = None;
    }

    pub fn asks(&self, asked: Option<(Moment, String)>) {
        *self.asked.lock().unwrap() = asked;
    }

    pub fn was_killed(&self) -> bool {
        self.was_killed.load(Ordering::SeqCst)
    }
}

/// What the threads of a run share.
pub struct Crew {
    pub directory: PathBuf,
    /// The file that is changed under its lock, and nothing else.
    pub counter: PathBuf,
    pub history: History,
    pub seats: Vec<Seat>,
    pub enough: AtomicBool,
    /// Messages sent and not acked, about: who sends waits when there are many.
    pub backlog: AtomicI64,
    processes: AtomicUsize,
}

impl Crew {
    pub fn new(directory: PathBuf, counter: PathBuf, seats: usize) -> Self {
        Self {
            directory,
            counter,
            history: History::default(),
            seats: (0..seats).map(|_| Seat::default()).collect(),
            enough: AtomicBool::new(false),
            backlog: AtomicI64::new(0),
            processes: AtomicUsize::new(0),
        }
    }

    pub fn goes_on(&self) -> bool {
        !self.enough.load(Ordering::Relaxed)
    }

    pub fn next_process(&self) -> usize {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    pub fn is_anybody_there(&self) -> bool {
        let sits = |seat: &Seat| seat.process.lock().unwrap().is_some();
        self.seats.iter().any(sits)
    }

    /// Does something to who sits there; false if the seat is empty just now.
    pub fn reach(&self, seat: usize, act: impl FnOnce(&Process) -> bool) -> bool {
        let process = self.seats[seat].process.lock().unwrap();
        process.as_ref().is_some_and(act)
    }

    pub fn signal(&self, seat: usize, signal: Signal) -> bool {
        self.reach(seat, |process| {
            if signal == Signal::KILL {
                self.history.note_now(process.number, Act::End);
                self.seats[seat].was_killed.store(true, Ordering::SeqCst);
            }
            kill_process(process.pid, signal).is_ok()
        })
    }

    /// Kills who has not answered for ever, and says so.
    pub fn watch(&self) {
        for (number, seat) in self.seats.iter().enumerate() {
            let asked = seat.asked.lock().unwrap().clone();
            let Some((since, request)) = asked else {
                continue;
            };
            if now().saturating_sub(since) > HUNG {
                let what = format!("no answer for two minutes to {request}");
                self.history.note_now(usize::MAX, Act::Wrong(what));
                self.signal(number, Signal::KILL);
            }
        }
    }
}
