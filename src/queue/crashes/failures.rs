//! Longer workloads of two processes in which effects fail and the processes go on: what they said is true on the disk
//! afterwards.

use super::image::Images;
use super::model::{Model, Process, Step};
use super::{proved, proves, seed};
use crate::store::fault::crash::mix;
use crate::store::fault::{Cut, FaultStore};
use crate::{ErrorKind, Sync};

const STEPS: usize = 14;

/// What chance says next.
struct Chance {
    seed: u64,
    drawn: u64,
}

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.drawn += 1;
        usize::try_from(mix(self.seed, self.drawn) % end as u64).unwrap()
    }
}

/// What is known of a queue: what a process that lives sees, and what a power cut may leave.
struct Known {
    live: Model,
    allowed: Vec<Model>,
}

impl Known {
    /// One operation, under which something may have failed, and what its process saw afterwards.
    fn learn(
        &mut self,
        step: Step,
        (sync, fails): (Sync, bool),
        done: &crate::Result<()>,
        after: &Model,
        seen: &Model,
        why: &str,
    ) {
        let is_unknown =
            |error: &crate::Error| error.kind() == ErrorKind::OutcomeUnknown || step.has_stages();
        // Of a lease that is perhaps not durable nobody is told: it is given back.
        let given_back = after.without_new_leases(&self.live);
        let may_be: &[&Model] = match done {
            Ok(()) => &[after],
            Err(error) if is_unknown(error) && step == Step::Receive => {
                &[&self.live, after, &given_back]
            }
            Err(error) if is_unknown(error) => &[&self.live, after],
            Err(_) => &[&self.live],
        };
        assert!(
            may_be.contains(&seen),
            "{done:?}, but there is {seen:#?}, {after:#?} was meant: {why}"
        );
        // Where nobody can say whether it is durable that a message was taken out, it is returned all the same.
        let is_doubtful = fails && step == Step::Pop;
        let is_promised = (sync == Sync::Full || !step.is_forgettable()) && !is_doubtful;
        let is_kept = done.is_ok() && is_promised;
        if *seen != self.live && is_kept {
            self.allowed.clear();
        }
        if self.allowed.last() != Some(seen) {
            self.allowed.push(seen.clone());
        }
        self.live = seen.clone();
    }
}

fn workload(images: &mut Images, seed: u64) {
    let mut chance = Chance { seed, drawn: 0 };
    let sync = [Sync::Full, Sync::Normal][chance.below(2)];
    let store = if chance.below(2) == 0 {
        FaultStore::plain()
    } else {
        FaultStore::new()
    };
    store.watch_the_order();
    let mut processes = [Process::new(&store, sync), Process::new(&store, sync)];
    let mut known = Known {
        live: Model::default(),
        allowed: vec![Model::default()],
    };
    let mut told = Vec::new();
    for number in 0..STEPS {
        store.pass(1);
        let who = chance.below(2);
        if chance.below(10) == 0 {
            let another = Process::new(&store, sync);
            std::mem::replace(&mut processes[who], another).die();
        }
        let process = &mut processes[who];
        let step = Step::ALL[chance.below(Step::ALL.len())];
        let after = known.live.after(step, &process.held(), number);
        let fails = chance.below(3) == 0;
        if fails {
            let errno = [libc::EIO, libc::ENOSPC][chance.below(2)];
            store.fail(chance.below(12), errno);
        }
        store.record();
        let done = process.run(step, number);
        let moments = store.recorded();
        store.heal();
        told.push(format!("{who} {step:?} {done:?}"));
        let why = || format!("FLOCKQ_SEED={seed} {sync:?} {told:#?}");
        let seen = process.view();
        let seen = seen.unwrap_or_else(|error| panic!("{error}: {}", why()));
        let mut during = known.allowed.clone();
        during.extend([after.clone(), seen.clone()]);
        known.learn(step, (sync, fails), &done, &after, &seen, &why());
        let one = &moments[chance.below(moments.len())];
        let cut = Cut::Chance(mix(seed, number as u64));
        images.check(&one.crash(cut), &during, seed, &|| {
            format!("{}, before {} {cut:?}", why(), one.effect)
        });
        let now = store.moment();
        for cut in [cut, Cut::Dropped] {
            images.check(&now.crash(cut), &known.allowed, seed, &|| {
                format!("{}, at the end {cut:?}", why())
            });
        }
    }
    assert_eq!(store.broken(), [""; 0], "FLOCKQ_SEED={seed} {told:#?}");
    processes.into_iter().for_each(Process::die);
}

#[test]
fn whatever_fails_what_two_processes_were_told_is_true_after_a_power_cut() {
    let mut images = Images::default();
    let count = if proves() { 2000 } else { 120 };
    for number in 0..count {
        workload(&mut images, seed() + number);
    }
    proved("power cuts while effects fail", images.cuts);
    proved("different disks that they left", images.distinct());
}

#[test]
fn a_journal_whose_name_could_not_be_synced_is_on_record_only_when_it_was() {
    let mut unsynced = 0;
    for number in 0..12 {
        let store = FaultStore::new();
        let mut one = Process::new(&store, Sync::Full);
        store.fail(number, libc::EIO);
        let made = one.run(Step::Send, 1);
        store.heal();
        unsynced += usize::from(made.is_err());
        store.record();
        one.run(Step::Send, 2).unwrap();
        for moment in store.recorded() {
            for chance in 0..16 {
                let image = moment.crash(Cut::Chance(chance));
                let found = Process::new(&image, Sync::Full).view();
                assert!(
                    found.is_ok(),
                    "{number} {made:?}, before {} {chance}: {found:?}",
                    moment.effect
                );
            }
        }
        one.die();
    }
    assert!(unsynced > 3, "{unsynced}");
}

/// The process ends between the sync that failed and the poison that tells of it; or the disk refuses the poison too.
#[test]
fn what_is_confirmed_after_a_failed_sync_of_which_nobody_could_tell_is_durable() {
    for is_plain_send in [true, false] {
        let store = FaultStore::new();
        let mut one = Process::new(&store, Sync::Full);
        one.run(Step::Send, 1).unwrap();
        store.pass(1);
        store.fail_from(1, libc::EIO);
        assert!(one.run(Step::Send, 2).is_err());
        store.heal();
        one.die();
        // Its descriptor was not open when the sync failed: the system tells it nothing.
        let mut other = Process::new(&store, Sync::Full);
        let step = if is_plain_send {
            Step::Send
        } else {
            Step::Receive
        };
        store.pass(1);
        other.run(step, 3).unwrap();
        // Of the second message nobody was told that it is there.
        let told = |mut model: Model| {
            model.inbound.retain(|message| message.id != "m2");
            model.booted()
        };
        let confirmed = told(other.view().unwrap());
        for cut in [Cut::Dropped, Cut::Zeroed, Cut::Kept] {
            let image = store.moment().crash(cut);
            let found = told(Process::new(&image, Sync::Full).view().unwrap());
            assert_eq!(found, confirmed, "{step:?} {cut:?}");
        }
    }
}
