//! Every language with every other, in one directory.

#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Driver;

/// How often a receiver that hears nothing looks by itself.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A language's driver, or the command line.
enum Peer {
    Driver(Box<Driver>),
    Shell,
}

impl Peer {
    fn new(language: &'static str, directory: &Path) -> Self {
        if language == "shell" {
            Self::Shell
        } else {
            Self::Driver(Box::new(Driver::open(language, directory, "normal")))
        }
    }

    fn send(&mut self, directory: &Path, payload: &str) {
        match self {
            Self::Driver(driver) => {
                drop(driver.ok(&json!({"op": "send", "queue": "inbound", "payload": payload})));
            }
            Self::Shell => assert_eq!(shell(directory, &["send", "inbound", payload]).0, 0),
        }
    }

    /// The payload and the receipt of the next message.
    fn receive(&mut self, directory: &Path) -> (String, String) {
        match self {
            Self::Driver(driver) => {
                let delivery =
                    driver.ok(&json!({"op": "receive", "queue": "inbound", "lease_ms": 60_000}));
                (
                    delivery["payload"].as_str().unwrap().to_owned(),
                    delivery["receipt"].as_str().unwrap().to_owned(),
                )
            }
            Self::Shell => {
                let (code, line) = shell(directory, &["receive", "inbound", "--lease", "1m"]);
                assert_eq!(code, 0);
                let receipt = serde_json::from_str::<Value>(&line).unwrap()["receipt"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                let payload = line
                    .split_once("\"message\":")
                    .unwrap()
                    .1
                    .trim_end()
                    .strip_suffix('}')
                    .unwrap();
                (payload.to_owned(), receipt)
            }
        }
    }

    fn ack(&mut self, directory: &Path, receipt: &str) {
        match self {
            Self::Driver(driver) => assert_eq!(
                driver.ok(&json!({"op": "ack", "queue": "inbound", "receipts": [receipt]})),
                json!([null])
            ),
            Self::Shell => assert_eq!(shell(directory, &["ack", "inbound", receipt]).0, 0),
        }
    }
}

fn shell(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_flockq"))
        .arg("--dir")
        .arg(directory)
        .args(arguments)
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[test]
fn what_one_language_sends_every_other_receives_and_acks_by_receipt() {
    let payload = r#"{"id":"m","n":1e-7,"big":123456789012345678901234567890,"e":"\u003c"}"#;
    let mut languages = support::languages();
    languages.push("shell");
    let is_other = |(sender, receiver): &(&str, &str)| sender != receiver;
    let pairs: Vec<(&str, &str)> = languages
        .iter()
        .flat_map(|sender| languages.iter().map(move |receiver| (*sender, *receiver)))
        .filter(is_other)
        .collect();
    for (mode, (sender, receiver)) in support::MODES
        .iter()
        .flat_map(|mode| pairs.iter().map(move |pair| (mode, *pair)))
    {
        let directory = support::spool(mode);
        let (mut one, mut other) = (
            Peer::new(sender, directory.path()),
            Peer::new(receiver, directory.path()),
        );
        one.send(directory.path(), payload);
        let (received, receipt) = other.receive(directory.path());
        assert_eq!(received, payload, "{mode} {sender} to {receiver}");
        // Acked by the sender's language: a receipt is good in any process.
        one.ack(directory.path(), &receipt);
        one.send(directory.path(), "2");
        let (_, receipt) = other.receive(directory.path());
        other.ack(directory.path(), &receipt);
        let spool = flockq::Spool::open(directory.path()).unwrap();
        spool.queue("inbound").unwrap().checkpoint().unwrap();
        assert_eq!(
            std::fs::read(directory.path().join("inbound.json")).unwrap(),
            b"[]\n",
            "{mode} {sender} to {receiver}"
        );
    }
    let pairs = pairs.len();
    support::measured(&format!("{pairs} ordered pairs in each mode"));
}

#[test]
fn a_killed_consumers_message_reaches_a_waiting_receiver_of_any_language_at_once() {
    let languages = support::languages();
    let (mut takeovers, mut wakes) = (Vec::new(), Vec::new());
    let pairs = languages
        .iter()
        .flat_map(|victim| languages.iter().map(move |receiver| (*victim, *receiver)));
    for mode in support::MODES {
        for (victim, receiver) in pairs.clone() {
            let directory = support::spool(mode);
            let mut one = Driver::open(victim, directory.path(), "off");
            let mut other = Driver::open(receiver, directory.path(), "off");
            // A message that is sent while the other one waits.
            other.request(&json!({"op": "receive", "queue": "inbound", "wait_ms": 20_000}));
            std::thread::sleep(Duration::from_millis(100));
            one.ok(&json!({"op": "send", "queue": "inbound", "payload": "0"}));
            let sent = Instant::now();
            let receipt = other.reply().unwrap()["ok"]["receipt"].clone();
            wakes.push(sent.elapsed());
            other.ok(&json!({"op": "ack", "queue": "inbound", "receipts": [receipt]}));
            one.ok(&json!({"op": "send", "queue": "inbound", "payload": "1"}));
            let taken =
                one.ok(&json!({"op": "receive", "queue": "inbound", "lease_ms": 3_600_000}));
            other.request(&json!({"op": "receive", "queue": "inbound", "wait_ms": 20_000}));
            std::thread::sleep(Duration::from_millis(100));
            let killed = Instant::now();
            one.kill();
            let delivery = other.reply().unwrap();
            takeovers.push(killed.elapsed());
            assert_eq!(
                delivery["ok"]["id"], taken["id"],
                "{mode} {victim} to {receiver}: {delivery}"
            );
            assert_eq!(delivery["ok"]["attempts"], 2);
        }
    }
    for (what, mut times) in [("takeover", takeovers), ("wake-up", wakes)] {
        times.sort_unstable();
        // On a busy machine a single one may be late for reasons of its own.
        let (most, slowest) = (times[times.len() * 3 / 4], times[times.len() - 1]);
        support::measured(&format!(
            "{what}: three quarters within {most:?}, the slowest {slowest:?}"
        ));
        assert!(most < HEARTBEAT / 2, "{what}: {times:?}");
    }
}

#[test]
fn the_samples_are_used_as_they_are_and_what_is_not_touched_stays_byte_for_byte() {
    for language in support::languages() {
        let directory = tempfile::tempdir().unwrap();
        support::samples(directory.path());
        let file = directory.path().join("inbound.json");
        let before = std::fs::read_to_string(&file).unwrap();
        let mut driver = Driver::open(language, directory.path(), "normal");
        assert_eq!(
            driver.ok(&json!({"op": "queues"})),
            json!(["dead-letter", "inbound", "outbound"])
        );
        let count = driver
            .ok(&json!({"op": "len", "queue": "inbound"}))
            .as_u64()
            .unwrap();
        let listed = driver.ok(&json!({"op": "list", "queue": "inbound", "limit": 1000}));
        assert_eq!(listed["items"].as_array().unwrap().len() as u64, count);
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            before,
            "{language}: a look changes nothing"
        );
        for item in listed["items"].as_array().unwrap() {
            assert!(
                ["urgent", "high", "normal", "low"].contains(&item["priority"].as_str().unwrap())
            );
            assert!(
                before.contains(item["payload"].as_str().unwrap()),
                "{language}: {item}"
            );
        }
        let taken = driver
            .ok(&json!({"op": "receive_many", "queue": "inbound", "max": 2, "lease_ms": 60_000}));
        let receipt = |place: usize| taken[place]["receipt"].clone();
        driver.ok(&json!({"op": "ack", "queue": "inbound", "receipts": [receipt(0)]}));
        driver.ok(&json!({"op": "nack", "queue": "inbound", "receipts": [receipt(1)], "error": "later", "delay_ms": 60_000}));
        driver.ok(&json!({"op": "send", "queue": "inbound", "payload": "{\"id\":\"new\"}"}));
        let after = std::fs::read_to_string(&file).unwrap();
        let touched: Vec<&str> = [&taken[0], &taken[1]]
            .iter()
            .map(|delivery| delivery["payload"].as_str().unwrap())
            .collect();
        let elements: Vec<Box<serde_json::value::RawValue>> =
            serde_json::from_str(&before).unwrap();
        for element in &elements {
            let is_touched = touched
                .iter()
                .any(|payload| element.get().contains(payload));
            assert!(
                is_touched || after.contains(element.get()),
                "{language}: changed {}",
                element.get()
            );
        }
        assert!(
            after.contains(touched[1]),
            "{language}: the payload of a nacked message stays byte for byte"
        );
        let now: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(&after).unwrap();
        assert_eq!(now.len(), elements.len());
    }
}

#[test]
fn a_waiting_consumer_sleeps() {
    for language in support::languages() {
        let directory = tempfile::tempdir().unwrap();
        let mut driver = Driver::open(language, directory.path(), "off");
        driver.ok(&json!({"op": "send", "queue": "inbound", "payload": "1"}));
        driver.ok(&json!({"op": "receive", "queue": "inbound", "lease_ms": 3_600_000}));
        driver.request(&json!({"op": "receive", "queue": "inbound", "wait_ms": 8000}));
        std::thread::sleep(Duration::from_secs(1));
        let before = waiting_threads_switches(driver.pid());
        std::thread::sleep(Duration::from_secs(4));
        let after = waiting_threads_switches(driver.pid());
        let each_second = f64::from(u32::try_from(after - before).unwrap()) / 4.0;
        support::measured(&format!(
            "{language}: {each_second} voluntary context switches a second"
        ));
        assert!(each_second <= 2.0, "{language}: {each_second}");
        driver.kill();
    }
}

/// The voluntary context switches of all threads of a process so far, but for those of Go's own runtime monitor.
fn waiting_threads_switches(pid: u32) -> u64 {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .unwrap();
        sum += line.trim().parse::<u64>().unwrap();
    }
    sum
}
