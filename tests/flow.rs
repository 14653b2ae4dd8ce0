//! The mail flow with real processes: a move is killed at every system call that changes anything; workers in four languages
//! fail and are killed; a policy that one process sets is obeyed by those that run.
//!
//! FLOCKQ_FLOW_MESSAGES says how many messages the workers get; the default is small.

#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::{HashMap, HashSet};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flockq::{List, Mode, Spool};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::Driver;

const QUEUES: [&str; 4] = ["inbound", "outbound", "dead-letter", "archive"];
/// What changes files, names or locks.
const CALLS: [&str; 8] = [
    "pwrite64",
    "write",
    "fsync",
    "fdatasync",
    "renameat",
    "unlinkat",
    "linkat",
    "flock",
];

/// A command line, perhaps behind another.
fn flockq(before: &[&str], directory: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_flockq");
    let mut command = match before {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    let command = command.arg("--dir").arg(directory).args(arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

fn ok(directory: &Path, arguments: &[&str]) -> String {
    let output = flockq(&[], directory, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// The receipt of the next message.
fn receipt(directory: &Path) -> String {
    let line: serde_json::Value =
        serde_json::from_str(&ok(directory, &["receive", "inbound"])).unwrap();
    line["receipt"].as_str().unwrap().to_owned()
}

/// A mail spool with one message, in which these queues are plain; and the command that moves the message.
fn prepare(directory: &Path, plain: &[&str], what: &str) -> Vec<String> {
    let spool = Spool::mail(directory).unwrap();
    for name in QUEUES {
        let queue = spool.queue(name).unwrap();
        queue.send(&json!("made")).unwrap();
        queue.purge(None).unwrap();
        if plain.contains(&name) {
            queue.convert(Mode::Plain).unwrap();
        }
    }
    let attempts = if what == "dead-letter" { "1" } else { "3" };
    spool.set_config("inbound.attempts", attempts).unwrap();
    spool.set_config("inbound.backoff", "1ms").unwrap();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let from = if what == "redrive" {
        "dead-letter"
    } else {
        "inbound"
    };
    ok(directory, &["send", from, r#"{"id":"m1"}"#]);
    match what {
        "move" => words(&["move", "inbound", "--to", "archive"]),
        "redrive" => words(&["redrive", "dead-letter"]),
        "back" => {
            ok(
                directory,
                &["nack", "inbound", &receipt(directory), "--error", "no"],
            );
            thread::sleep(Duration::from_millis(5));
            words(&["receive", "inbound"])
        }
        _ => words(&["nack", "inbound", &receipt(directory), "--error", "no"]),
    }
}

/// Where the message is, whichever queue is looked at first.
fn places(directory: &Path, first: &str) -> Vec<String> {
    let spool = Spool::open(directory).unwrap();
    spool.queue(first).unwrap().list(&List::new()).unwrap();
    let mut found = Vec::new();
    for _ in 0..2 {
        found.clear();
        for name in QUEUES {
            for envelope in spool
                .queue(name)
                .unwrap()
                .list(&List::new())
                .unwrap()
                .envelopes
            {
                let text = String::from_utf8_lossy(envelope.text()).into_owned();
                let moving = if text.contains("\"move\"") {
                    " moving"
                } else {
                    ""
                };
                found.push(format!("{name} {}{moving}", envelope.id().unwrap()));
            }
        }
    }
    found
}

/// How often it was killed.
fn kill_at_every_call(plain: &[&str]) -> usize {
    let mut killed = 0;
    for what in ["move", "redrive", "retry", "dead-letter", "back"] {
        let temporary = support::in_memory();
        let template = temporary.path().join("template");
        let command = prepare(&template, plain, what);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        for call in CALLS {
            for number in 1.. {
                let directory = temporary.path().join("spool");
                support::copy(&template, &directory);
                let trace = format!("trace={call}");
                let inject = format!("inject={call}:signal=KILL:when={number}");
                let before = [
                    "strace",
                    "-f",
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    &trace,
                    "-e",
                    &inject,
                ];
                let ended = flockq(&before, &directory, &command);
                let was_killed =
                    ended.status.signal().is_some() || ended.status.code() == Some(137);
                let first = QUEUES[number % QUEUES.len()];
                let found = places(&directory, first);
                let why = format!("{plain:?} {what} {call} {number}: {found:?}");
                assert!(found.len() == 1 && found[0].ends_with(" m1"), "{why}");
                if !was_killed {
                    break;
                }
                killed += 1;
            }
        }
    }
    killed
}

#[test]
fn killed_at_every_system_call_of_a_move_the_message_is_in_exactly_one_queue() {
    if Command::new("strace").arg("-V").output().is_err() {
        support::left_out("strace is missing (apt-get install strace)");
        return;
    }
    let modes: [&[&str]; 4] = [
        &[],
        &QUEUES,
        &["inbound"],
        &["outbound", "dead-letter", "archive"],
    ];
    // Most of it is the start of processes.
    let killed: usize = thread::scope(|scope| {
        let runs = modes.map(|plain| scope.spawn(move || kill_at_every_call(plain)));
        runs.into_iter().map(|run| run.join().unwrap()).sum()
    });
    support::measured(&format!("killed {killed} times"));
    assert!(killed > 300, "{killed}");
}

#[test]
fn a_policy_set_from_one_language_is_obeyed_by_another_that_runs() {
    let languages = support::languages();
    let directory = tempfile::tempdir().unwrap();
    Spool::mail(directory.path()).unwrap();
    for (setter, runner) in [
        ("python", "go"),
        ("go", "c"),
        ("c", "rust"),
        ("rust", "python"),
    ] {
        if !languages.contains(&setter) || !languages.contains(&runner) {
            continue;
        }
        let mut runs = Driver::open(runner, directory.path(), "off");
        runs.ok(&json!({"op": "send", "queue": "inbound", "payload": "1"}));
        let mut sets = Driver::open(setter, directory.path(), "off");
        let set = |value: &str| json!({"op": "set_config", "setting": "inbound.max_payload_bytes", "value": value});
        sets.ok(&set("5"));
        let long = json!({"op": "send", "queue": "inbound", "payload": "\"longer\""});
        assert_eq!(
            runs.ask(&long)["error"],
            json!("TooLarge"),
            "{setter} {runner}"
        );
        sets.ok(&set("null"));
        runs.ok(&long);
    }
}

#[derive(Default)]
struct Record {
    /// How often each message was delivered to somebody who said so.
    delivered: Mutex<HashMap<String, u64>>,
    acked: Mutex<HashSet<String>>,
    /// Those whose ack was under way when its worker was killed.
    unknown: Mutex<HashSet<String>>,
    processes: Mutex<Vec<Option<Pid>>>,
    kills: AtomicU64,
    enough: AtomicBool,
}

fn work(record: &Record, worker: usize, language: &'static str, directory: &Path) {
    let mut turn = worker as u64;
    while !record.enough.load(Ordering::Relaxed) {
        let mut driver = Driver::open(language, directory, "off");
        record.processes.lock().unwrap()[worker] =
            Pid::from_raw(i32::try_from(driver.pid()).unwrap());
        loop {
            if record.enough.load(Ordering::Relaxed) {
                break;
            }
            driver.request(
                &json!({"op": "receive", "queue": "inbound", "lease_ms": 60_000, "wait_ms": 50}),
            );
            let Some(reply) = driver.reply() else { break };
            let Some(id) = reply["ok"]["id"].as_str().map(str::to_owned) else {
                assert!(reply.get("error").is_none(), "{reply}");
                continue;
            };
            *record
                .delivered
                .lock()
                .unwrap()
                .entry(id.clone())
                .or_default() += 1;
            turn = turn
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let fails = (turn >> 33) % 10 < 3;
            let receipts = [&reply["ok"]["receipt"]];
            let request = if fails {
                json!({"op": "nack", "queue": "inbound", "receipts": receipts, "error": "no session"})
            } else {
                json!({"op": "ack", "queue": "inbound", "receipts": receipts})
            };
            driver.request(&request);
            let Some(reply) = driver.reply() else {
                if !fails {
                    record.unknown.lock().unwrap().insert(id);
                }
                break;
            };
            assert_eq!(reply["ok"], json!([null]), "{reply}");
            if !fails {
                assert!(record.acked.lock().unwrap().insert(id), "acked twice");
            }
        }
        record.processes.lock().unwrap()[worker] = None;
    }
}

#[test]
fn workers_that_fail_and_are_killed_leave_every_message_acked_or_given_up_once() {
    let count: usize = std::env::var("FLOCKQ_FLOW_MESSAGES")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(600);
    let languages = support::languages();
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    let spool = Spool::mail(directory).unwrap();
    spool.set_config("inbound.backoff", "5ms").unwrap();
    let inbound = spool.queue("inbound").unwrap();
    let messages =
        (0..count).map(|number| flockq::Message::new(&json!({"id": format!("m{number}")})));
    inbound.send_many(messages).unwrap();
    let record = Record::default();
    record.processes.lock().unwrap().resize(8, None);
    let limit = Duration::from_secs(60 + count as u64 / 20);
    let started = Instant::now();
    thread::scope(|scope| {
        for worker in 0..8 {
            let (record, language) = (&record, languages[worker % languages.len()]);
            scope.spawn(move || work(record, worker, language, directory));
        }
        let mut turn = 7usize;
        let outbound = spool.queue("outbound").unwrap();
        while inbound.len().unwrap() + outbound.len().unwrap() > 0 && started.elapsed() < limit {
            thread::sleep(Duration::from_millis(40));
            turn = (turn * 5 + 3) % 8;
            let process = record.processes.lock().unwrap()[turn];
            if process.is_some_and(|process| kill_process(process, Signal::KILL).is_ok()) {
                record.kills.fetch_add(1, Ordering::Relaxed);
            }
        }
        record.enough.store(true, Ordering::Relaxed);
    });
    let (kills, acked) = (
        record.kills.load(Ordering::Relaxed),
        record.acked.lock().unwrap(),
    );
    let (unknown, delivered) = (
        record.unknown.lock().unwrap(),
        record.delivered.lock().unwrap(),
    );
    let dead = spool.queue("dead-letter").unwrap();
    let dead = dead.list(&List::new().limit(count)).unwrap().envelopes;
    let given_up: HashSet<&str> = dead.iter().map(|envelope| envelope.id().unwrap()).collect();
    assert_eq!(given_up.len(), dead.len(), "given up twice");
    assert_eq!(inbound.len().unwrap(), 0);
    for number in 0..count {
        let id = format!("m{number}");
        let (acked, given_up) = (acked.contains(&id), given_up.contains(id.as_str()));
        assert!(!(acked && given_up), "{id} is acked and given up");
        assert!(acked || given_up || unknown.contains(&id), "{id} is lost");
    }
    for envelope in &dead {
        let told = delivered.get(envelope.id().unwrap()).copied().unwrap_or(0);
        let attempts = envelope.attempts();
        assert!(
            told <= attempts && attempts <= told + kills && attempts == 3,
            "{told} {attempts}"
        );
    }
    // Nothing that happened went uncounted, and nothing was counted that did not happen.
    let counted = inbound.stats().unwrap().counters;
    let (count_u64, dead_u64) = (count as u64, dead.len() as u64);
    let told: u64 = delivered.values().sum();
    let redelivered = counted.redelivered_nacked
        + counted.redelivered_expired_lease
        + counted.redelivered_dead_consumer;
    assert_eq!(
        (counted.sent, counted.acked, counted.dead_lettered),
        (count_u64, count_u64 - dead_u64, dead_u64),
        "{counted:?}"
    );
    assert!(
        told <= counted.received && counted.received <= told + kills,
        "{told} deliveries were told of, with {kills} kills: {counted:?}"
    );
    assert_eq!(counted.received - redelivered, count_u64, "{counted:?}");
    assert_eq!(counted.moved_in, counted.retried, "{counted:?}");
    assert_eq!(
        counted.moved_out,
        counted.retried + counted.dead_lettered,
        "{counted:?}"
    );
    support::measured(&format!(
        "{count} messages, {} acked, {} given up, {kills} kills",
        acked.len(),
        dead.len()
    ));
}
