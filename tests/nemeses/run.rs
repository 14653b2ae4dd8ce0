//! One run: processes at work, nemeses at theirs, and what is to be said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use flockq::Spool;

use super::chance::Chance;
use super::checker::{self, Verdict};
use super::crew::Crew;
use super::drain::drain;
use super::history::{Act, Event, Outcome};
use super::nemesis::Nemesis;
use super::nemesis::space::SmallDisk;
use super::worker::{self, ROLES, Role, Worker};

pub struct Run<'a> {
    pub mode: &'static str,
    pub nemeses: &'a [Box<dyn Nemesis>],
    pub duration: Duration,
    pub seed: u64,
    /// On a disk that can be filled.
    pub is_on_small_disk: bool,
    /// In what is left is taken: a clock by which everything is due.
    pub afterwards: Vec<(String, String)>,
}

impl Run<'_> {
    /// Works, takes what is left, judges and tells. What must not be is a failure of the test.
    pub fn go(&self) -> (Vec<Event>, Verdict) {
        let temporary = tempfile::tempdir().unwrap();
        let place = temporary.path().join("spool");
        std::fs::create_dir(&place).unwrap();
        let _disk = self
            .is_on_small_disk
            .then(|| SmallDisk::mount(&place).unwrap());
        prepare(&place, self.mode);
        let counter = temporary.path().join("counter");
        std::fs::write(&counter, "0\n").unwrap();
        let languages = worker::languages(self.seed);
        let crew = Crew::new(place, counter, languages.len());
        let strikes = self.work(&crew, &languages);
        let end = drain(&crew, &self.afterwards);
        let events = crew.history.events();
        let excuses: BTreeSet<&str> = (self.nemeses.iter())
            .flat_map(|nemesis| nemesis.excuses())
            .copied()
            .collect();
        let verdict = checker::judge(&events, &end, &excuses);
        self.tell(&events, &verdict, &strikes);
        (events, verdict)
    }

    fn work(&self, crew: &Crew, languages: &[&'static str]) -> BTreeMap<&'static str, usize> {
        let mut chance = Chance::new(self.seed);
        let strikes = Mutex::new(BTreeMap::new());
        let ends = Instant::now() + self.duration;
        thread::scope(|scope| {
            for (seat, language) in languages.iter().enumerate() {
                let role = usize::try_from(self.seed % 8).unwrap();
                let role = ROLES.get(seat).map(|_| ROLES[(seat + role) % ROLES.len()]);
                let environment = self.nemeses.iter().flat_map(|one| one.environment(seat));
                let own = Chance::new(chance.next());
                let worker = Worker::new(
                    crew,
                    seat,
                    language,
                    role.unwrap_or(Role::Lock),
                    environment.collect(),
                    own,
                );
                scope.spawn(move || worker.work());
            }
            for nemesis in self.nemeses {
                let (mut own, strikes) = (Chance::new(chance.next()), &strikes);
                scope.spawn(move || {
                    let mut count = 0;
                    while crew.goes_on() {
                        count += nemesis.strike(crew, &mut own);
                        thread::sleep(nemesis.pause(&mut own));
                    }
                    nemesis.relent(crew);
                    strikes.lock().unwrap().insert(nemesis.name(), count);
                });
            }
            // A slow machine gets the time to do some work.
            let is_lazy =
                || crew.history.count() < 400 && Instant::now() < ends + self.duration * 20;
            while Instant::now() < ends || is_lazy() {
                crew.watch();
                thread::sleep(Duration::from_millis(50));
            }
            crew.enough.store(true, Ordering::Relaxed);
            while crew.is_anybody_there() {
                crew.watch();
                thread::sleep(Duration::from_millis(20));
            }
        });
        strikes.into_inner().unwrap()
    }

    /// Writes the history down, for who wants to know how it came about.
    fn keep(&self, events: &[Event]) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("flockq-nemeses-{}.log", self.seed));
        let lines: Vec<String> = events.iter().map(|event| format!("{event:?}\n")).collect();
        let _ = std::fs::write(&path, lines.concat());
        path
    }

    fn tell(&self, events: &[Event], verdict: &Verdict, strikes: &BTreeMap<&str, usize>) {
        let list = |counts: &BTreeMap<&str, usize>| {
            let words: Vec<String> = counts
                .iter()
                .map(|(what, count)| format!("{count} {what}"))
                .collect();
            words.join(", ")
        };
        crate::support::measured(&format!(
            "{} (FLOCKQ_SEED={}): sent {}, delivered {}, lost {}, unexpected {}, again: {}; recovered {}, stale {}, moves {}, in order {}, holds {}, failures {}; {}",
            self.mode,
            self.seed,
            verdict.sent,
            verdict.delivered,
            verdict.count(checker::Rule::Lost),
            verdict.count(checker::Rule::Unexpected),
            if verdict.causes.is_empty() {
                "none".to_owned()
            } else {
                list(&verdict.causes)
            },
            verdict.recovered,
            verdict.stale,
            verdict.moves,
            verdict.ordered,
            verdict.holds,
            verdict.failures,
            list(strikes),
        ));
        let first: Vec<_> = verdict.violations.iter().take(30).collect();
        assert!(
            first.is_empty(),
            "{} with {:?}, FLOCKQ_SEED={}: {} violations: {first:#?}\nall that was asked is in {}",
            self.mode,
            strikes.keys(),
            self.seed,
            verdict.violations.len(),
            self.keep(events).display()
        );
        assert!(
            verdict.sent > 10 && verdict.delivered > 10,
            "they hardly ever ran"
        );
        let idle = strikes.iter().find(|(_, count)| **count == 0);
        assert!(idle.is_none(), "{idle:?} did nothing");
    }
}

/// A mail spool: what fails waits in `outbound`, what fails too often is in `dead-letter`.
fn prepare(place: &std::path::Path, mode: &str) {
    let config = serde_json::json!({"version": 1, "default": {"mode": mode}}).to_string();
    std::fs::write(place.join("flockq.json"), config).unwrap();
    let spool = Spool::mail(place).unwrap();
    spool.set_config("inbound.backoff", "20ms").unwrap();
    spool.set_config("inbound.attempts", "4").unwrap();
}

/// How many of the sends, and of the acks, that were asked for while the disk was full succeeded and failed.
pub fn while_full(events: &[Event]) -> [usize; 2] {
    let full: Vec<_> = events
        .iter()
        .filter(|event| matches!(event.act, Act::Full))
        .map(|event| event.begin..event.end)
        .collect();
    let is_full = |event: &&Event| {
        let holds = |range: &std::ops::Range<u64>| {
            range.contains(&event.begin) && range.contains(&event.end)
        };
        full.iter().any(holds)
    };
    let during = || events.iter().filter(is_full);
    let refused = |event: &&Event| {
        matches!(
            (&event.act, &event.outcome),
            (Act::Send { .. }, Outcome::Failed(_))
        )
    };
    let settled =
        |event: &&Event| matches!(event.act, Act::Settle { .. }) && event.outcome == Outcome::Ok;
    [
        during().filter(refused).count(),
        during().filter(settled).count(),
    ]
}
