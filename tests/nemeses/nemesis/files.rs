//! Files that somebody takes away or writes to.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::super::QUEUES;
use super::super::chance::Chance;
use super::super::crew::Crew;
use super::{Nemesis, within};

fn lock_directory(crew: &Crew) -> PathBuf {
    crew.directory.join(".gastown/locks")
}

/// The lock files are removed all the time, and made again by who needs them.
pub struct LockFiles;

impl Nemesis for LockFiles {
    fn name(&self) -> &'static str {
        "lock files removed"
    }

    /// A move gives up after some tries: it has not ended, and is gone on with by whoever comes next.
    fn excuses(&self) -> &'static [&'static str] {
        &["LockTimeout", "OutcomeUnknown"]
    }

    fn strike(&self, crew: &Crew, _chance: &mut Chance) -> usize {
        let remove = |queue: &str| {
            fs::remove_file(lock_directory(crew).join(format!("{queue}.json.lock"))).is_ok()
        };
        QUEUES.into_iter().filter(|queue| remove(queue)).count()
    }

    fn pause(&self, chance: &mut Chance) -> Duration {
        within(chance, 1)
    }
}

/// The wake pages are full of zeros or nonsense, cut off, removed, or other files.
pub struct WakePages;

impl Nemesis for WakePages {
    fn name(&self) -> &'static str {
        "wake pages spoilt"
    }

    fn strike(&self, crew: &Crew, chance: &mut Chance) -> usize {
        let page = lock_directory(crew).join("inbound.json.wake");
        let write = |path: &PathBuf, byte: &mut dyn FnMut() -> u8| {
            let bytes: Vec<u8> = (0..4096).map(|_| byte()).collect();
            // In place: whoever has it mapped sees it.
            let mut how = fs::OpenOptions::new();
            let file = how.write(true).create(true).truncate(false).open(path)?;
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0)
        };
        let done = match chance.below(5) {
            0 => write(&page, &mut || 0),
            1 => write(&page, &mut || chance.next().to_le_bytes()[0]),
            2 => fs::File::options()
                .write(true)
                .open(&page)
                .and_then(|file| file.set_len(0)),
            3 => fs::remove_file(&page),
            _ => {
                let other = lock_directory(crew).join("other");
                write(&other, &mut || 0).and_then(|()| fs::rename(&other, &page))
            }
        };
        done.is_ok().into()
    }

    fn pause(&self, chance: &mut Chance) -> Duration {
        within(chance, 2)
    }
}

/// There is no wake page at all, and none can be made.
pub struct NoWakePages;

impl Nemesis for NoWakePages {
    fn name(&self) -> &'static str {
        "wake pages impossible"
    }

    fn strike(&self, crew: &Crew, _chance: &mut Chance) -> usize {
        let make = |queue: &str| {
            let page = lock_directory(crew).join(format!("{queue}.json.wake"));
            let _ = fs::remove_file(&page);
            fs::create_dir_all(page).is_ok()
        };
        QUEUES.into_iter().filter(|queue| make(queue)).count()
    }

    fn pause(&self, chance: &mut Chance) -> Duration {
        within(chance, 20)
    }
}
