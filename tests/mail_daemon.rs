//! What the tests of a mail daemon with such queue files asked for, with exact counts, in both modes.

#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::collections::HashMap;
use std::path::Path;
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
