//! Ten processes in four languages send, receive, settle, move and lock in one spool while things go wrong: they are killed,
//! stopped and interrupted, files are removed and spoilt, clocks jump, the disk is full, descriptors are used up. Afterwards a
//! checker goes through the history of all that was asked (`tests/nemeses/checker/`): nothing is lost, nothing is there that
//! nobody sent, and what came twice has a cause.
//!
//! FLOCKQ_PROVE=1 takes longer; FLOCKQ_KILL_SECONDS says for how long processes are killed; FLOCKQ_SEED repeats the choices of
//! a run; FLOCKQ_TELL=1 shows every error.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod support;
#[path = "nemeses/mod.rs"]
mod work;

use std::time::Duration;

use work::chance;
use work::nemesis::Nemesis;
use work::nemesis::clocks::Clocks;
use work::nemesis::files::{LockFiles, NoWakePages, WakePages};
use work::nemesis::signals::{Interruptions, Kills, Stops, Suspends};
use work::nemesis::space::{Descriptors, FullDisk};
use work::nemesis::storms::{Checkpoints, Conversions};
use work::run::{self, Run};

/// How long one nemesis is at work in one mode.
fn slice() -> Duration {
    Duration::from_millis(if support::proves() { 12_000 } else { 1500 })
}

/// Every nemesis alone: in both modes, or in one of them where it is to be quick.
fn alone(nemesis: impl Fn() -> Option<Box<dyn Nemesis>>) {
    alone_for(slice(), support::proves(), nemesis);
}

fn alone_for(duration: Duration, in_both: bool, nemesis: impl Fn() -> Option<Box<dyn Nemesis>>) {
    let seed = chance::seed();
    let modes = support::MODES.into_iter();
    for mode in modes
        .cycle()
        .skip((seed % 2) as usize)
        .take(1 + usize::from(in_both))
    {
        let Some(nemesis) = nemesis() else { return };
        let name = nemesis.name();
        let afterwards = afterwards(&[&*nemesis]);
        let run = Run {
            mode,
            nemeses: &[nemesis],
            duration,
            seed,
            is_on_small_disk: false,
            afterwards,
        };
        let (_, verdict) = run.go();
        let told = format!("messages sent in {mode} mode beside {name} (FLOCKQ_SEED={seed})");
        support::proved(&told, verdict.sent);
    }
}

/// Where clocks have jumped, messages may be due in ten years: what is left is taken later than that.
fn afterwards(nemeses: &[&dyn Nemesis]) -> Vec<(String, String)> {
    if nemeses
        .iter()
        .all(|nemesis| nemesis.name() != "clock jumps")
    {
        return Vec::new();
    }
    let library = support::faketime().unwrap();
    let mut environment = support::shifted(&library, "".as_ref());
    environment.retain(|(name, _)| name != "FAKETIME_TIMESTAMP_FILE");
    environment.push(("FAKETIME".to_owned(), "+30y".to_owned()));
    environment
}

macro_rules! boxed {
    ($nemesis:expr) => {
        || Some(Box::new($nemesis) as Box<dyn Nemesis>)
    };
}

#[test]
fn nothing_is_lost_when_processes_are_killed_at_random_moments() {
    let seconds = std::env::var("FLOCKQ_KILL_SECONDS").ok();
    let seconds = seconds
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(3);
    alone_for(Duration::from_secs(seconds), true, boxed!(Kills));
}

#[test]
fn who_is_stopped_for_longer_than_its_lease_and_goes_on_is_refused() {
    alone(boxed!(Stops));
}

#[test]
fn a_machine_that_stands_still_and_goes_on_loses_nothing() {
    alone(boxed!(Suspends));
}

#[test]
fn a_thousand_interruptions_a_second_change_nothing() {
    alone(boxed!(Interruptions));
}

#[test]
fn nothing_is_lost_while_the_lock_files_are_removed() {
    alone(boxed!(LockFiles));
}

#[test]
fn nothing_depends_on_what_the_wake_page_says() {
    alone(boxed!(WakePages));
}

#[test]
fn nothing_depends_on_there_being_a_wake_page() {
    alone(boxed!(NoWakePages));
}

#[test]
fn leases_do_not_care_for_clocks_that_jump() {
    alone(|| Clocks::new().map(|clocks| Box::new(clocks) as Box<dyn Nemesis>));
}

#[test]
fn nothing_is_lost_while_others_fold_the_queues() {
    alone(boxed!(Checkpoints::new()));
}

#[test]
fn nothing_is_lost_while_queues_change_their_mode() {
    alone(boxed!(Conversions::new()));
}

#[test]
fn nothing_is_lost_while_processes_have_no_descriptors_left() {
    alone(boxed!(Descriptors));
}

#[test]
fn a_full_disk_refuses_sends_and_lets_acks_through() {
    if !can_mount() {
        return;
    }
    let seed = chance::seed();
    // A plain queue needs room for every commit.
    let modes = if support::proves() {
        &["journal", "plain"][..]
    } else {
        &["journal"]
    };
    for mode in modes {
        let run = Run {
            mode,
            nemeses: &[Box::new(FullDisk)],
            duration: slice() * 2,
            seed,
            is_on_small_disk: true,
            afterwards: Vec::new(),
        };
        let (events, verdict) = run.go();
        let [refused, settled] = run::while_full(&events);
        assert!(refused > 0, "FLOCKQ_SEED={seed}: the disk was never full");
        assert!(
            settled > 0 || *mode == "plain",
            "FLOCKQ_SEED={seed}: no ack came through"
        );
        let told = format!(
            "messages sent in {mode} mode beside a full disk, which refused {refused} sends and let {settled} acks, nacks and extensions through (FLOCKQ_SEED={seed})"
        );
        support::proved(&told, verdict.sent);
    }
}

fn can_mount() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    support::left_out("a full disk: only root mounts one that can be filled (sudo)");
    false
}

#[test]
fn nothing_is_lost_when_all_of_it_goes_wrong_at_once() {
    let (rounds, duration) = if support::proves() { (4, 45) } else { (1, 8) };
    let first = chance::seed();
    for seed in first..first + rounds {
        let mode = support::MODES[(seed % 2) as usize];
        let mut nemeses: Vec<Box<dyn Nemesis>> = vec![
            Box::new(Kills),
            Box::new(Stops),
            Box::new(Suspends),
            Box::new(Interruptions),
            Box::new(LockFiles),
            Box::new(WakePages),
            Box::new(Checkpoints::new()),
            Box::new(Conversions::new()),
            Box::new(Descriptors),
        ];
        if let Some(clocks) = Clocks::new() {
            nemeses.push(Box::new(clocks));
        }
        let is_on_small_disk = can_mount();
        if is_on_small_disk {
            nemeses.push(Box::new(FullDisk));
        }
        let all: Vec<&dyn Nemesis> = nemeses.iter().map(|nemesis| &**nemesis).collect();
        let run = Run {
            mode,
            afterwards: afterwards(&all),
            nemeses: &nemeses,
            duration: Duration::from_secs(duration),
            seed,
            is_on_small_disk,
        };
        let (_, verdict) = run.go();
        let told =
            format!("messages sent in {mode} mode beside everything at once (FLOCKQ_SEED={seed})");
        support::proved(&told, verdict.sent);
    }
}
