//! All workloads of up to three operations.

use super::image::{Images, cuts};
use super::model::{Model, Process, Step};
use super::{proved, proves, seed};
use crate::Sync;
use crate::store::fault::FaultStore;

/// How a queue stands before the workload.
#[derive(Debug, Clone, Copy)]
struct Ground {
    is_plain: bool,
    sync: Sync,
    before: &'static [Step],
}

const BEFORE: [&[Step]; 2] = [&[], &[Step::Send, Step::Receive, Step::SendMany]];

fn grounds() -> impl Iterator<Item = Ground> {
    let before = BEFORE.into_iter();
    before.flat_map(|before| {
        [Sync::Full, Sync::Normal]
            .into_iter()
            .flat_map(move |sync| {
                [false, true].map(|is_plain| Ground {
                    is_plain,
                    sync,
                    before,
                })
            })
    })
}

/// What a power cut may leave, after the operations so far.
fn confirm(allowed: &mut Vec<Model>, sync: Sync, step: Step, after: &Model) {
    if allowed.last() == Some(after) {
        return;
    }
    if sync == Sync::Full || !step.is_forgettable() {
        allowed.clear();
    }
    allowed.push(after.clone());
}

/// Cuts the power at every effect of the last operation: those of the others are in shorter workloads.
fn workload(images: &mut Images, ground: Ground, steps: &[Step], seed: u64) {
    let store = if ground.is_plain {
        FaultStore::plain()
    } else {
        FaultStore::new()
    };
    store.watch_the_order();
    let mut process = Process::new(&store, ground.sync);
    let (mut model, mut allowed) = (Model::default(), vec![Model::default()]);
    let all = ground.before.iter().chain(steps);
    let last = ground.before.len() + steps.len() - 1;
    for (number, step) in all.copied().enumerate() {
        let why = || format!("FLOCKQ_SEED={seed} {ground:?} {steps:?}");
        store.pass(1);
        let after = model.after(step, &process.held(), number);
        if number == last {
            store.record();
        }
        let done = process.run(step, number);
        done.unwrap_or_else(|error| panic!("{step:?}: {error}: {}", why()));
        let moments = if number == last {
            store.recorded()
        } else {
            Vec::new()
        };
        let seen = process.view().unwrap();
        assert_eq!(seen, after, "the model is another one: {}", why());
        assert_eq!(store.broken(), [""; 0], "{}", why());
        if ground.sync == Sync::Full {
            assert_eq!(store.unsettled(), [""; 0], "{step:?}: {}", why());
        }
        let mut during = allowed.clone();
        during.push(after.clone());
        confirm(&mut allowed, ground.sync, step, &after);
        model = after;
        let end = moments.len().saturating_sub(1);
        for (at, moment) in moments.iter().enumerate() {
            let allowed = if at == end { &allowed } else { &during };
            let chances = if proves() { 4 } else { 2 };
            for cut in cuts(moment, seed.wrapping_add(at as u64 * 97), chances) {
                let effect = &moment.effect;
                let why = || format!("{}, before {effect} {cut:?}", why());
                images.check(&moment.crash(cut), allowed, seed, &why);
            }
        }
    }
    process.die();
}

#[test]
fn after_up_to_three_operations_a_power_cut_loses_nothing_that_was_confirmed() {
    let mut images = Images::default();
    // Of the longer ones some, if there is not the time for all.
    let strides = if proves() { [1, 1, 1] } else { [1, 5, 173] };
    let seed = seed();
    let steps = Step::ALL.len();
    for (length, stride) in (1..).zip(strides) {
        images.is_deep = proves() && length < 3;
        let grounds: Vec<Ground> = grounds().collect();
        let all = steps.pow(length) * grounds.len();
        let first = usize::try_from(seed).unwrap_or_default() % stride;
        for number in (first..all).step_by(stride) {
            let workload_number = number / grounds.len();
            let step = |place| Step::ALL[workload_number / steps.pow(place) % steps];
            let steps: Vec<Step> = (0..length).map(step).collect();
            let ground = grounds[number % grounds.len()];
            workload(&mut images, ground, &steps, seed);
        }
    }
    proved(
        "power cuts in workloads of up to three operations",
        images.cuts,
    );
    proved("different disks that they left", images.distinct());
    assert!(images.distinct() > 5_000, "{}", images.distinct());
}
