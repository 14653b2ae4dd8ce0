//! Every input that fuzzing has kept, on a stable toolchain: the corpus, which goes wherever the targets have been, and what
//! once failed. `fuzz/` has the targets; `scripts/fuzz.sh` looks for more.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::pedantic,
    missing_docs,
    unreachable_pub,
    unsafe_code,
    dead_code,
    reason = "tests"
)]

mod support;
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::catch_unwind;

/// Gives the target every file that is there for it.
fn replay(target: &str, run: fn(&[u8])) {
    let mut failed = Vec::new();
    let mut files = 0;
    for kind in ["corpus", "crashes"] {
        let directory = support::root().join("fuzz").join(kind).join(target);
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            files += 1;
            if catch_unwind(|| run(&input)).is_err() {
                failed.push(path);
            }
        }
    }
    assert!(files > 10, "{files} files: the corpus is missing");
    assert!(failed.is_empty(), "{failed:#?}");
    support::proved(&format!("inputs of the fuzz target {target}"), files);
}

#[test]
fn a_journal_of_any_bytes_is_read_or_told_and_stays_as_it_is() {
    replay("journal", targets::journal::run);
}

#[test]
fn a_snapshot_of_any_bytes_is_read_or_told_and_stays_as_it_is() {
    replay("snapshot", targets::snapshot::run);
}

#[test]
fn a_configuration_of_any_bytes_is_obeyed_or_told_and_stays_as_it_is() {
    replay("config", targets::config::run);
}

#[test]
fn no_name_leaves_the_spool_and_no_two_share_a_file() {
    replay("names", targets::names::run);
}

#[test]
fn no_sequence_of_c_calls_ends_in_anything_but_a_status() {
    replay("calls", targets::calls::run);
}

#[test]
fn what_a_crash_leaves_is_what_was_once_there_or_is_told() {
    replay("images", targets::images::run);
}
