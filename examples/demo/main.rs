//! The demo: two producers and two consumers in each language share one directory for about ten
//! seconds, while consumers are killed and replaced. Nothing may be lost, and a message may come
//! twice only where a consumer was killed that had it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::exit,
    missing_docs,
    reason = "a program that shows"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Driver;

const PRODUCE_FOR: Duration = Duration::from_secs(8);
/// Between two sends of one producer: the point is the crowd and the kills, not the rate.
const PAUSE: Duration = Duration::from_millis(15);
const PER_LANGUAGE: usize = 2;

/// One delivery: to whom, and what became of it.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Acked,
    /// The consumer was killed before its ack was confirmed.
    Killed,
    /// The consumer was told that the lease had ended.
    Stale,
}

#[derive(Default)]
struct Record {
    sent: Mutex<Vec<String>>,
    /// By message: what became of each delivery, in order.
    deliveries: Mutex<HashMap<String, Vec<Fate>>>,
    counts: Mutex<HashMap<&'static str, Counts>>,
    stop_producing: AtomicBool,
    drained: AtomicBool,
    delivered: AtomicU64,
    killed: AtomicU64,
}

#[derive(Default, Clone, Copy)]
struct Counts {
    sent: u64,
    delivered: u64,
    killed: u64,
    replaced: u64,
}

impl Record {
    fn count(&self, language: &'static str, change: impl FnOnce(&mut Counts)) {
        change(self.counts.lock().unwrap().entry(language).or_default());
    }
}

/// A number that looks random; the demo needs no more.
fn random(below: u64) -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0);
    let seed =
        STATE.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed) ^ u64::from(std::process::id());
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)) % below
}

fn produce(language: &'static str, number: usize, directory: &Path, record: &Record) {
    let mut driver = Driver::open(language, directory, "normal");
    for sequence in 0.. {
        if record.stop_producing.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("{language}-{number}-{sequence}");
        let payload =
            json!({"id": id, "from": language, "to": "anybody", "subject": "demo"}).to_string();
        assert_eq!(
            driver.ok(&json!({"op": "send", "queue": "inbound", "payload": payload})),
            json!(id)
        );
        record.sent.lock().unwrap().push(id);
        record.count(language, |counts| counts.sent += 1);
        thread::sleep(PAUSE);
    }
}

/// One life of a consumer; ends by a kill or when everything is drained. Says whether it was killed.
fn live(language: &'static str, directory: &Path, record: &Record) -> bool {
    let mut driver = Driver::open(language, directory, "normal");
    let life = Duration::from_millis(500 + random(2500));
    let born = Instant::now();
    loop {
        if record.drained.load(Ordering::Relaxed) {
            return false;
        }
        let delivery = driver.ok(
            &json!({"op": "receive", "queue": "inbound", "lease_ms": 3_600_000, "wait_ms": 300}),
        );
        let Some(id) = delivery["id"].as_str().map(str::to_owned) else {
            continue;
        };
        record.count(language, |counts| counts.delivered += 1);
        record.delivered.fetch_add(1, Ordering::Relaxed);
        let dies = born.elapsed() > life && !record.stop_producing.load(Ordering::Relaxed);
        let fate = if dies {
            die(&mut driver, &delivery)
        } else {
            ack(&mut driver, &delivery)
        };
        record
            .deliveries
            .lock()
            .unwrap()
            .entry(id)
            .or_default()
            .push(fate);
        if dies {
            record.count(language, |counts| counts.killed += 1);
            record.killed.fetch_add(1, Ordering::Relaxed);
            return true;
        }
    }
}

fn ack(driver: &mut Driver, delivery: &Value) -> Fate {
    let results =
        driver.ok(&json!({"op": "ack", "queue": "inbound", "receipts": [delivery["receipt"]]}));
    if results[0].is_null() {
        Fate::Acked
    } else {
        Fate::Stale
    }
}

/// Killed with the message in hand, or in the middle of its ack, whose outcome nobody learns.
fn die(driver: &mut Driver, delivery: &Value) -> Fate {
    if random(2) == 0 {
        driver
            .request(&json!({"op": "ack", "queue": "inbound", "receipts": [delivery["receipt"]]}));
        thread::sleep(Duration::from_micros(random(3000)));
    }
    driver.kill();
    Fate::Killed
}

fn consume(language: &'static str, directory: &Path, record: &Record) {
    while live(language, directory, record) {
        record.count(language, |counts| counts.replaced += 1);
    }
}

fn main() {
    let temporary = tempfile::tempdir().unwrap();
    let directory: PathBuf = temporary.path().join("mail-queues");
    flockq::Spool::init(&directory, &flockq::Init::new()).unwrap();
    let record = Arc::new(Record::default());
    let languages = support::languages();
    println!(
        "{} languages, {PER_LANGUAGE} producers and {PER_LANGUAGE} consumers each, in {}",
        languages.len(),
        directory.display()
    );
    let mut producers = Vec::new();
    let mut consumers = Vec::new();
    for language in languages.iter().copied() {
        for number in 0..PER_LANGUAGE {
            let (place, shared) = (directory.clone(), Arc::clone(&record));
            producers.push(thread::spawn(move || {
                produce(language, number, &place, &shared);
            }));
            let (place, shared) = (directory.clone(), Arc::clone(&record));
            consumers.push(thread::spawn(move || consume(language, &place, &shared)));
        }
    }
    let started = Instant::now();
    while started.elapsed() < PRODUCE_FOR {
        thread::sleep(Duration::from_millis(500));
        show(&record, started);
    }
    record.stop_producing.store(true, Ordering::Relaxed);
    producers
        .into_iter()
        .for_each(|producer| producer.join().unwrap());
    drain(&directory, &record, started);
    consumers
        .into_iter()
        .for_each(|consumer| consumer.join().unwrap());
    println!();
    std::process::exit(report(&languages, &record));
}

fn show(record: &Record, started: Instant) {
    let (sent, delivered) = (
        record.sent.lock().unwrap().len(),
        record.delivered.load(Ordering::Relaxed),
    );
    let killed = record.killed.load(Ordering::Relaxed);
    print!(
        "\r{:4.1} s: sent {sent}, delivered {delivered}, consumers killed {killed}   ",
        started.elapsed().as_secs_f64()
    );
    let _ = std::io::stdout().flush();
}

/// Waits until the queue is empty, but not for ever: what is left then is lost.
fn drain(directory: &Path, record: &Record, started: Instant) {
    let queue = flockq::Spool::open(directory)
        .unwrap()
        .queue("inbound")
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while queue.len().unwrap() > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
        show(record, started);
    }
    record.drained.store(true, Ordering::Relaxed);
}

fn report(languages: &[&'static str], record: &Record) -> i32 {
    println!(
        "{:>8} {:>8} {:>10} {:>7} {:>9}",
        "", "sent", "delivered", "killed", "replaced"
    );
    let counts = record.counts.lock().unwrap();
    for language in languages {
        let Counts {
            sent,
            delivered,
            killed,
            replaced,
        } = counts.get(language).copied().unwrap_or_default();
        println!("{language:>8} {sent:>8} {delivered:>10} {killed:>7} {replaced:>9}");
    }
    let sent = record.sent.lock().unwrap();
    let deliveries = record.deliveries.lock().unwrap();
    // Gone from the queue without an ack that anybody confirmed: only the ack of a killed consumer explains that.
    let settled = |fates: &Vec<Fate>| {
        fates
            .iter()
            .any(|fate| matches!(fate, Fate::Acked | Fate::Killed))
    };
    let lost = sent
        .iter()
        .filter(|id| !deliveries.get(*id).is_some_and(settled))
        .count();
    let total: usize = deliveries.values().map(Vec::len).sum();
    let duplicates = total - deliveries.len();
    // Each delivery but the last needs a killed consumer to explain the next.
    let unexplained: usize = deliveries
        .values()
        .map(|fates| {
            fates.len()
                - 1
                - fates
                    .iter()
                    .filter(|fate| **fate == Fate::Killed)
                    .count()
                    .min(fates.len() - 1)
        })
        .sum();
    let unexpected = deliveries.keys().filter(|id| !sent.contains(id)).count();
    println!("sent {}", sent.len());
    println!("delivered {total}");
    println!("lost {lost}");
    if unexplained == 0 {
        println!("duplicates {duplicates} (all from killed consumers)");
    } else {
        println!("duplicates {duplicates} ({unexplained} without a killed consumer)");
    }
    if unexpected > 0 {
        println!("unexpected {unexpected}");
    }
    i32::from(lost > 0 || unexplained > 0 || unexpected > 0)
}
