//! What was asked of the queues by whom, when, and how it ended. It is only added to, and it is all that the checker knows.

use std::sync::Mutex;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock, which all processes of a machine share.
pub type Moment = u64;

pub const MILLISECOND: Moment = 1_000_000;

pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Ok,
    /// The kind of the error: it is promised that nothing has changed.
    Failed(String),
    /// The process died before it answered, or it said that it does not know.
    Unknown,
}

/// One message that somebody was given.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: String,
    pub token: u64,
    pub attempts: u64,
    pub lease: Moment,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Ack,
    Nack,
    /// From now on for so long.
    Extend(Moment),
}

#[derive(Clone, Debug)]
pub enum Act {
    /// Messages that are to be delivered in this order; those of another `class` (a priority, a delay) are not.
    Send {
        ids: Vec<String>,
        class: &'static str,
    },
    Receive {
        queue: &'static str,
        deliveries: Vec<Delivery>,
    },
    Settle {
        way: Way,
        id: String,
        token: u64,
    },
    /// These were moved; if the outcome is not known, they may have been. Out of the dead letters it is a redrive.
    Move {
        from: &'static str,
        to: &'static str,
        ids: Vec<String>,
    },
    /// From `begin` to `end` the lock of the counter was held for certain, in which the counter was set to this.
    Hold {
        value: u64,
    },
    /// The process was told to end, or killed: not before `begin`.
    End,
    /// There was no room on the disk.
    Full,
    /// It was answered that it is not known what happened.
    Unsure(String),
    /// Anything else.
    Other,
    /// What must never happen, and needs no checker.
    Wrong(String),
}

#[derive(Clone, Debug)]
pub struct Event {
    /// The number of the process: no two have the same one.
    pub process: usize,
    pub begin: Moment,
    pub end: Moment,
    pub act: Act,
    pub outcome: Outcome,
}

#[derive(Default)]
pub struct History(Mutex<Vec<Event>>);

impl History {
    pub fn note(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }

    /// Something that happened to a process, now.
    pub fn note_now(&self, process: usize, act: Act) {
        let begin = now();
        self.note(Event {
            process,
            begin,
            end: begin,
            act,
            outcome: Outcome::Ok,
        });
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// All of it, by when it began.
    pub fn events(&self) -> Vec<Event> {
        let mut events = self.0.lock().unwrap().clone();
        events.sort_by_key(|event| event.begin);
        events
    }
}
