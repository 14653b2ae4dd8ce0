//! Eight processes in four languages, producers and consumers, killed at random moments, in both modes: nothing is lost,
//! nothing appears that nobody sent, and a message comes twice only where a consumer was killed that had it.
//!
//! FLOCKQ_KILL_SECONDS says for how long; the default is short.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::Driver;

/// Between two kills.
const PAUSE_MS: u64 = 60;

/// What became of one delivery.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Acked,
    /// The consumer was killed before it learned of its ack.
    Killed,
}

#[derive(Default)]
struct Record {
    attempted: Mutex<HashSet<String>>,
    confirmed: Mutex<HashSet<String>>,
    deliveries: Mutex<HashMap<String, Vec<Fate>>>,
    /// The process of each worker that may be killed.
    processes: Mutex<Vec<Option<Pid>>>,
    enough: AtomicBool,
    drained: AtomicBool,
    killed: AtomicU64,
}

impl Record {
    fn set_process(&self, worker: usize, process: Option<Pid>) {
        self.processes.lock().unwrap()[worker] = process;
    }

    /// Kills one of the processes, unless it is just being replaced.
    fn kill(&self, worker: usize) {
        if let Some(process) = self.processes.lock().unwrap()[worker]
            && kill_process(process, Signal::KILL).is_ok()
        {
            self.killed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One process after the other, each until it is killed or `work` is at its end.
fn replace(
    language: &'static str,
    worker: usize,
    record: &Record,
    directory: &Path,
    mut work: impl FnMut(&mut Driver) -> Option<()>,
) {
    loop {
        let mut driver = Driver::start(language);
        let process = Pid::from_raw(i32::try_from(driver.pid()).unwrap());
        record.set_process(worker, process);
        driver.request(&json!({"op": "open", "dir": directory, "sync": "normal"}));
        let ended = driver.reply().and_then(|_| work(&mut driver));
        // Before it is waited for: its number may be another process's then.
        record.set_process(worker, None);
        if ended.is_some() {
            return;
        }
        driver.kill();
    }
}

fn produce(name: &str, next: &mut u64, driver: &mut Driver, record: &Record) -> Option<()> {
    while !record.enough.load(Ordering::Relaxed) {
        let id = format!("{name}-{next}");
        *next += 1;
        record.attempted.lock().unwrap().insert(id.clone());
        let payload = json!({"id": id, "subject": "a message of some length"}).to_string();
        driver.request(&json!({"op": "send", "queue": "inbound", "payload": payload}));
        let reply = driver.reply()?;
        assert_eq!(reply["ok"], json!(id), "{reply}");
        record.confirmed.lock().unwrap().insert(id);
        thread::sleep(Duration::from_millis(1));
    }
    Some(())
}

fn consume(driver: &mut Driver, record: &Record) -> Option<()> {
    while !record.drained.load(Ordering::Relaxed) {
        let receive =
            json!({"op": "receive", "queue": "inbound", "lease_ms": 3_600_000, "wait_ms": 200});
        driver.request(&receive);
        let reply = driver.reply()?;
        assert!(reply.get("error").is_none(), "{reply}");
        let delivery = &reply["ok"];
        let Some(id) = delivery["id"].as_str() else {
            continue;
        };
        driver
            .request(&json!({"op": "ack", "queue": "inbound", "receipts": [delivery["receipt"]]}));
        let acked = driver.reply();
        let fate = if acked.is_some() {
            Fate::Acked
        } else {
            Fate::Killed
        };
        let mut deliveries = record.deliveries.lock().unwrap();
        deliveries.entry(id.to_owned()).or_default().push(fate);
        drop(deliveries);
        let acked = acked?;
        assert_eq!(
            acked["ok"],
            json!([null]),
            "an ack in time is no stale one: {acked}"
        );
    }
    Some(())
}

fn run(mode: &'static str) {
    let seconds = std::env::var("FLOCKQ_KILL_SECONDS").ok();
    let seconds = seconds
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(4);
    let directory = support::spool(mode);
    let languages = support::languages();
    let record = Arc::new(Record::default());
    let workers: Vec<_> = (0..8)
        .map(|worker| (worker, languages[worker / 2 % languages.len()]))
        .collect();
    record.processes.lock().unwrap().resize(workers.len(), None);
    let threads: Vec<_> = workers
        .iter()
        .map(|&(worker, language)| {
            let (record, place) = (Arc::clone(&record), directory.path().to_owned());
            thread::spawn(move || {
                let mut next = 0;
                replace(language, worker, &record, &place, |driver| {
                    if worker % 2 == 0 {
                        produce(&format!("{language}-{worker}"), &mut next, driver, &record)
                    } else {
                        consume(driver, &record)
                    }
                });
            })
        })
        .collect();
    let ends = Instant::now() + Duration::from_secs(seconds);
    let mut state = u64::from(std::process::id());
    while Instant::now() < ends {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        thread::sleep(Duration::from_millis(state >> 33 & (PAUSE_MS - 1)));
        record.kill(usize::try_from(state >> 40).unwrap() % workers.len());
    }
    record.enough.store(true, Ordering::Relaxed);
    drain(directory.path());
    record.drained.store(true, Ordering::Relaxed);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    check(mode, &record);
}

/// Waits until the consumers have taken everything.
fn drain(directory: &Path) {
    let queue = flockq::Spool::open(directory)
        .unwrap()
        .queue("inbound")
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while queue.len().unwrap() > 0 {
        assert!(Instant::now() < deadline, "{:?}", queue.stats());
        thread::sleep(Duration::from_millis(50));
    }
    assert!(queue.check().unwrap().is_sound());
}

fn check(mode: &str, record: &Record) {
    let (attempted, confirmed) = (
        record.attempted.lock().unwrap(),
        record.confirmed.lock().unwrap(),
    );
    let deliveries = record.deliveries.lock().unwrap();
    let lost = confirmed
        .iter()
        .filter(|id| !deliveries.contains_key(*id))
        .count();
    let unexpected = deliveries
        .keys()
        .filter(|id| !attempted.contains(*id))
        .count();
    let total: usize = deliveries.values().map(Vec::len).sum();
    // What was confirmed to be acked never comes again: of all deliveries of a message at most one was not cut short.
    // (In what order the fates are noted says nothing: a kill is noticed late.)
    let unexplained = deliveries
        .values()
        .filter(|fates| fates.iter().filter(|fate| **fate == Fate::Acked).count() > 1)
        .count();
    println!(
        "{mode}: killed {}, sent {} of {} attempted, delivered {total}, duplicates {} (all from killed consumers), lost {lost}, unexpected {unexpected}",
        record.killed.load(Ordering::Relaxed),
        confirmed.len(),
        attempted.len(),
        total - deliveries.len(),
    );
    assert_eq!((lost, unexpected, unexplained), (0, 0, 0));
    assert!(confirmed.len() > 50, "they were hardly ever alive");
}

#[test]
fn killed_at_random_moments_nothing_is_lost_in_plain_mode() {
    run("plain");
}

#[test]
fn killed_at_random_moments_nothing_is_lost_with_a_journal() {
    run("journal");
}
