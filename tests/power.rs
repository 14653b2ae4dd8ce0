//! Power cuts, disks that fail and file systems that stop, under processes that use the queues: on real file systems, on a
//! disk that writes down what it is told (`tests/disk/`). Nothing that was confirmed is lost, and nothing comes back.
//!
//! FLOCKQ_PROVE=1 makes many more; FLOCKQ_SEED repeats the choices of a run.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod disk;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use disk::chance::{self, Chance};
use disk::failure;
use disk::image::{FileSystem, Mounted};
use disk::ledger::{Act, Ledger};
use disk::load::{Load, Run};
use disk::log::Failing;
use disk::recording::{Outcome, Recording};
use disk::spool;
use disk::states::State;

/// Records runs, and looks at what power cuts in them leave.
fn cut_power(file_system: FileSystem) {
    if !disk::can(file_system, &[]) {
        return;
    }
    let first = chance::seed();
    let (rounds, states) = if support::proves() { (5, 120) } else { (1, 10) };
    let (mut all, mut unmountable, mut twice) = (0, 0, 0);
    for round in 0..rounds {
        let recording = Recording::make(file_system, first + round, Load::mixed());
        let mut chance = Chance::new(!(first + round));
        for number in 0..states {
            let state = State::choose(&recording.entries, &mut chance);
            let is_twice = number % 10 == 5;
            let outcome = if is_twice {
                recording.examine_twice(state, &mut chance)
            } else {
                recording.examine(state, &mut chance)
            };
            all += 1;
            twice += usize::from(is_twice);
            match outcome {
                Outcome::Sound => {}
                Outcome::Unmountable => unmountable += 1,
                Outcome::Wrong(why) => panic!(
                    "{file_system:?}, FLOCKQ_SEED={first}, round {round}, {number}, {state:?} of {}: {why}\nthe disk is {}",
                    recording.entries.len(),
                    recording.keep().display()
                ),
            }
        }
    }
    let told = format!(
        "power cuts on {file_system:?}, {twice} of them twice, {unmountable} not mountable (FLOCKQ_SEED={first})"
    );
    support::proved(&told, all);
    assert!(unmountable * 100 < all, "{unmountable} of {all}");
}

#[test]
fn nothing_is_lost_when_the_power_fails_on_ext4() {
    cut_power(FileSystem::Ext4);
}

#[test]
fn nothing_is_lost_when_the_power_fails_on_ext4_that_allocates_at_once() {
    cut_power(FileSystem::Ext4Nodelalloc);
}

#[test]
fn nothing_is_lost_when_the_power_fails_on_xfs() {
    cut_power(FileSystem::Xfs);
}

#[test]
fn nothing_is_lost_when_the_power_fails_on_btrfs() {
    cut_power(FileSystem::Btrfs);
}

/// The proof that the tests above can fail: where nobody waits for the disk, they find what is lost.
#[test]
fn a_power_cut_takes_what_nobody_made_durable() {
    for file_system in [FileSystem::Ext4, FileSystem::Xfs, FileSystem::Btrfs] {
        if !disk::can(file_system, &[]) {
            continue;
        }
        let seed = chance::seed();
        let recording = Recording::make(file_system, seed, Load::of_sends("off"));
        let mut chance = Chance::new(seed);
        let states = 4;
        let mut lost = 0;
        for _ in 0..states {
            let state = State::end(&recording.entries, &mut chance);
            if let Outcome::Wrong(why) = recording.examine(state, &mut chance) {
                // What was written in part is damage; at this durability that is allowed, and said.
                lost += usize::from(why.contains("is lost") || why.contains("damage"));
            }
        }
        assert!(recording.ledger.confirmed() > 20);
        assert!(lost * 2 > states, "{file_system:?}, FLOCKQ_SEED={seed}");
        support::proved(&format!("losses found on {file_system:?} at off"), lost);
    }
}

/// Every operation, in a queue of either mode, on a disk that refuses writes or flushes for a moment.
fn refuse(file_system: FileSystem) {
    if !disk::can(file_system, &[]) {
        return;
    }
    let seed = chance::seed();
    let mut chance = Chance::new(seed);
    let (mut count, mut went_on) = (0, 0);
    for failing in [Failing::Writes, Failing::Flushes] {
        for mode in support::MODES {
            for operation in failure::OPERATIONS {
                // A plain file has nothing to fold.
                if (mode, operation) == ("plain", "checkpoint") {
                    continue;
                }
                match failure::run(file_system, failing, mode, operation, &mut chance) {
                    Ok(is_alive) => went_on += usize::from(is_alive),
                    Err(why) => panic!(
                        "{file_system:?}, {failing:?} fail, {mode}, {operation}, FLOCKQ_SEED={seed}: {why}"
                    ),
                }
                count += 1;
            }
        }
    }
    assert!(went_on > 0, "no process could go on: nothing was seen");
    let told = format!(
        "failures of the disk under {file_system:?}, which outlived {went_on} (FLOCKQ_SEED={seed})"
    );
    support::proved(&told, count);
}

#[test]
fn a_disk_that_fails_under_ext4_is_reported_and_takes_nothing() {
    refuse(FileSystem::Ext4);
}

#[test]
fn a_disk_that_fails_under_xfs_is_reported_and_takes_nothing() {
    refuse(FileSystem::Xfs);
}

#[test]
fn a_disk_that_fails_under_btrfs_is_reported_and_takes_nothing() {
    refuse(FileSystem::Btrfs);
}

/// Stops the file system under load without writing out its log, again and again, and looks at what is there then.
fn stop(file_system: FileSystem) {
    if !disk::can(file_system, &[("xfs_io", "xfsprogs")]) {
        return;
    }
    let seed = chance::seed();
    let mut chance = Chance::new(seed);
    let temporary = support::in_memory();
    let (image, place) = (
        temporary.path().join("image"),
        temporary.path().join("place"),
    );
    file_system.make(&image).unwrap();
    let mount = || Mounted::mount(file_system, &image, &place).unwrap();
    spool::prepare(mount().place(), support::MODES[chance.below(2)]);
    let ledger = Ledger::default();
    let cycles = if support::proves() { 25 } else { 3 };
    for cycle in 0..cycles {
        let mounted = mount();
        let (enough, is_cut) = (AtomicBool::new(false), AtomicBool::new(false));
        let run = Run {
            load: Load::mixed(),
            place: mounted.place(),
            operations: usize::MAX,
            enough: &enough,
            is_cut: &is_cut,
            name: format!("cycle-{cycle}"),
            seed: chance.next(),
            // What is confirmed is durable: there is no other moment than the end.
            clock: &|| 0,
        };
        let pause = Duration::from_millis(100 + chance.next() % 300);
        thread::scope(|scope| {
            let load = scope.spawn(|| run.go(&ledger));
            thread::sleep(pause);
            // While a file system stops, the system tells that a sync has succeeded that has not: no power cut does.
            is_cut.store(true, Ordering::SeqCst);
            let stopped = disk::run("xfs_io", &["-x", "-c", "shutdown", disk::text(&place)]);
            thread::sleep(Duration::from_millis(20));
            enough.store(true, Ordering::Relaxed);
            load.join().unwrap();
            stopped.unwrap();
        });
        drop(mounted);
        let mounted = mount();
        let name = format!("after-{cycle}");
        let examined = spool::examine(mounted.place(), &ledger.expected(1), &name, cycle % 3 == 0);
        if let Err(why) = examined {
            panic!("{file_system:?}, FLOCKQ_SEED={seed}, cycle {cycle}: {why}");
        }
        for queue in spool::QUEUES {
            ledger.note(&format!("{name}-{queue}"), Act::Send, queue, 0, Some(0));
        }
    }
    assert!(ledger.confirmed() > 5 * cycles, "they hardly ever ran");
    let told = format!(
        "stops of {file_system:?} under load, after {} confirmed sends (FLOCKQ_SEED={seed})",
        ledger.confirmed()
    );
    support::proved(&told, cycles);
}

#[test]
fn nothing_is_lost_when_ext4_stops_under_load() {
    stop(FileSystem::Ext4);
}

#[test]
fn nothing_is_lost_when_xfs_stops_under_load() {
    stop(FileSystem::Xfs);
}
