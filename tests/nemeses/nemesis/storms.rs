//! Work of others that never ends: files are folded and turned into those of the other mode again and again.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use super::super::QUEUES;
use super::super::chance::Chance;
use super::super::crew::Crew;
use super::super::history::{Act, now};
use super::{Nemesis, within};
use crate::support::Driver;

/// A process of its own, which nobody kills: what it is asked must succeed.
struct Other(Mutex<Option<Driver>>);

impl Other {
    fn ask(&self, crew: &Crew, requests: &[serde_json::Value]) -> usize {
        let mut driver = self.0.lock().unwrap();
        let driver = driver.get_or_insert_with(|| Driver::open("rust", &crew.directory, "off"));
        for request in requests {
            let begin = now();
            let reply = driver.ask(request);
            if let Some(kind) = reply["error"].as_str() {
                crew.history.note(super::super::history::Event {
                    process: usize::MAX,
                    begin,
                    end: now(),
                    act: Act::Other,
                    outcome: super::super::history::Outcome::Failed(format!(
                        "{kind} of {request}: {}",
                        reply["message"]
                    )),
                });
            }
        }
        requests.len()
    }
}

pub struct Checkpoints(Other);

impl Checkpoints {
    pub fn new() -> Self {
        Self(Other(Mutex::new(None)))
    }
}

impl Nemesis for Checkpoints {
    fn name(&self) -> &'static str {
        "checkpoints"
    }

    fn strike(&self, crew: &Crew, _chance: &mut Chance) -> usize {
        let requests = QUEUES.map(|queue| json!({"op": "checkpoint", "queue": queue}));
        self.0.ask(crew, &requests)
    }

    fn pause(&self, chance: &mut Chance) -> Duration {
        within(chance, 3)
    }
}

pub struct Conversions(Other);

impl Conversions {
    pub fn new() -> Self {
        Self(Other(Mutex::new(None)))
    }
}

impl Nemesis for Conversions {
    fn name(&self) -> &'static str {
        "conversions"
    }

    fn strike(&self, crew: &Crew, chance: &mut Chance) -> usize {
        let (queue, to) = (QUEUES[chance.below(QUEUES.len())], chance.below(2));
        let to = crate::support::MODES[to];
        self.0
            .ask(crew, &[json!({"op": "convert", "queue": queue, "to": to})])
    }

    fn pause(&self, chance: &mut Chance) -> Duration {
        within(chance, 30)
    }
}
