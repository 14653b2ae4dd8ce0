//! What a command of `flockq run` says on standard error.
#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod shell;

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use shell::{Shell, text};

/// A worker whose messages stay where they failed.
fn worker(shell: &Shell, ids: &[&str], workers: &str, script: &str) -> Command {
    shell.run(&["config", "set", "inbound.backoff", "1h"]).ok();
    for id in ids {
        shell.run(&["send", "inbound", "1", "--id", id]).ok();
    }
    let run = ["run", "inbound", "--workers", workers, "--", "sh", "-c"];
    let mut command = shell.command(&[&run[..], &[script]].concat());
    command.current_dir(shell.path()).stdin(Stdio::null());
    command
}

/// Waits until all messages have failed; what they say of it.
fn errors(shell: &Shell, count: usize) -> Vec<(String, String)> {
    let started = Instant::now();
    loop {
        let failed = ["list", "inbound", "--state", "delayed"];
        let failed = shell.run(&failed).lines();
        if failed.len() == count {
            let said = |one: &Value| (text(one, "id").to_owned(), text(one, "error").to_owned());
            return failed.iter().map(said).collect();
        }
        assert!(started.elapsed() < Duration::from_secs(100));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn end(mut worker: Child) -> String {
    worker.kill().unwrap();
    let mut said = String::new();
    if let Some(mut errors) = worker.stderr.take() {
        errors.read_to_string(&mut said).unwrap();
    }
    worker.wait().unwrap();
    said
}

#[test]
fn what_a_command_says_is_seen_before_its_line_ends() {
    let shell = Shell::new();
    let script = r"printf 'sure? ' >&2
        for turn in $(seq 400); do [ -e answer ] && exit 1; sleep 0.05; done; echo 'nobody answers' >&2; exit 1";
    let mut command = worker(&shell, &["a"], "1", script);
    let mut worker = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut question = [0; 6];
    let errors_of = worker.stderr.as_mut().unwrap();
    errors_of.read_exact(&mut question).unwrap();
    assert_eq!(&question, b"sure? ");
    fs::write(shell.path().join("answer"), "").unwrap();
    assert_eq!(errors(&shell, 1)[0].1, "sure?");
    end(worker);
}

#[test]
fn lines_of_commands_that_run_at_the_same_time_stay_whole() {
    let shell = Shell::new();
    // Each waits for the other's half.
    let script = r#"printf %s "$FLOCKQ_ID-begins-" >&2; touch "half-$FLOCKQ_ID"
        for turn in $(seq 400); do [ -e half-a ] && [ -e half-b ] && break; sleep 0.05; done; sleep 0.3; echo "$FLOCKQ_ID-ends" >&2; exit 1"#;
    let mut command = worker(&shell, &["a", "b"], "2", script);
    let worker = command.stderr(Stdio::piped()).spawn().unwrap();
    errors(&shell, 2);
    let said = end(worker);
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a-begins-a-ends", "b-begins-b-ends"]);
}

#[test]
fn the_reason_is_the_line_that_stands_there_last() {
    let shell = Shell::new();
    let script = r"case $FLOCKQ_ID in
        bar) printf 'got 10%%\rgot 20%%\r\n' ;;
        blank) printf 'no session\n  \n\n' ;;
        cut) printf '  one\n two' ;;
        long) printf '%0700d\n' 7 ;;
        none) exit 5 ;;
        esac >&2; exit 1";
    let ids = ["bar", "blank", "cut", "long", "none"];
    let mut command = worker(&shell, &ids, "1", script);
    let worker = command.stderr(Stdio::null()).spawn().unwrap();
    let mut said = errors(&shell, ids.len());
    said.sort();
    end(worker);
    let zeros = "0".repeat(500);
    let expected = ["got 20%", "no session", "two", &zeros, "exit code 5"];
    for ((id, error), (expected_id, expected)) in said.iter().zip(ids.iter().zip(expected)) {
        assert_eq!((id.as_str(), error.as_str()), (*expected_id, expected));
    }
}

#[test]
fn a_line_without_an_end_takes_no_memory() {
    let shell = Shell::new();
    let script = r"head -c 200000000 /dev/zero | tr '\0' x >&2; exit 1";
    for workers in ["1", "2"] {
        shell.run(&["purge", "inbound"]).ok();
        let mut command = worker(&shell, &["a"], workers, script);
        let worker = command.stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(errors(&shell, 1)[0].1, "x".repeat(500));
        let status = fs::read_to_string(format!("/proc/{}/status", worker.id())).unwrap();
        let most = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kilobytes = most.unwrap().split_whitespace().nth(1).unwrap();
        assert!(kilobytes.parse::<u64>().unwrap() < 100_000, "{kilobytes}");
        end(worker);
    }
}
