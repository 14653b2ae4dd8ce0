//! Runs on a recorded disk, and looks at what power cuts in them leave.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::chance::Chance;
use super::image::{self, FileSystem, Mounted};
use super::ledger::{Act, Expectation, Ledger};
use super::load::{Load, Run};
use super::log::Entry;
use super::recorder::Recorder;
use super::spool;
use super::states::State;
use crate::support;

/// A run on a disk: what it began with, what it was told, and what was confirmed when.
pub struct Recording {
    file_system: FileSystem,
    temporary: tempfile::TempDir,
    pub entries: Vec<Entry>,
    pub ledger: Ledger,
}

/// What became of a state.
pub enum Outcome {
    Sound,
    Unmountable,
    Wrong(String),
}

impl Recording {
    pub fn make(file_system: FileSystem, seed: u64, load: Load) -> Self {
        let temporary = crate::support::in_memory();
        let (base, live) = (
            temporary.path().join("base"),
            temporary.path().join("recorded"),
        );
        file_system.make(&base).unwrap();
        let mut chance = Chance::new(seed);
        let mode = support::MODES[chance.below(2)];
        let place = temporary.path().join("place");
        spool::prepare(
            Mounted::mount(file_system, &base, &place).unwrap().place(),
            mode,
        );
        image::copy(&base, &live).unwrap();
        let recorder = Recorder::start(&live).unwrap();
        let mounted = Mounted::mount(file_system, &recorder.device(), &place).unwrap();
        let ledger = Ledger::default();
        let run = Run {
            load,
            place: mounted.place(),
            operations: if support::proves() { 150 } else { 40 },
            enough: &AtomicBool::new(false),
            is_cut: &AtomicBool::new(false),
            name: "sent".to_owned(),
            seed,
            clock: &|| recorder.log.len(),
        };
        let failed = run.go(&ledger);
        assert!(
            failed.is_empty(),
            "{file_system:?}, seed {seed}: {failed:?}"
        );
        // What is written when it is unmounted in peace is no power cut.
        let entries = recorder.log.take();
        drop(mounted);
        drop(recorder);
        Self {
            file_system,
            temporary,
            entries,
            ledger,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    pub fn examine(&self, state: State, chance: &mut Chance) -> Outcome {
        let make = |to: &Path| state.write(&self.entries, &self.path("base"), to);
        self.look(&make, &self.ledger.expected(state.at), chance)
    }

    fn look(
        &self,
        make: &dyn Fn(&Path) -> Result<(), String>,
        expectation: &Expectation,
        chance: &mut Chance,
    ) -> Outcome {
        let image = self.path("state");
        make(&image).unwrap();
        let Ok(mounted) = Mounted::mount(self.file_system, &image, &self.path("place")) else {
            return Outcome::Unmountable;
        };
        let examined = spool::examine(mounted.place(), expectation, "next", chance.percent(30));
        drop(mounted);
        let Err(why) = examined else {
            return Outcome::Sound;
        };
        // As it was before anybody looked.
        make(&image).unwrap();
        Outcome::Wrong(why)
    }

    /// Keeps a disk on which something is wrong, beside what was built.
    pub fn keep(&self) -> PathBuf {
        let name = format!("power-cut-{:?}.img", self.file_system);
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        image::copy(&self.path("state"), &copy).unwrap();
        copy
    }

    /// Lets a process recover what the state left, and cuts its power too.
    pub fn examine_twice(&self, state: State, chance: &mut Chance) -> Outcome {
        let (first, recovered) = (self.path("first"), self.path("recovered"));
        state
            .write(&self.entries, &self.path("base"), &first)
            .unwrap();
        image::copy(&first, &recovered).unwrap();
        let recorder = Recorder::start(&recovered).unwrap();
        let place = self.path("place");
        let Ok(mounted) = Mounted::mount(self.file_system, &recorder.device(), &place) else {
            return Outcome::Unmountable;
        };
        let ledger = Ledger::default();
        let recovery = || -> Result<(), String> {
            let mut driver = spool::open(mounted.place(), "full")?;
            spool::list(&mut driver)?;
            for queue in spool::QUEUES {
                let (id, asked) = (format!("recovered-{queue}"), recorder.log.len());
                spool::send(&mut driver, queue, &id)?;
                ledger.note(&id, Act::Send, queue, asked, Some(recorder.log.len()));
            }
            if chance.clone().percent(50) {
                driver.kill();
            }
            Ok(())
        };
        let done = recovery();
        drop(mounted);
        let entries = recorder.log.take();
        drop(recorder);
        if let Err(why) = done {
            return Outcome::Wrong(format!("in the recovery: {why}"));
        }
        let second = State::choose(&entries, chance);
        let make = |to: &Path| second.write(&entries, &first, to);
        let mut expectation = self.ledger.expected(state.at);
        expectation.extend(ledger.expected(second.at));
        match self.look(&make, &expectation, chance) {
            Outcome::Wrong(why) => Outcome::Wrong(format!("and then {second:?}: {why}")),
            outcome => outcome,
        }
    }
}
