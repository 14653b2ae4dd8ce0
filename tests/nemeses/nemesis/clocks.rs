//! Every second process has a wall clock that jumps by years; the clock that counts from the boot stays as it is.

use std::path::PathBuf;
use std::time::Duration;

use super::super::chance::Chance;
use super::super::crew::Crew;
use super::{Nemesis, within};
use crate::support;

pub struct Clocks {
    library: String,
    file: tempfile::TempPath,
}

impl Clocks {
    /// None, said loudly, where the library that fakes the time is not installed.
    pub fn new() -> Option<Self> {
        let library = support::faketime()?;
        let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let clocks = Self { library, file };
        clocks.set("+0");
        Some(clocks)
    }

    fn set(&self, by: &str) {
        // In one step: a process that reads half of it would be at an odd time, which is as good, but not the same for a seed.
        let mut next: PathBuf = self.file.to_path_buf();
        next.set_extension("next");
        std::fs::write(&next, by).unwrap();
        std::fs::rename(&next, &self.file).unwrap();
    }
}

impl Nemesis for Clocks {
    fn name(&self) -> &'static str {
        "clock jumps"
    }

    fn environment(&self, seat: usize) -> Vec<(String, String)> {
        if seat.is_multiple_of(2) {
            return Vec::new();
        }
        support::shifted(&self.library, &self.file)
    }

    fn strike(&self, _crew: &Crew, chance: &mut Chance) -> usize {
        self.set(["+10y", "-10y", "+1h", "-1h", "+0"][chance.below(5)]);
        1
    }

    fn pause(&self, chance: &mut Chance) -> Duration {
        within(chance, 200)
    }

    fn relent(&self, _crew: &Crew) {
        self.set("+0");
    }
}
