//! What runs out: the disk, and descriptors.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};

use super::super::chance::Chance;
use super::super::crew::Crew;
use super::super::history::{Act, now};
use super::{Nemesis, within};

/// A small disk in memory, which is unmounted in the end.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not mount.
    pub fn mount(place: &Path) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m,mode=755", "tmpfs"])
            .arg(place)
            .output();
        mount
            .is_ok_and(|mount| mount.status.success())
            .then(|| Self(place.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The disk is filled to the last byte, and freed again.
pub struct FullDisk;

impl FullDisk {
    fn filler(crew: &Crew) -> PathBuf {
        crew.directory.join("filler")
    }
}

impl Nemesis for FullDisk {
    fn name(&self) -> &'static str {
        "disks full"
    }

    fn excuses(&self) -> &'static [&'static str] {
        &["Io", "OutcomeUnknown"]
    }

    fn strike(&self, crew: &Crew, chance: &mut Chance) -> usize {
        let filler = Self::filler(crew);
        let begin = now();
        let mut file = fs::File::create(&filler).unwrap();
        for size in [65536, 4096, 1] {
            let bytes = vec![b'x'; size];
            while file.write_all(&bytes).is_ok() {}
        }
        let full = now();
        sleep(Duration::from_millis(150) + within(chance, 250));
        crew.history.note(super::super::history::Event {
            process: usize::MAX,
            begin: full.max(begin),
            end: now(),
            act: Act::Full,
            outcome: super::super::history::Outcome::Ok,
        });
        self.relent(crew);
        1
    }

    fn pause(&self, chance: &mut Chance) -> Duration {
        within(chance, 300)
    }

    fn relent(&self, crew: &Crew) {
        let _ = fs::remove_file(Self::filler(crew));
    }
}

/// A process has no descriptor left to open anything with, and later has some again.
pub struct Descriptors;

fn limit(crew: &Crew, seat: usize, current: u64) -> bool {
    crew.reach(seat, |process| {
        let usual = rustix::process::getrlimit(Resource::Nofile);
        let limit = Rlimit {
            current: Some(current.min(usual.maximum.unwrap_or(current))),
            maximum: usual.maximum,
        };
        process.is_at_work && prlimit(Some(process.pid), Resource::Nofile, limit).is_ok()
    })
}

impl Nemesis for Descriptors {
    fn name(&self) -> &'static str {
        "descriptors used up"
    }

    fn excuses(&self) -> &'static [&'static str] {
        &["Io", "OutcomeUnknown"]
    }

    fn strike(&self, crew: &Crew, chance: &mut Chance) -> usize {
        let seats: Vec<usize> = (0..crew.seats.len())
            .filter(|_| chance.percent(50))
            .collect();
        let limited = seats
            .iter()
            .filter(|seat| limit(crew, **seat, 3 + chance.below(25) as u64))
            .count();
        sleep(within(chance, 150));
        for seat in 0..crew.seats.len() {
            limit(crew, seat, 1024);
        }
        limited
    }

    fn pause(&self, chance: &mut Chance) -> Duration {
        within(chance, 100)
    }
}
