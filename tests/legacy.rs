//! Sharing a directory with a program that does not use the library (`tests/fixtures/legacy_peer.py`).

#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use support::Driver;

/// How long the two sides share the directory; longer by FLOCKQ_LEGACY_SECONDS.
fn seconds() -> u64 {
    std::env::var("FLOCKQ_LEGACY_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(5)
}

/// A peer, and the file that it prints to.
fn peer(
    command: &str,
    directory: &Path,
    seconds: u64,
    prefix: &str,
    keep_lock: bool,
) -> (Child, File) {
    let mut peer = Command::new("python3");
    peer.arg(support::root().join("tests/fixtures/legacy_peer.py"))
        .arg(command)
        .arg(directory)
        .args(["inbound", &seconds.to_string(), prefix]);
    if keep_lock {
        peer.arg("--keep-lock");
    }
    let printed = tempfile::tempfile().unwrap();
    let child = peer.stdout(printed.try_clone().unwrap()).spawn().unwrap();
    (child, printed)
}

/// What a peer printed, when it has ended well.
fn printed((mut child, mut file): (Child, File)) -> String {
    assert!(child.wait().unwrap().success(), "a peer failed");
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

/// What one side did, in its own words.
#[derive(Default)]
struct Log {
    sent: Vec<String>,
    taken: Vec<String>,
}

/// A process with the library that sends and pops in turn.
fn flockq_process(language: &'static str, number: usize, directory: &Path, until: Instant) -> Log {
    let mut driver = Driver::open(language, directory, "off");
    let mut log = Log::default();
    for sequence in 0.. {
        if Instant::now() > until {
            return log;
        }
        if sequence % 2 == 0 {
            let id = format!("flockq-{number}-{sequence}");
            driver.ok(&json!({"op": "send", "queue": "inbound", "payload": json!({"id": id}).to_string()}));
            log.sent.push(id);
        } else if let Some(id) = driver.ok(&json!({"op": "pop", "queue": "inbound"}))["id"].as_str()
        {
            log.taken.push(id.to_owned());
        }
        thread::sleep(Duration::from_millis(2));
    }
    log
}

/// Runs four processes of each side, and returns what flockq's did, the lines of the peers, and what is left.
fn share(keep_lock: bool) -> (Vec<Log>, Vec<String>, Vec<String>, u64) {
    let directory = support::spool("plain");
    let seconds = seconds();
    let languages = support::languages();
    let until = Instant::now() + Duration::from_secs(seconds);
    let peers: Vec<_> = (0..4)
        .map(|number| {
            peer(
                "mix",
                directory.path(),
                seconds,
                &format!("legacy-{number}"),
                keep_lock,
            )
        })
        .collect();
    let reader = peer("read", directory.path(), seconds, "", keep_lock);
    let logs = thread::scope(|scope| {
        let processes: Vec<_> = (0..4)
            .map(|number| {
                let (language, directory) = (languages[number % languages.len()], directory.path());
                scope.spawn(move || flockq_process(language, number, directory, until))
            })
            .collect();
        processes
            .into_iter()
            .map(|process| process.join().unwrap())
            .collect::<Vec<_>>()
    });
    let mut lines = Vec::new();
    for peer in peers {
        lines.extend(printed(peer).lines().map(str::to_owned));
    }
    // It ends with an error when a read does not parse.
    let reads = printed(reader).trim().parse().unwrap();
    let queue = flockq::Spool::open(directory.path())
        .unwrap()
        .queue("inbound")
        .unwrap();
    let left = queue
        .load()
        .unwrap()
        .iter()
        .map(|element| id_of(element.get()))
        .collect();
    (logs, lines, left, reads)
}

fn id_of(element: &str) -> String {
    let element: serde_json::Value = serde_json::from_str(element).unwrap();
    element["message"]["id"].as_str().unwrap().to_owned()
}

/// What became of every message: how often it was sent and how often it was seen again.
fn tally(
    logs: &[Log],
    lines: &[String],
    left: &[String],
) -> (HashMap<String, usize>, HashMap<String, usize>) {
    let (mut sent, mut seen) = (HashMap::new(), HashMap::new());
    for log in logs {
        log.sent
            .iter()
            .for_each(|id| *sent.entry(id.clone()).or_default() += 1);
        log.taken
            .iter()
            .for_each(|id| *seen.entry(id.clone()).or_default() += 1);
    }
    for line in lines.iter().filter(|line| !line.starts_with("overwrote")) {
        let mut words = line.split(' ');
        let (what, id) = (words.next().unwrap(), words.next().unwrap().to_owned());
        *(if what == "added" {
            &mut sent
        } else {
            &mut seen
        })
        .entry(id)
        .or_default() += 1;
    }
    left.iter()
        .for_each(|id| *seen.entry(id.clone()).or_default() += 1);
    (sent, seen)
}

#[test]
fn with_a_lock_file_that_stays_nothing_is_lost_and_nothing_comes_twice() {
    let (logs, lines, left, reads) = share(true);
    let (sent, seen) = tally(&logs, &lines, &left);
    support::measured(&format!(
        "{} messages, {} left, {} reads by the peer",
        sent.len(),
        left.len(),
        reads
    ));
    assert!(logs.iter().all(|log| log.sent.len() > 20) && lines.len() > 20 && reads > 5);
    let lost: Vec<_> = sent.keys().filter(|id| !seen.contains_key(*id)).collect();
    let twice: Vec<_> = seen
        .iter()
        .filter(|(id, times)| **times > 1 || !sent.contains_key(*id))
        .collect();
    assert!(lost.is_empty(), "lost {lost:?}");
    assert!(twice.is_empty(), "twice or never sent {twice:?}");
}

/// A peer that unlinks the lock file opens a gap between itself and everybody else. What is lost there cannot be saved
/// from this side; but every loss is a peer's doing or a peer's message, never one of ours over another of ours.
#[test]
fn with_a_lock_file_that_is_unlinked_losses_are_attributed() {
    let (logs, lines, left, _) = share(false);
    let (sent, seen) = tally(&logs, &lines, &left);
    // What the peers' own swaps overwrote: "overwrote LOST BACK".
    let of_peers = |place: usize| -> HashSet<&str> {
        lines
            .iter()
            .filter(|line| line.starts_with("overwrote"))
            .flat_map(|line| line.split(' ').nth(place).unwrap().split(','))
            .collect()
    };
    let (overwritten, brought_back) = (of_peers(1), of_peers(2));
    let lost: Vec<&String> = sent.keys().filter(|id| !seen.contains_key(*id)).collect();
    let (by_a_peer, by_us): (Vec<&String>, Vec<&String>) = lost
        .iter()
        .partition(|id| overwritten.contains(id.as_str()));
    let again: Vec<&String> = seen
        .iter()
        .filter_map(|(id, times)| (*times > 1).then_some(id))
        .collect();
    support::measured(&format!(
        "{} messages; lost {}: {} overwritten by a peer, {} of a peer overwritten by us; {} came back",
        sent.len(),
        lost.len(),
        by_a_peer.len(),
        by_us.len(),
        again.len()
    ));
    assert!(logs.iter().all(|log| log.sent.len() > 20) && lines.len() > 20);
    let of_us: Vec<_> = by_us.iter().filter(|id| id.starts_with("flockq")).collect();
    assert!(of_us.is_empty(), "lost without a peer's doing: {of_us:?}");
    let taken_by_us: Vec<&String> = logs.iter().flat_map(|log| &log.taken).collect();
    for id in again {
        let takes = taken_by_us.iter().filter(|taken| **taken == id).count();
        assert!(
            takes < 2 || brought_back.contains(id.as_str()),
            "{id} was taken twice without a peer's doing"
        );
    }
}

/// What is promised: processes with the library never lose each other's messages, even when the lock file goes away
/// all the time. The guard alone keeps them apart in a plain queue; in a journalled one, that a journal belongs to one lock file.
#[test]
fn while_the_lock_file_is_unlinked_all_the_time_processes_with_the_library_lose_nothing() {
    for mode in ["plain", "journal"] {
        lose_nothing_without_a_lock_file(mode);
    }
}

fn lose_nothing_without_a_lock_file(mode: &str) {
    let directory = support::spool(mode);
    let until = Instant::now() + Duration::from_secs(seconds());
    let lock = directory.path().join(".gastown/locks/inbound.json.lock");
    let languages = support::languages();
    let (logs, removed) = thread::scope(|scope| {
        let processes: Vec<_> = (0..4)
            .map(|number| {
                let (language, directory) = (languages[number % languages.len()], directory.path());
                scope.spawn(move || flockq_process(language, number, directory, until))
            })
            .collect();
        let mut removed = 0;
        while Instant::now() < until {
            removed += u32::from(std::fs::remove_file(&lock).is_ok());
            thread::sleep(Duration::from_micros(300));
        }
        (
            processes
                .into_iter()
                .map(|process| process.join().unwrap())
                .collect::<Vec<Log>>(),
            removed,
        )
    });
    let queue = flockq::Spool::open(directory.path())
        .unwrap()
        .queue("inbound")
        .unwrap();
    let left: Vec<String> = queue
        .load()
        .unwrap()
        .iter()
        .map(|element| id_of(element.get()))
        .collect();
    let (sent, seen) = tally(&logs, &[], &left);
    let lost: Vec<_> = sent.keys().filter(|id| !seen.contains_key(*id)).collect();
    support::measured(&format!(
        "{mode}: {} messages while the lock file was removed {removed} times",
        sent.len()
    ));
    assert!(sent.len() > 50 && removed > 50);
    assert!(lost.is_empty(), "processes with the library lost {lost:?}");
    assert!(
        seen.values().all(|times| *times == 1),
        "a message came twice"
    );
}
