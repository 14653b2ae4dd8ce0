//! One disk after a power cut: what is found on it, that it is found again, and that it goes on from there, also across a
//! second power cut.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::model::{Model, Process, Step};
use crate::Sync;
use crate::store::fault::{Cut, FaultStore, Moment};

/// The disks that have been looked at.
#[derive(Default)]
pub(super) struct Images {
    seen: HashSet<(u64, u64)>,
    /// How many power cuts there were; most leave what another one has left.
    pub(super) cuts: usize,
    /// Whether the second power cut is tried at each effect, in each way.
    pub(super) is_deep: bool,
}

/// The number of a message that no workload sends.
const ON: usize = 1000;
/// More operations that are not durable than this are not taken one by one.
const ONE_BY_ONE: usize = 12;

/// The ways in which the power is cut at one moment: all alike, one alone, all but one, and by chance.
pub(super) fn cuts(moment: &Moment, seed: u64, chances: u64) -> Vec<Cut> {
    let mut cuts = vec![Cut::Kept, Cut::Dropped, Cut::Zeroed];
    let unsynced = moment.unsynced();
    if unsynced <= ONE_BY_ONE {
        cuts.extend((0..unsynced).flat_map(|number| [Cut::Without(number), Cut::Only(number)]));
    }
    cuts.extend((0..chances).map(|number| Cut::Chance(seed.wrapping_add(number))));
    cuts
}

impl Images {
    pub(super) fn distinct(&self) -> usize {
        self.seen.len()
    }

    fn is_new(&mut self, image: &FaultStore, allowed: &[Model]) -> bool {
        self.cuts += 1;
        let mut hasher = DefaultHasher::new();
        allowed.hash(&mut hasher);
        self.seen.insert((image.fingerprint(), hasher.finish()))
    }

    /// What is found is one of these.
    pub(super) fn check(
        &mut self,
        image: &FaultStore,
        allowed: &[Model],
        seed: u64,
        why: &dyn Fn() -> String,
    ) {
        let allowed: Vec<Model> = allowed.iter().map(Model::booted).collect();
        if !self.is_new(image, &allowed) {
            return;
        }
        image.watch_the_order();
        let mut process = Process::new(image, Sync::Full);
        let found = look(&process, &allowed, why);
        let twice = Process::new(image, Sync::Full);
        look(&twice, std::slice::from_ref(&found), why);
        twice.die();
        image.pass(1);
        image.record();
        let sent = process.run(Step::Send, ON);
        sent.unwrap_or_else(|error| panic!("it does not go on: {error}: {}", why()));
        let on = found.after(Step::Send, &[], ON);
        let moments = image.recorded();
        look(&process, std::slice::from_ref(&on), why);
        assert_eq!(image.broken(), [""; 0], "{}", why());
        process.die();
        let last = moments.len() - 1;
        for (number, moment) in moments.iter().enumerate() {
            let seed = seed.wrapping_add(number as u64);
            let cuts = [Cut::Dropped, Cut::Chance(seed)];
            for cut in &cuts[usize::from(!self.is_deep && number != last)..] {
                let again = moment.crash(*cut);
                let both = [found.clone(), on.clone()];
                let allowed = if number == last { &both[1..] } else { &both };
                let why = || format!("{}, then before {} {cut:?}", why(), moment.effect);
                if self.is_new(&again, allowed) {
                    let process = Process::new(&again, Sync::Full);
                    look(&process, allowed, &why);
                    process.die();
                }
            }
        }
    }
}

fn look(process: &Process, allowed: &[Model], why: &dyn Fn() -> String) -> Model {
    let found = process.view();
    let found = found.unwrap_or_else(|error| panic!("it cannot be read: {error}: {}", why()));
    let is_allowed = allowed.contains(&found);
    assert!(
        is_allowed,
        "found {found:#?} instead of one of {allowed:#?}: {}",
        why()
    );
    found
}
