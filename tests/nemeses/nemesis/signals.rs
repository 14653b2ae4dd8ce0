//! Signals: processes that are killed, stopped and interrupted.

use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use super::super::chance::Chance;
use super::super::crew::Crew;
use super::super::worker::SHORT_MS;
use super::{Nemesis, within};

/// One process dies, at any moment.
pub struct Kills;

impl Nemesis for Kills {
    fn name(&self) -> &'static str {
        "kills"
    }

    fn strike(&self, crew: &Crew, chance: &mut Chance) -> usize {
        crew.signal(chance.below(crew.seats.len()), Signal::KILL)
            .into()
    }

    fn pause(&self, chance: &mut Chance) -> Duration {
        within(chance, 64)
    }
}

/// One process stands still for longer than its lease, and goes on as if nothing had been.
pub struct Stops;

/// One and a half leases.
const STOPPED: Duration = Duration::from_millis(SHORT_MS * 3 / 2);

impl Nemesis for Stops {
    fn name(&self) -> &'static str {
        "stops"
    }

    fn strike(&self, crew: &Crew, chance: &mut Chance) -> usize {
        let seats = [0, 1, 2].map(|_| chance.below(crew.seats.len()));
        let stopped = seats.map(|seat| usize::from(crew.signal(seat, Signal::STOP)));
        sleep(STOPPED);
        for seat in seats {
            crew.signal(seat, Signal::CONT);
        }
        stopped.into_iter().sum()
    }

    fn pause(&self, chance: &mut Chance) -> Duration {
        within(chance, 60)
    }
}

/// The whole machine stands still, as one that is suspended does.
pub struct Suspends;

impl Nemesis for Suspends {
    fn name(&self) -> &'static str {
        "suspends"
    }

    fn strike(&self, crew: &Crew, _chance: &mut Chance) -> usize {
        let all = |signal| (0..crew.seats.len()).filter(move |seat| crew.signal(*seat, signal));
        let stopped = all(Signal::STOP).count();
        sleep(STOPPED);
        // Those who have come meanwhile too.
        all(Signal::CONT).count();
        usize::from(stopped > 0)
    }

    fn pause(&self, chance: &mut Chance) -> Duration {
        within(chance, 400)
    }
}

/// A thousand interruptions a second, of everybody: any system call may end with EINTR.
pub struct Interruptions;

impl Nemesis for Interruptions {
    fn name(&self) -> &'static str {
        "interruptions"
    }

    fn environment(&self, _seat: usize) -> Vec<(String, String)> {
        // By default the signal is ignored, and interrupts nothing.
        vec![("FLOCKQ_DRIVER_INTERRUPTED".to_owned(), "1".to_owned())]
    }

    fn strike(&self, crew: &Crew, _chance: &mut Chance) -> usize {
        (0..crew.seats.len())
            .filter(|seat| crew.signal(*seat, Signal::URG))
            .count()
    }

    fn pause(&self, _chance: &mut Chance) -> Duration {
        Duration::from_millis(1)
    }
}
