//! Things that go wrong, one each.

pub mod clocks;
pub mod files;
pub mod signals;
pub mod space;
pub mod storms;

use std::time::Duration;

use super::chance::Chance;
use super::crew::Crew;

pub trait Nemesis: Sync {
    fn name(&self) -> &'static str;

    /// What workers are started with.
    fn environment(&self, _seat: usize) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The errors that it may cause; others are none of its doing.
    fn excuses(&self) -> &'static [&'static str] {
        &[]
    }

    /// Strikes; how often.
    fn strike(&self, crew: &Crew, chance: &mut Chance) -> usize;

    /// Between two strikes.
    fn pause(&self, chance: &mut Chance) -> Duration;

    /// Puts right what can be put right: afterwards everything must be found.
    fn relent(&self, _crew: &Crew) {}
}

/// Up to so many milliseconds.
fn within(chance: &mut Chance, milliseconds: usize) -> Duration {
    Duration::from_micros(chance.below(milliseconds * 1000) as u64)
}
