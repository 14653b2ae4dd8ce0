//! What the tests of a mail daemon with such queue files asked for, with exact counts, in both modes; and its day, as a program
//! in each language.

#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use flockq::{Queue, Spool, Sync};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A handle of its own, as another process would have it.
fn open(directory: &Path, name: &str) -> Queue {
    let spool = Spool::builder(directory).sync(Sync::Off).open().unwrap();
    spool.queue(name).unwrap()
}

/// What is in a directory, without what a queue has there because of its mode.
fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".journal") && name != "flockq.json")
        .collect();
    names.sort();
    names
}

fn payload(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn ten_writers_of_twenty_messages() {
    support::MODES
        .into_iter()
        .for_each(ten_writers_of_twenty_messages_in);
}

fn ten_writers_of_twenty_messages_in(mode: &str) {
    let directory = support::spool(mode);
    thread::scope(|scope| {
        for writer in 0..10 {
            let directory = directory.path();
            scope.spawn(move || {
                let queue = open(directory, "inbound");
                for number in 0..20 {
                    queue
                        .send(&json!({"writer": writer, "number": number}))
                        .unwrap();
                }
            });
        }
    });
    let queue = open(directory.path(), "inbound");
    let mut next: HashMap<u64, u64> = HashMap::new();
    for envelope in queue.peek(1000).unwrap() {
        let message = payload(envelope.payload());
        let expected = next.entry(message["writer"].as_u64().unwrap()).or_default();
        assert_eq!(message["number"], json!(*expected));
        *expected += 1;
    }
    assert_eq!(next, (0..10).map(|writer| (writer, 20)).collect());
    assert_eq!(queue.len().unwrap(), 200);
    assert_eq!(files(directory.path()), [".gastown", "inbound.json"]);
}

#[test]
fn five_readers_and_five_writers_that_load_modify_and_save() {
    support::MODES
        .into_iter()
        .for_each(five_readers_and_five_writers_that_load_modify_and_save_in);
}

fn five_readers_and_five_writers_that_load_modify_and_save_in(mode: &str) {
    let directory = support::spool(mode);
    thread::scope(|scope| {
        for number in 0..5 {
            let directory = directory.path();
            scope.spawn(move || {
                let queue = open(directory, "inbound");
                for count in 0..20 {
                    let element = format!(r#"{{"message":{{"id":"{number}-{count}"}}}}"#);
                    let element = RawValue::from_string(element).unwrap();
                    queue.update(|array| array.push(element)).unwrap();
                }
            });
            scope.spawn(move || {
                let queue = open(directory, "inbound");
                let mut seen = 0;
                while seen < 100 {
                    let found = queue.load().unwrap().len();
                    assert!(found >= seen, "{found} after {seen}");
                    seen = found;
                }
            });
        }
    });
    let queue = open(directory.path(), "inbound");
    for number in 0..5 {
        for count in 0..20 {
            let id = format!("{number}-{count}");
            assert_eq!(queue.get(&id).unwrap().len(), 1, "{id}");
        }
    }
    assert_eq!(queue.len().unwrap(), 100);
    assert_eq!(files(directory.path()), [".gastown", "inbound.json"]);
}

#[test]
fn three_queues_at_once_and_no_temporary_file_left() {
    support::MODES
        .into_iter()
        .for_each(three_queues_at_once_and_no_temporary_file_left_in);
}

fn three_queues_at_once_and_no_temporary_file_left_in(mode: &str) {
    let directory = support::spool(mode);
    let names = ["dead-letter", "inbound", "outbound"];
    thread::scope(|scope| {
        for name in names.iter().chain(&names) {
            let directory = directory.path();
            scope.spawn(move || {
                let queue = open(directory, name);
                for _ in 0..30 {
                    queue.send(&json!({"queue": name})).unwrap();
                }
            });
        }
    });
    for name in names {
        let queue = open(directory.path(), name);
        assert_eq!(queue.len().unwrap(), 60);
        for envelope in queue.peek(100).unwrap() {
            assert_eq!(payload(envelope.payload()), json!({"queue": name}));
        }
    }
    assert_eq!(
        files(directory.path()),
        [
            ".gastown",
            "dead-letter.json",
            "inbound.json",
            "outbound.json"
        ]
    );
}

/// The programs of a mail daemon's day.
const DAYS: [&str; 5] = ["rust", "c", "go", "python", "shell"];

fn day(language: &str) -> Option<Command> {
    let root = support::root();
    let drivers = root.join("target/drivers");
    let beside = |name: &str| -> Option<PathBuf> {
        let target = std::env::current_exe().ok()?;
        Some(target.parent()?.parent()?.join(name))
    };
    let with = |program: PathBuf, script: Option<PathBuf>| {
        let mut command = Command::new(program);
        command.args(script);
        command
    };
    let command = match language {
        "rust" => with(beside("examples/mail_daemon")?, None),
        "c" => with(drivers.join("mail_daemon_c"), None),
        "go" => with(drivers.join("mail_daemon_go"), None),
        "python" => with(
            root.join(".venv/bin/python"),
            Some(root.join("python/examples/mail_daemon.py")),
        ),
        _ => {
            let mut command = with("bash".into(), Some(root.join("examples/mail_daemon.sh")));
            let flockq = beside("flockq")?;
            let path = std::env::var("PATH").ok()?;
            command.env("PATH", format!("{}:{path}", flockq.parent()?.display()));
            return flockq.exists().then_some(command);
        }
    };
    Path::new(command.get_program()).exists().then_some(command)
}

/// What a day printed: for each delivery whether it succeeded, the attempt, the rank of its priority, and the id.
struct Day {
    deliveries: Vec<(String, u64, u64, String)>,
    /// Where the second round begins.
    mended: usize,
    /// How many messages each queue had, after each round, and how many were redriven.
    stands: Vec<(String, u64)>,
}

impl Day {
    fn read(text: &str) -> Self {
        let mut day = Self {
            deliveries: Vec::new(),
            mended: 0,
            stands: Vec::new(),
        };
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                [ended, attempt, priority, id] => {
                    let rank = match priority {
                        "urgent" => 0,
                        "high" => 1,
                        "low" => 3,
                        _ => 2,
                    };
                    let attempt = attempt.parse().unwrap();
                    day.deliveries
                        .push((ended.to_owned(), attempt, rank, id.to_owned()));
                }
                [name, count] => {
                    if name == "redriven" {
                        day.mended = day.deliveries.len();
                    }
                    day.stands.push((name.to_owned(), count.parse().unwrap()));
                }
                _ => panic!("what is {line:?}?"),
            }
        }
        day
    }
}

#[test]
fn the_daemons_day_is_the_same_in_every_language() {
    let mut runs = Vec::new();
    for mode in support::MODES {
        for language in DAYS {
            let Some(mut command) = day(language) else {
                support::left_out(&format!(
                    "the {language} program was not built; run make build"
                ));
                continue;
            };
            let directory = tempfile::tempdir().unwrap();
            support::samples(directory.path());
            let spool = Spool::open(directory.path()).unwrap();
            for name in ["inbound", "outbound", "dead-letter"] {
                let queue = spool.queue(name).unwrap();
                queue.convert(mode.parse().unwrap()).unwrap();
            }
            drop(spool);
            let run = thread::spawn(move || {
                // All run at once: a delay that is longer than a round keeps the attempts apart.
                command.arg(directory.path()).arg("2000");
                let output = command.output().unwrap();
                let failed = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{language}: {failed}");
                String::from_utf8(output.stdout).unwrap()
            });
            runs.push((mode, language, run));
        }
    }
    let mut first: Option<Vec<_>> = None;
    for (mode, language, run) in runs {
        let day = Day::read(&run.join().unwrap());
        let stand = |name: &str, count: u64| (name.to_owned(), count);
        // Of the samples 16 are to the address where nobody is.
        let expected = [
            stand("inbound", 0),
            stand("outbound", 0),
            stand("dead-letter", 12 + 16),
            stand("redriven", 16),
            stand("inbound", 0),
            stand("outbound", 0),
            stand("dead-letter", 12),
        ];
        assert_eq!(day.stands, expected, "{mode} {language}");
        let (before, after) = day.deliveries.split_at(day.mended);
        for (place, round) in [before, after].into_iter().enumerate() {
            // The urgent ones first, of those that nobody has tried before.
            let new = round.iter().filter(|(_, attempt, ..)| *attempt == 1);
            let ranks: Vec<u64> = new.map(|(_, _, rank, _)| *rank).collect();
            assert!(
                ranks.is_sorted(),
                "{mode} {language} round {place}: {ranks:?}"
            );
        }
        assert!(
            after.len() == 16
                && after
                    .iter()
                    .all(|(ended, attempt, ..)| ended == "ok" && *attempt == 1)
        );
        let failures = |attempt: u64| {
            let is_one =
                |found: &&(String, u64, u64, String)| found.0 == "failed" && found.1 == attempt;
            before.iter().filter(is_one).count()
        };
        // Eight are new; of eight that have failed before, some have one attempt left and some have two.
        assert_eq!((failures(1), failures(3)), (8, 16), "{mode} {language}");
        let mut all = day.deliveries.clone();
        all.sort();
        assert_eq!(
            &all,
            first.get_or_insert_with(|| all.clone()),
            "{mode} {language}"
        );
    }
}
