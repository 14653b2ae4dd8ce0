//! Journals that somebody made to do harm: the sums are right, what they say is not. Each is told as damage or read, by a
//! process that may have no more than 64 MiB of memory.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::process::Command;

use twox_hash::XxHash3_128;

const SALT: u64 = 7;

/// A frame whose sums are right. `length` is what its header says of the body.
fn frame(kind: char, number: u64, previous: u32, length: usize, body: &str) -> (String, u32) {
    let sum = crc32c::crc32c(body.as_bytes());
    let header = format!(
        "flockq1 {kind} {SALT:016x} {number:016x} {length:08x} {0:016x} {previous:08x} {sum:08x} ",
        0
    );
    let sum = crc32c::crc32c(header.as_bytes());
    (format!("{header}{sum:08x}\n{body}"), sum)
}

fn base(snapshot: &str, next: u64, numbers: &str, messages: u64) -> String {
    let hash = XxHash3_128::oneshot(snapshot.as_bytes());
    format!(
        "{{\"generation\":1,\"snapshot\":{{\"bytes\":{},\"hash\":\"{hash:032x}\"}},\"messages\":{messages},\"bytes\":0,\"next\":{next},\"numbers\":\"{numbers}\"}}\n",
        snapshot.len()
    )
}

/// A journal with one base and one commit.
fn journal(base: &str, commit: &str) -> String {
    let (first, sum) = frame('B', 0, 0, base.len(), base);
    let (second, _) = frame('C', 1, sum, commit.len(), commit);
    first + &second
}

/// What the command says, with so little memory.
fn run(directory: &std::path::Path, what: &str) -> (i32, String) {
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v 65536; exec \"$0\" --dir \"$1\" {what}"))
        .arg(env!("CARGO_BIN_EXE_flockq"))
        .arg(directory)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !text.contains("panicked") && !text.contains("memory allocation"),
        "{text}"
    );
    (output.status.code().unwrap_or(-1), text)
}

#[test]
fn no_journal_takes_more_memory_than_its_size_or_makes_the_reader_panic() {
    let snapshot = "[]\n";
    let huge = u64::MAX - 1;
    let honest = base(snapshot, 0, "", 0);
    let long = frame('B', 0, 0, 0xffff_ffff, &honest).0;
    let (first, sum) = frame('B', 0, 0, honest.len(), &honest);
    let journals = [
        ("a base longer than the file", long),
        (
            "a commit longer than the file",
            first + &frame('C', 1, sum, 0xffff_fff0, "x\n").0,
        ),
        (
            "numbers without elements",
            journal(
                &base(snapshot, 1 << 40, "0-1099511627775", 1 << 40),
                "0 0 0\n",
            ),
        ),
        (
            "numbers at the end of all numbers",
            journal(
                &base(snapshot, huge, "0-9", huge),
                &format!("{huge} {huge} {huge}\n"),
            ),
        ),
        (
            "totals that nothing leads to",
            journal(&honest, &format!("{huge} {huge} {huge}\n")),
        ),
        (
            "a text longer than the commit",
            journal(&honest, "1 1 1\n+ 18446744073709551615\nx\n"),
        ),
        (
            "an element that is not there",
            journal(&honest, "0 0 0\n- 5\n"),
        ),
        (
            "an element that is no JSON",
            journal(&honest, "1 9 1\n+ 9\n{\"message\n"),
        ),
        (
            "deep nesting",
            journal(
                &honest,
                &format!("1 60000 1\n+ 60000\n{}\n", "[".repeat(60_000)),
            ),
        ),
    ];
    for (name, journal) in journals {
        for replaced in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let put =
                |file: &str, text: &str| fs::write(directory.path().join(file), text).unwrap();
            put(
                "flockq.json",
                r#"{"version":1,"queues":{"inbound":{"mode":"journal"}}}"#,
            );
            put("inbound.json.journal", &journal);
            put(
                "inbound.json",
                if replaced {
                    "[{\"message\":1}]"
                } else {
                    snapshot
                },
            );
            for what in [
                "check",
                "send inbound 1",
                "pop inbound",
                "list inbound",
                "repair inbound",
                "check",
            ] {
                let (code, text) = run(directory.path(), what);
                assert!(
                    matches!(code, 0 | 1 | 3),
                    "{name}, {replaced}, {what}: {code} {text}"
                );
            }
            let (code, text) = run(directory.path(), "check");
            assert_eq!(code, 0, "{name}, {replaced}: repaired, and sound: {text}");
        }
    }
}
