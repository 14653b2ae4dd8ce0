//! Directories as this version of the files has been written once, to be read for ever; and as a newer one may write them.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use flockq::{ErrorKind, List, Queue, Spool, State};
use serde_json::{Value, json};

/// A copy of each directory below, to be used up.
fn copies(kind: &str) -> Vec<(String, tempfile::TempDir)> {
    let below = support::root().join("tests/fixtures").join(kind);
    let directories = fs::read_dir(below)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let copy = |from: PathBuf| {
        let to = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(&from).unwrap() {
            let file = entry.unwrap().path();
            fs::copy(&file, to.path().join(file.file_name().unwrap())).unwrap();
        }
        (from.file_name().unwrap().to_string_lossy().into_owned(), to)
    };
    directories.map(copy).collect()
}

fn open(directory: &Path) -> flockq::Result<Queue> {
    Spool::open(directory)?.queue("inbound")
}

fn listed(queue: &Queue) -> Value {
    let page = queue.list(&List::new().limit(1000)).unwrap();
    let one = |envelope: &flockq::Envelope| json!({"message": envelope.message::<Value>().unwrap(), "attempts": envelope.attempts()});
    page.envelopes.iter().map(one).collect()
}

#[test]
fn what_version_1_wrote_is_read_and_gone_on_with() {
    let copies = copies("v1");
    assert_eq!(copies.len(), 5);
    for (name, directory) in copies {
        let expected: Value =
            serde_json::from_str(&support::read(&directory.path().join("expected.json"))).unwrap();
        let queue = open(directory.path()).unwrap();
        assert!(queue.check().unwrap().is_sound(), "{name}");
        assert_eq!(listed(&queue), expected, "{name}");
        queue.send(&json!({"id": "on"})).unwrap();
        drop(queue);
        let again = open(directory.path()).unwrap();
        let messages = expected.as_array().unwrap().len() + 1;
        assert_eq!(again.stats().unwrap().messages, messages as u64, "{name}");
        assert_eq!(again.get("on").unwrap()[0].state(), State::Ready, "{name}");
        assert!(again.check().unwrap().is_sound(), "{name}");
    }
}

#[test]
fn a_newer_version_is_refused_and_left_untouched() {
    let copies = copies("newer");
    assert_eq!(copies.len(), 2);
    for (name, directory) in copies {
        let content = || -> BTreeMap<PathBuf, Vec<u8>> {
            let files = fs::read_dir(directory.path())
                .unwrap()
                .map(|entry| entry.unwrap().path());
            files
                .filter(|path| path.is_file())
                .map(|path| (path.clone(), fs::read(&path).unwrap()))
                .collect()
        };
        let before = content();
        let refused = |result: flockq::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Version, "{name}");
        };
        match open(directory.path()) {
            Err(error) => refused(Err(error)),
            Ok(queue) => {
                refused(queue.send(&json!(1)).map(drop));
                refused(queue.pop().map(drop));
                refused(queue.checkpoint());
                refused(queue.check().map(drop));
                refused(queue.repair().map(drop));
            }
        }
        assert_eq!(content(), before, "{name}");
    }
}
