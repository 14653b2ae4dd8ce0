//! One thing that goes wrong at one moment, and what it costs: descriptors that a child inherits, moves that cross, a message
//! that kills who takes it, a sender that dies before it wakes anybody, another boot clock.

#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flockq::Spool;
use serde_json::{Value, json};
use support::Driver;

/// Longer than anything takes on any machine, and shorter than a wait that nobody ends.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Descriptors of a process that a program inherits which it starts; those of its streams are meant to be.
fn inherited(pid: u32) -> Vec<String> {
    const CLOSED_ON_EXEC: u32 = 0o2_000_000;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let number = entry.unwrap().file_name().into_string().unwrap();
        let about = support::read(Path::new(&format!("/proc/{pid}/fdinfo/{number}")));
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = u32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
        let target = std::fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
        if number.parse::<u32>().unwrap() > 2 && flags & CLOSED_ON_EXEC == 0 {
            found.push(format!("{number} {}", target.display()));
        }
    }
    found
}

#[test]
fn a_program_that_is_started_inherits_no_descriptor_of_a_spool() {
    for language in support::languages() {
        for mode in support::MODES {
            let directory = support::spool(mode);
            let place = directory.path();
            let mut driver = Driver::open(language, place, "off");
            driver.ok(&json!({"op": "send", "queue": "inbound", "payload": "1"}));
            driver.ok(&json!({"op": "receive", "queue": "inbound", "wait_ms": 10}));
            driver.ok(&json!({"op": "receive", "queue": "inbound", "wait_ms": 10}));
            driver.ok(&json!({"op": "checkpoint", "queue": "inbound"}));
            driver.ok(&json!({"op": "lock", "path": place.join("state.json")}));
            let open = std::fs::read_dir(format!("/proc/{}/fd", driver.pid())).unwrap();
            assert!(
                open.count() > 6,
                "{language} {mode} has hardly anything open"
            );
            let inherited: Vec<_> = inherited(driver.pid())
                .into_iter()
                .filter(|about| about.contains(place.to_str().unwrap()))
                .collect();
            assert!(inherited.is_empty(), "{language} {mode}: {inherited:?}");
        }
    }
}

#[test]
fn moves_that_cross_each_other_come_to_their_end() {
    let enough = if support::proves() { 2000 } else { 60 };
    let languages = support::languages();
    for (number, mode) in support::MODES.into_iter().enumerate() {
        let directory = support::spool(mode);
        let spool = Spool::open(directory.path()).unwrap();
        let queues = ["inbound", "outbound"].map(|name| spool.queue(name).unwrap());
        for queue in &queues {
            queue.send_many(&[json!(1), json!(2), json!(3)]).unwrap();
        }
        let ways = [("inbound", "outbound"), ("outbound", "inbound")];
        let (tell, told) = std::sync::mpsc::channel();
        let done = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        for (other, (from, to)) in ways.into_iter().enumerate() {
            let language = languages[(number + other) % languages.len()];
            let mut driver = Driver::open(language, directory.path(), "off");
            let (tell, done) = (tell.clone(), Arc::clone(&done));
            thread::spawn(move || {
                let request = json!({"op": "move_to", "queue": from, "to": to, "limit": 2});
                let mut moved = 0;
                // Until both have moved enough: neither is left alone.
                while done
                    .iter()
                    .any(|done| done.load(Ordering::Relaxed) < enough)
                {
                    moved += driver.ok(&request).as_array().unwrap().len();
                    done[other].store(moved, Ordering::Relaxed);
                }
                tell.send(moved).unwrap();
            });
        }
        let moved: usize = (0..2).map(|_| told.recv_timeout(WATCHDOG).unwrap()).sum();
        let left: u64 = queues.iter().map(|queue| queue.len().unwrap()).sum();
        assert_eq!(left, 6, "{mode}");
        support::proved(
            &format!("messages in moves that crossed in {mode} mode"),
            moved,
        );
    }
}

#[test]
fn a_message_that_kills_who_takes_it_is_given_up_after_exactly_its_attempts() {
    for language in support::languages() {
        for mode in support::MODES {
            let directory = support::spool(mode);
            let spool = Spool::open(directory.path()).unwrap();
            spool.set_config("inbound.attempts", "3").unwrap();
            spool
                .set_config("inbound.dead_letter_queue", "dead-letter")
                .unwrap();
            let inbound = spool.queue("inbound").unwrap();
            inbound.send(&json!({"id": "poison"})).unwrap();
            let take = json!({"op": "receive", "queue": "inbound", "lease_ms": 3_600_000});
            for attempt in 1..=3 {
                let mut consumer = Driver::open(language, directory.path(), "off");
                let given = consumer.ok(&take);
                assert_eq!(given["attempts"], attempt, "{language} {mode}: {given}");
                consumer.kill();
            }
            let mut consumer = Driver::open(language, directory.path(), "off");
            assert_eq!(consumer.ok(&take), Value::Null, "{language} {mode}");
            let dead = spool.queue("dead-letter").unwrap();
            assert_eq!((inbound.len().unwrap(), dead.len().unwrap()), (0, 1));
            assert_eq!(dead.peek(1).unwrap()[0].attempts(), 3);
        }
    }
}

/// How long a receiver that sleeps takes to hear of what `act` does.
fn heard(directory: &Path, act: impl FnOnce()) -> Duration {
    let mut driver = Driver::open("rust", directory, "off");
    driver.request(&json!({"op": "receive", "queue": "inbound", "wait_ms": 300_000}));
    thread::sleep(Duration::from_millis(200));
    act();
    let since = Instant::now();
    let reply = driver.reply().unwrap();
    assert!(reply["ok"]["id"].is_string(), "{reply}");
    driver.ok(&json!({"op": "ack", "queue": "inbound", "receipts": [reply["ok"]["receipt"]]}));
    since.elapsed()
}

/// It costs less where directories can be watched: the system closes the journal for the dead, and reports that.
#[test]
fn a_sender_that_dies_before_it_wakes_anybody_costs_a_heartbeat_at_most() {
    if Command::new("strace").arg("-V").output().is_err() {
        support::left_out("strace is missing (apt-get install strace)");
        return;
    }
    let directory = support::spool("journal");
    let queue = Spool::open(directory.path())
        .unwrap()
        .queue("inbound")
        .unwrap();
    queue.send(&json!("first")).unwrap();
    queue.pop().unwrap();
    let journal = directory.path().join("inbound.json.journal");
    let size = || std::fs::metadata(&journal).unwrap().len();
    let (mut killed, mut slowest) = (0, Duration::ZERO);
    for call in ["write", "pwrite64", "futex"] {
        for number in 1..20 {
            let mut was_killed = false;
            let before = size();
            let took = heard(directory.path(), || {
                let inject = format!("inject={call}:signal=KILL:when={number}");
                let sender = Command::new("strace")
                    .args(["-f", "-qq", "-o", "/dev/null", "-e"])
                    .args([&format!("trace={call}"), "-e", &inject])
                    .arg(env!("CARGO_BIN_EXE_flockq"))
                    .arg("--dir")
                    .arg(directory.path())
                    .args(["send", "inbound", "1"])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .status();
                was_killed = !sender.unwrap().success();
                // Killed before it had written anything: somebody else sends, as the receiver waits for ever. Asking the queue
                // would be a look that may wake somebody.
                if was_killed && size() == before {
                    queue.send(&json!(2)).unwrap();
                }
            });
            if !was_killed {
                break;
            }
            killed += 1;
            slowest = slowest.max(took);
            queue.purge(None).unwrap();
        }
    }
    support::proved(
        &format!("deaths of a sender, after which a receiver slept for {slowest:?} at most"),
        killed,
    );
    // The heartbeat is a second; the rest is for machines that have other things to do.
    assert!(
        killed > 3 && slowest < Duration::from_secs(20),
        "{killed} {slowest:?}"
    );
}

#[test]
fn a_wake_page_that_is_another_file_by_now_costs_a_heartbeat_at_most() {
    let directory = support::spool("journal");
    let queue = Spool::open(directory.path())
        .unwrap()
        .queue("inbound")
        .unwrap();
    queue.send(&json!("first")).unwrap();
    queue.pop().unwrap();
    let page = directory.path().join(".gastown/locks/inbound.json.wake");
    for _ in 0..3 {
        let took = heard(directory.path(), || {
            let other = directory.path().join("other");
            std::fs::write(&other, [0; 4096]).unwrap();
            std::fs::rename(&other, &page).unwrap();
            queue.send(&json!(1)).unwrap();
        });
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

/// What is not promised, as it is said: leases of another time namespace end too early or too late. Nothing else does.
#[test]
fn in_another_time_namespace_leases_end_too_early_and_nothing_is_lost() {
    let program = env!("CARGO_BIN_EXE_flockq");
    let elsewhere = |directory: &Path, words: &[&str]| {
        Command::new("unshare")
            .args(["-T", "--boottime", "1000000", program, "--dir"])
            .arg(directory)
            .args(words)
            .stdin(Stdio::null())
            .output()
    };
    let directory = support::spool("journal");
    let here = Spool::open(directory.path())
        .unwrap()
        .queue("inbound")
        .unwrap();
    here.send(&json!({"id": "m1"})).unwrap();
    let how = flockq::Receive::new()
        .lease(Duration::from_secs(3600))
        .detached();
    let mine = here.receive(how).unwrap().unwrap();
    let received = elsewhere(directory.path(), &["receive", "inbound"]);
    let Some(received) = received.ok().filter(|received| received.status.success()) else {
        support::left_out("time namespaces: unshare -T needs root and Linux 5.6");
        return;
    };
    let theirs: Value = serde_json::from_slice(&received.stdout).unwrap();
    assert_eq!(
        (&theirs["id"], &theirs["attempts"]),
        (&json!("m1"), &json!(2))
    );
    let stale = here.ack(&[mine.receipt()]).unwrap().remove(0).unwrap_err();
    assert_eq!(stale.kind(), flockq::ErrorKind::StaleReceipt);
    // For this side their lease runs until long after.
    assert!(here.receive(flockq::Receive::new()).unwrap().is_none());
    let receipt = theirs["receipt"].as_str().unwrap();
    let acked = elsewhere(directory.path(), &["ack", "inbound", receipt]).unwrap();
    assert!(acked.status.success());
    assert_eq!(here.len().unwrap(), 0);
}
