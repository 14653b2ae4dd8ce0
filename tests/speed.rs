//! Ratios of speed, each between two things measured in turn in one run, with nothing beside them.

#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flockq::{Message, Spool, Sync};
use fs2::FileExt;

/// How long a holder keeps the lock.
const HOLD: Duration = Duration::from_micros(200);
const RUN: Duration = Duration::from_secs(3);
const WORKERS: usize = 8;
/// What the workers need at most until they are all ready.
const READY: Duration = Duration::from_millis(500);

/// The tests of a program run side by side; what is measured runs alone.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times[times.len() / 2]
}

fn spin(until: Instant) {
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

#[test]
fn a_plain_send_is_at_least_five_times_faster_than_the_same_change_by_a_program_without_the_library()
 {
    let _alone = alone();
    let directory = support::spool("plain");
    let queue = Spool::builder(directory.path())
        .sync(Sync::Off)
        .open()
        .unwrap()
        .queue("inbound")
        .unwrap();
    let payload = |number: usize| {
        let body = "x".repeat(150);
        format!(
            r#"{{"id":"gt-{number:010}","from":"mayor/","to":"deacon/","subject":"Test {number}","body":"{body}","read":false,"priority":"normal"}}"#
        )
    };
    queue
        .send_many((0..1000).map(|number| Message::from_json(payload(number))))
        .unwrap();
    let bytes = queue.stats().unwrap().bytes / 1000;
    let mut peer = Command::new("python3")
        .arg(support::root().join("tests/fixtures/legacy_peer.py"))
        .args([
            "timed".as_ref(),
            directory.path().as_os_str(),
            "inbound".as_ref(),
            "0".as_ref(),
            "legacy".as_ref(),
            "--keep-lock".as_ref(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut ask, mut told) = (
        peer.stdin.take().unwrap(),
        BufReader::new(peer.stdout.take().unwrap()).lines(),
    );
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..60 {
        writeln!(ask).unwrap();
        theirs.push(told.next().unwrap().unwrap().parse::<u64>().unwrap());
        // The first send has to read what the peer wrote; the others know what is there.
        for step in 0..3 {
            let started = Instant::now();
            queue
                .send(Message::from_json(payload(2000 + number * 3 + step)))
                .unwrap();
            ours.push(u64::try_from(started.elapsed().as_micros()).unwrap());
        }
    }
    drop(ask);
    peer.wait().unwrap();
    let after_theirs = median(ours.iter().copied().step_by(3).collect());
    let (ours, theirs) = (median(ours), median(theirs));
    support::measured(&format!(
        "1,000 messages of {bytes} bytes: send {ours} us (just after a change of the other side {after_theirs} us), without the library {theirs} us"
    ));
    assert!(theirs >= 5 * ours, "{theirs} us against {ours} us");
}

/// How a worker takes the lock.
#[derive(Clone, Copy)]
enum Way {
    Flockq,
    Blocking,
    BackOff,
}

impl Way {
    const ALL: [(Way, &'static str); 3] = [
        (Way::Flockq, "flockq"),
        (Way::Blocking, "blocking"),
        (Way::BackOff, "back-off"),
    ];
}

/// A worker process: this test binary again. Prints how often it had the lock and its longest wait in microseconds.
#[test]
fn worker() {
    let Ok(way) = std::env::var("FLOCKQ_SPEED_WORKER") else {
        return;
    };
    let directory = std::env::var("FLOCKQ_SPEED_DIRECTORY").unwrap();
    let way = Way::ALL
        .into_iter()
        .find(|(_, name)| *name == way)
        .unwrap()
        .0;
    let start = Duration::from_millis(
        std::env::var("FLOCKQ_SPEED_START")
            .unwrap()
            .parse()
            .unwrap(),
    );
    let (mut count, mut longest) = (0u64, Duration::ZERO);
    let queue = Spool::builder(&directory)
        .sync(Sync::Off)
        .open()
        .unwrap()
        .queue("inbound")
        .unwrap();
    // All at once: who begins earlier would have more turns.
    thread::sleep(start.saturating_sub(since_epoch()));
    let until = Instant::now() + RUN;
    while Instant::now() < until {
        let asked = Instant::now();
        let mut held = |_: &mut flockq::Array| {
            longest = longest.max(asked.elapsed());
            count += 1;
            spin(Instant::now() + HOLD);
        };
        match way {
            Way::Flockq => queue.update(held).unwrap(),
            Way::Blocking | Way::BackOff => {
                let file = File::options()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .open(Path::new(&directory).join("other.lock"))
                    .unwrap();
                take(&file, way);
                held(&mut Vec::new());
                FileExt::unlock(&file).unwrap();
            }
        }
    }
    println!("turns: {count} {}", longest.as_micros());
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn take(file: &File, way: Way) {
    if matches!(way, Way::Blocking) {
        return FileExt::lock_exclusive(file).unwrap();
    }
    // As the daemon does: 10 ms five times, 50 ms to the tenth attempt, then 100 ms.
    for attempt in 1.. {
        if FileExt::try_lock_exclusive(file).is_ok() {
            return;
        }
        thread::sleep(Duration::from_millis(if attempt > 10 {
            100
        } else if attempt > 5 {
            50
        } else {
            10
        }));
    }
}

#[test]
fn eight_processes_share_a_queue_fairly() {
    let _alone = alone();
    let mut ratios = Vec::new();
    for (_, name) in Way::ALL {
        let directory = tempfile::tempdir().unwrap();
        let start = (since_epoch() + READY).as_millis().to_string();
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "worker", "--nocapture"])
                    .env("FLOCKQ_SPEED_WORKER", name)
                    .env("FLOCKQ_SPEED_DIRECTORY", directory.path())
                    .env("FLOCKQ_SPEED_START", &start)
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut all = Vec::new();
        for worker in workers {
            let output = worker.wait_with_output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            // After what the harness says, which may be on the same line.
            let numbers: Vec<u64> = text
                .split_once("turns: ")
                .and_then(|(_, rest)| rest.lines().next())
                .unwrap_or_else(|| panic!("no line in {text}"))
                .split(' ')
                .map(|number| number.parse().unwrap())
                .collect();
            all.push((numbers[0], numbers[1]));
        }
        let (most, least) = (
            all.iter().map(|one| one.0).max().unwrap(),
            all.iter().map(|one| one.0).min().unwrap(),
        );
        let longest = all.iter().map(|one| one.1).max().unwrap();
        let total: u64 = all.iter().map(|one| one.0).sum();
        #[expect(clippy::cast_precision_loss, reason = "counts of some thousands")]
        let ratio = most as f64 / least.max(1) as f64;
        support::measured(&format!(
            "{name:>9}: {total} acquisitions, busiest {most}, least busy {least} (ratio {ratio:.2}), longest wait {:.1} ms",
            longest as f64 / 1000.0
        ));
        ratios.push(ratio);
    }
    assert!(ratios[0] <= 1.5, "busiest to least busy {:.2}", ratios[0]);
}
