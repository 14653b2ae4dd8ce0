//! The command line: every command, every exit code, one line for every error.
#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What a command left behind.
struct Ran {
    code: i32,
    out: String,
    error: String,
}

impl Ran {
    /// It went well; what it printed.
    fn ok(self) -> String {
        assert_eq!((self.code, self.error.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// It went well; every line that it printed, as JSON.
    fn lines(self) -> Vec<Value> {
        let lines = self.ok();
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// It failed with this code, printed nothing, and said in one line why.
    fn failed(self, code: i32, why: &str) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.error);
        assert!(self.error.starts_with("flockq: "), "{}", self.error);
        assert!(self.error.contains(why), "{}", self.error);
        assert_eq!(self.error.lines().count(), 1, "{}", self.error);
    }
}

struct Shell(TempDir);

impl Shell {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flockq"));
        command.args(arguments).env("FLOCKQ_DIR", self.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.feed(arguments, b"")
    }

    fn feed(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input is free to end before it was written.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    fn receive(&self) -> Value {
        self.run(&["receive", "inbound"]).lines().remove(0)
    }
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap()
}

#[test]
fn a_message_goes_in_and_comes_out() {
    let shell = Shell::new();
    let id = shell
        .run(&[
            "send",
            "inbound",
            r#"{"to": "deacon/"}"#,
            "--priority",
            "high",
        ])
        .ok();
    assert_eq!(
        shell.run(&["peek", "inbound"]).lines()[0]["priority"],
        json!("high")
    );
    let line = shell.receive();
    assert_eq!(text(&line, "id"), id.trim_end());
    assert_eq!(line["attempts"], json!(1));
    assert_eq!(line["message"], json!({"to": "deacon/"}));
    let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["attempts", "id", "message", "receipt"]);
    assert_eq!(shell.run(&["receive", "inbound"]).code, 3);
    let receipt = text(&line, "receipt");
    assert_eq!(shell.run(&["ack", "inbound", receipt]).ok(), "");
    shell.run(&["ack", "inbound", receipt]).failed(1, "ended");
    assert_eq!(shell.run(&["cat", "inbound"]).ok(), "[]\n");
}

#[test]
fn payloads_come_from_standard_input_with_their_bytes() {
    let shell = Shell::new();
    let payload = "{ \"big\": 123456789012345678901,\n \"tiny\": 1e-7 }";
    shell.feed(&["send", "inbound"], payload.as_bytes()).ok();
    assert!(shell.file("inbound.json").contains(payload));
    let printed = shell.run(&["receive", "inbound"]).ok();
    assert!(printed.contains(&payload.replace('\n', " ")), "{printed}");
    shell.feed(&["send", "inbound", "-"], b"\"-\"").ok();
    let ids = shell
        .feed(&["send", "inbound", "--lines"], b"1\n\n2\n-3\n")
        .ok();
    assert_eq!(ids.lines().count(), 3);
    shell.run(&["send", "inbound", "-4"]).ok();
    let messages: Vec<Value> = shell
        .run(&["peek", "inbound", "--max", "9"])
        .lines()
        .iter()
        .map(|line| line["message"].clone())
        .collect();
    assert_eq!(
        messages,
        [json!("-"), json!(1), json!(2), json!(-3), json!(-4)]
    );
    shell
        .feed(&["send", "inbound", "--lines"], b"1\nnonsense\n")
        .failed(1, "");
    assert_eq!(
        shell.run(&["peek", "inbound", "--max", "9"]).lines().len(),
        5
    );
    shell.feed(&["send", "inbound"], b" ").failed(2, "payload");
}

#[test]
fn ids_delays_and_durability() {
    let shell = Shell::new();
    assert_eq!(
        shell.run(&["send", "inbound", "1", "--id", "a"]).ok(),
        "a\n"
    );
    shell
        .run(&["send", "inbound", "2", "--id", "a"])
        .failed(1, "a");
    assert_eq!(
        shell
            .run(&["send", "inbound", "2", "--id", "a", "--dedup"])
            .ok(),
        "a\n"
    );
    shell
        .run(&[
            "send", "inbound", "3", "--id", "b", "--delay", "1h", "--sync", "off",
        ])
        .ok();
    assert_eq!(
        shell.run(&["get", "inbound", "b"]).lines()[0]["state"],
        json!("delayed")
    );
    assert_eq!(shell.run(&["list", "inbound"]).lines().len(), 2);
    assert_eq!(
        shell
            .run(&["list", "inbound", "--limit", "1"])
            .lines()
            .len(),
        1
    );
    let delayed = shell
        .run(&["list", "inbound", "--state", "delayed"])
        .lines();
    assert_eq!(text(&delayed[0], "id"), "b");
    assert_eq!(shell.run(&["get", "inbound", "nobody"]).code, 3);
    assert_eq!(
        shell.run(&["pop", "inbound"]).lines()[0]["message"],
        json!(1)
    );
    assert_eq!(shell.run(&["pop", "inbound"]).code, 3);
    assert_eq!(shell.run(&["peek", "inbound"]).code, 3);
}

#[test]
fn nack_and_extend() {
    let shell = Shell::new();
    shell.run(&["send", "inbound", "1"]).ok();
    let first = shell.receive();
    let receipt = text(&first, "receipt");
    shell
        .run(&["extend", "inbound", receipt, "--lease", "1h"])
        .ok();
    shell
        .run(&[
            "nack",
            "inbound",
            receipt,
            "--error",
            "no such agent",
            "--delay",
            "10ms",
        ])
        .ok();
    let mut listed = shell.run(&["list", "inbound"]).lines();
    assert_eq!(text(&listed.remove(0), "error"), "no such agent");
    let again = shell
        .run(&[
            "receive", "inbound", "--wait", "5s", "--lease", "90s", "--max", "3",
        ])
        .lines();
    assert_eq!((again.len(), &again[0]["attempts"]), (1, &json!(2)));
    // One good receipt and one stale: the good one is done, the other is told.
    let partly = shell.run(&["ack", "inbound", receipt, text(&again[0], "receipt")]);
    assert_eq!(
        (partly.code, partly.error.lines().count()),
        (1, 1),
        "{}",
        partly.error
    );
    assert_eq!(shell.run(&["cat", "inbound"]).ok(), "[]\n");
    shell
        .run(&["ack", "inbound", "nonsense"])
        .failed(1, "receipt");
    shell
        .run(&["extend", "inbound", receipt])
        .failed(1, "ended");
    shell.run(&["nack", "inbound", receipt]).failed(1, "ended");
}

#[test]
fn a_receive_waits_until_another_command_sends() {
    let shell = Shell::new();
    let mut waiting = shell
        .command(&["receive", "inbound", "--wait", "30s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let sent = Instant::now();
    shell.run(&["send", "inbound", "7"]).ok();
    let mut line = String::new();
    BufReader::new(waiting.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(sent.elapsed() < Duration::from_secs(15));
    assert!(line.ends_with("\"message\":7}\n"), "{line}");
    assert!(waiting.wait().unwrap().success());
    // The lease is detached: it did not end with the command.
    assert_eq!(
        shell.run(&["stats", "inbound", "--json"]).lines()[0]["inbound"]["leased"],
        json!(1)
    );
    let began = Instant::now();
    assert_eq!(
        shell.run(&["receive", "inbound", "--wait", "200ms"]).code,
        3
    );
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[test]
fn remove_and_purge_print_how_many() {
    let shell = Shell::new();
    shell
        .feed(
            &["send", "inbound", "--lines"],
            b"{\"id\":\"a\"}\n{\"id\":\"b\"}\n{\"id\":\"c\"}\n{\"id\":\"d\"}\n",
        )
        .ok();
    assert_eq!(shell.run(&["remove", "inbound", "a", "nobody"]).ok(), "1\n");
    let none = shell.run(&["remove", "inbound", "nobody"]);
    assert_eq!((none.code, none.out.as_str()), (3, "0\n"));
    shell.receive();
    assert_eq!(
        shell.run(&["purge", "inbound", "--state", "leased"]).ok(),
        "1\n"
    );
    assert_eq!(shell.run(&["purge", "inbound"]).ok(), "2\n");
}

#[test]
fn stats_are_a_table_or_an_object() {
    let shell = Shell::new();
    support::samples(shell.path());
    let table = shell.run(&["stats"]).ok();
    let names: Vec<&str> = table
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(names, ["queue", "dead-letter", "inbound", "outbound"]);
    let object = shell.run(&["stats", "--json"]).lines().remove(0);
    for name in &names[1..] {
        let file: Value = serde_json::from_str(&shell.file(&format!("{name}.json"))).unwrap();
        let messages = file.as_array().map_or(0, Vec::len);
        assert_eq!(object[name]["messages"], json!(messages), "{name}");
    }
    assert_eq!(shell.run(&["stats", "outbound"]).ok().lines().count(), 2);
    // One damaged file does not hide how the others stand.
    fs::write(shell.path().join("state.json"), "{}").unwrap();
    let partly = shell.run(&["stats"]);
    assert_eq!((partly.code, partly.out.lines().count()), (1, 4));
    assert!(partly.error.contains("state.json is damaged") && partly.error.lines().count() == 1);
}

#[test]
fn what_was_not_touched_in_an_adopted_file_keeps_its_bytes() {
    let shell = Shell::new();
    support::samples(shell.path());
    let before = shell.run(&["cat", "inbound"]).ok();
    let delivery = shell.receive();
    shell
        .run(&["nack", "inbound", text(&delivery, "receipt")])
        .ok();
    shell.run(&["send", "inbound", "{\"id\":\"new\"}"]).ok();
    shell.run(&["remove", "inbound", "new"]).ok();
    let after = shell.run(&["cat", "inbound"]).ok();
    let payload = |line: &Value| line["message"].to_string();
    let (before, after): (Vec<Value>, Vec<Value>) = (
        serde_json::from_str(&before).unwrap(),
        serde_json::from_str(&after).unwrap(),
    );
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(payload(before), payload(after));
    }
}

#[test]
fn init_sets_a_directory_up_once() {
    let shell = Shell::new();
    let directory = shell.path().join("new");
    let name = directory.to_str().unwrap();
    shell.run(&["init", name, "--plain", "--sync", "full"]).ok();
    shell.run(&["init", name, "--plain", "--sync", "full"]).ok();
    shell
        .run(&["init", name, "--plain", "--sync", "off"])
        .failed(1, "flockq.json");
    shell.run(&["init", name, "--sync", "often"]).failed_usage();
    shell.run(&["--dir", name, "send", "inbound", "1"]).ok();
    assert!(directory.join("inbound.json").exists());
    let other = shell.path().join("other");
    shell
        .run(&["init", other.to_str().unwrap(), "--lock-dir", "locks"])
        .ok();
    shell
        .run(&["send", "inbound", "1", "--dir", other.to_str().unwrap()])
        .ok();
    assert!(other.join("locks/inbound.json.lock").exists());
    assert!(!other.join(".gastown/locks").exists());
}

#[test]
fn the_directory_is_that_of_the_option_the_environment_or_the_current_one() {
    let (one, two) = (Shell::new(), Shell::new());
    one.run(&[
        "send",
        "inbound",
        "1",
        "--dir",
        two.path().to_str().unwrap(),
    ])
    .ok();
    assert!(two.path().join("inbound.json").exists());
    let here = Command::new(env!("CARGO_BIN_EXE_flockq"))
        .args(["send", "outbound", "1"])
        .env_remove("FLOCKQ_DIR")
        .current_dir(one.path())
        .output()
        .unwrap();
    assert!(here.status.success());
    assert!(one.path().join("outbound.json").exists());
}

impl Ran {
    /// The arguments were refused by their grammar, with a manual of several lines.
    fn failed_usage(self) {
        assert_eq!((self.code, self.out.as_str()), (2, ""), "{}", self.error);
        assert!(self.error.contains("--help"), "{}", self.error);
    }
}

#[test]
fn wrong_usage_is_exit_2() {
    let shell = Shell::new();
    for wrong in [
        &["fly"][..],
        &[],
        &["send"],
        &["ack", "inbound"],
        &["send", "inbound", "1", "--delay", "soon"],
        &["send", "inbound", "1", "--priority", "important"],
        &["send", "inbound", "1", "--lines"],
        &["list", "inbound", "--state", "lost"],
        &["lock", "file"],
    ] {
        shell.run(wrong).failed_usage();
    }
    for name in ["../x", "", &"x".repeat(200), "a.json.lock"] {
        shell.run(&["send", name, "1"]).failed(2, "name");
    }
    assert_eq!(fs::read_dir(shell.path()).unwrap().count(), 0);
}

#[test]
fn what_is_wrong_with_a_file_or_a_payload_is_exit_1_in_one_line() {
    let shell = Shell::new();
    fs::write(shell.path().join("inbound.json"), "[{\"message\": 1},\n").unwrap();
    for command in ["cat", "pop", "list", "receive", "stats", "purge"] {
        shell
            .run(&[command, "inbound"])
            .failed(1, "inbound.json is damaged at byte");
    }
    shell.run(&["send", "inbound", "1"]).failed(1, "damaged");
    assert_eq!(shell.file("inbound.json"), "[{\"message\": 1},\n");
    shell.run(&["send", "outbound", "{"]).failed(1, "JSON");
    shell
        .feed(&["send", "outbound"], b"\"\xff\"")
        .failed(1, "UTF-8");
    shell
        .feed(&["send", "outbound"], &vec![b'1'; 17 * 1024 * 1024])
        .failed(1, "16");
    shell
        .run(&["--dir", "/nowhere/at/all", "cat", "inbound"])
        .failed(1, "there is no directory");
    assert!(!shell.path().join("outbound.json").exists());
}

#[test]
fn a_lock_runs_a_command_and_hands_its_exit_code_on() {
    let shell = Shell::new();
    let path = shell.path().join("inbound.json");
    let file = path.to_str().unwrap();
    assert_eq!(
        shell.run(&["lock", file, "--", "echo", "ran"]).ok(),
        "ran\n"
    );
    assert_eq!(
        shell.run(&["lock", file, "--", "sh", "-c", "exit 7"]).code,
        7
    );
    assert_eq!(
        shell
            .run(&["lock", file, "--", "sh", "-c", "kill -9 $$"])
            .code,
        137
    );
    shell
        .run(&["lock", file, "--", "/no/such/program"])
        .failed(2, "/no/such/program");
    let mut holder = shell
        .command(&["lock", file, "--", "sh", "-c", "echo held; cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(holder.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    shell
        .run(&["lock", file, "--timeout", "0s", "--", "true"])
        .failed(4, "lock");
    shell
        .run(&["lock", file, "--shared", "--timeout", "50ms", "--", "true"])
        .failed(4, "lock");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    shell
        .run(&["lock", file, "--shared", "--timeout", "0s", "--", "true"])
        .ok();
}

#[test]
fn what_was_done_and_cannot_be_printed_is_an_error_that_says_so() {
    let shell = Shell::new();
    shell
        .feed(&["send", "inbound", "--lines"], b"1\n2\n3\n")
        .ok();
    let commands: [&[&str]; 6] = [
        &["pop", "inbound"],
        &["receive", "inbound"],
        &["send", "inbound", "4"],
        &["move", "inbound", "--to", "outbound"],
        &["purge", "outbound"],
        &["remove", "inbound", "nobody"],
    ];
    for command in commands {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = shell.command(command).stdout(full).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.contains("done, but what came of it could not be printed"),
            "{error}"
        );
    }
    // One who looks and has seen enough is no error.
    let looked = shell
        .command(&["list", "inbound"])
        .stdout(closed_pipe())
        .output()
        .unwrap();
    assert_eq!((looked.status.code(), looked.stderr.len()), (Some(0), 0));
}

/// The writing end of a pipe that nobody reads.
fn closed_pipe() -> Stdio {
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let writer = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    writer.into()
}

#[test]
fn a_queue_gets_a_journal_and_loses_it_again_with_everything_in_it() {
    let shell = Shell::new();
    support::samples(shell.path());
    let before = shell.run(&["cat", "outbound"]).ok();
    shell.run(&["convert", "outbound", "--to", "journal"]).ok();
    shell.run(&["convert", "outbound", "--to", "journal"]).ok();
    assert!(shell.path().join("outbound.json.journal").exists());
    assert_eq!(shell.run(&["cat", "outbound"]).ok(), before);
    shell.run(&["send", "outbound", "{\"id\":\"new\"}"]).ok();
    // A command that ends leaves the whole queue in its file.
    assert!(shell.file("outbound.json").contains("{\"id\":\"new\"}"));
    shell.run(&["remove", "outbound", "new"]).ok();
    shell.run(&["checkpoint", "outbound"]).ok();
    shell.run(&["convert", "outbound", "--to", "plain"]).ok();
    assert!(!shell.path().join("outbound.json.journal").exists());
    assert_eq!(shell.run(&["cat", "outbound"]).ok(), before);
    shell
        .run(&["convert", "outbound", "--to", "tape"])
        .failed_usage();
    shell.run(&["convert", "outbound", "--to", "journal"]).ok();
    fs::remove_file(shell.path().join("outbound.json.journal")).unwrap();
    shell.run(&["cat", "outbound"]).failed(
        1,
        "outbound.json.journal is damaged at byte 0: it is not there",
    );
}

#[test]
fn every_command_has_a_manual() {
    let shell = Shell::new();
    let manual = shell.run(&["--help"]).ok();
    for command in [
        "init",
        "checkpoint",
        "convert",
        "send",
        "receive",
        "ack",
        "nack",
        "extend",
        "pop",
        "peek",
        "list",
        "cat",
        "get",
        "remove",
        "purge",
        "stats",
        "lock",
    ] {
        assert!(manual.contains(&format!("\n  {command} ")), "{command}");
        assert!(
            shell
                .run(&[command, "--help"])
                .ok()
                .contains("Usage: flockq")
        );
    }
    assert!(
        shell
            .run(&["--version"])
            .ok()
            .contains(env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_mail_policy_is_set_shown_and_changed() {
    let shell = Shell::new();
    let directory = shell.path().to_str().unwrap().to_owned();
    shell.run(&["init", "--mail", &directory]).ok();
    let shown: Value = serde_json::from_str(&shell.run(&["config"]).ok()).unwrap();
    assert_eq!(shown["queues"]["inbound"]["attempts"], json!(3));
    assert_eq!(shown["default"]["lease"], json!("5m"));
    assert_eq!(
        shell
            .run(&["config", "set", "inbound.backoff", "10ms"])
            .ok(),
        ""
    );
    shell
        .run(&["config", "set", "inbound.attempts", "none"])
        .failed(
            2,
            "inbound.attempts is \"none\"; it must be a whole number from 1",
        );
    shell.run(&["send", "inbound", r#"{"id": "m1"}"#]).ok();
    for attempt in 1..=3 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let line = shell.receive();
        assert_eq!(line["attempts"], json!(attempt));
        let receipt = text(&line, "receipt");
        shell
            .run(&["nack", "inbound", receipt, "--error", "no session"])
            .ok();
    }
    assert_eq!(shell.run(&["receive", "inbound"]).code, 3);
    let dry = shell.run(&["redrive", "dead-letter", "--dry-run"]).ok();
    assert_eq!(dry, "m1 inbound\n");
    let none = shell.run(&["redrive", "dead-letter", "--error", "full disk"]);
    assert_eq!(none.code, 3);
    shell
        .run(&["redrive", "dead-letter", "--error", "session"])
        .ok();
    let moved = shell.run(&["move", "inbound", "--to", "archive", "--id", "m1"]);
    assert_eq!(moved.ok(), "m1\n");
    shell
        .run(&["move", "archive", "--to", "archive"])
        .failed(2, "itself");
}

#[test]
fn run_gives_messages_to_a_command_and_settles_them() {
    let shell = Shell::new();
    for (id, message) in [("a", "good"), ("b", "bad"), ("c", "good")] {
        let payload = json!({"id": id, "say": message}).to_string();
        shell.run(&["send", "inbound", &payload]).ok();
    }
    let script = r#"cat > "got-$FLOCKQ_ID-$FLOCKQ_ATTEMPTS"; echo one >&2
        if grep -q bad "got-$FLOCKQ_ID-$FLOCKQ_ATTEMPTS"; then echo 'no session' >&2; exit 7; fi"#;
    let mut command = shell.command(&[
        "run",
        "inbound",
        "--workers",
        "2",
        "--lease",
        "1s",
        "--",
        "sh",
        "-c",
        script,
    ]);
    shell.run(&["config", "set", "inbound.backoff", "1h"]).ok();
    let mut worker = command.current_dir(shell.path()).spawn().unwrap();
    let started = std::time::Instant::now();
    let is_there = |state: &str| {
        !shell
            .run(&["list", "inbound", "--state", state])
            .ok()
            .is_empty()
    };
    while is_there("ready") || is_there("leased") {
        assert!(started.elapsed().as_secs() < 20);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = i32::try_from(worker.id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(worker.wait().unwrap().success());
    assert_eq!(shell.file("got-a-1"), r#"{"id":"a","say":"good"}"#);
    let left = shell.run(&["get", "inbound", "b"]).lines().remove(0);
    assert_eq!(text(&left, "error"), "no session");
    assert_eq!(left["attempts"], json!(1));
    assert_eq!(shell.run(&["list", "inbound"]).lines().len(), 1);
}

#[test]
fn run_stops_when_it_is_told_to_although_there_is_more_to_do() {
    let shell = Shell::new();
    for number in 0..200 {
        shell.run(&["send", "inbound", &number.to_string()]).ok();
    }
    let mut command =
        shell.command(&["run", "inbound", "--", "sh", "-c", "touch going; sleep 0.2"]);
    let mut worker = command.current_dir(shell.path()).spawn().unwrap();
    while !shell.path().join("going").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(worker.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(worker.wait().unwrap().success());
    assert!(
        shell
            .run(&["list", "inbound", "--state", "ready"])
            .lines()
            .len()
            > 100
    );
}

#[test]
fn run_waits_for_the_command_and_not_for_what_it_leaves_running() {
    let shell = Shell::new();
    shell.run(&["send", "inbound", "1"]).ok();
    let script = "sleep 60 & echo 'left it' >&2; exit 3";
    let mut command = shell.command(&["run", "inbound", "--", "sh", "-c", script]);
    shell.run(&["config", "set", "inbound.backoff", "1h"]).ok();
    let mut worker = command.stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    loop {
        let found = shell
            .run(&["list", "inbound", "--state", "delayed"])
            .lines();
        if let Some(found) = found.first() {
            assert_eq!(text(found, "error"), "left it");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(20));
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
}

#[test]
fn a_command_that_cannot_be_started_is_no_messages_fault() {
    let shell = Shell::new();
    shell.run(&["send", "inbound", "1"]).ok();
    shell
        .run(&["run", "inbound", "--", "/no/such/program"])
        .failed(2, "/no/such/program");
    let left = shell
        .run(&["list", "inbound", "--state", "ready"])
        .lines()
        .remove(0);
    assert_eq!(left.get("error"), None, "{left}");
}

#[test]
fn the_directory_that_is_named_holds_for_every_path() {
    let shell = Shell::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = shell.command(&[
        "--dir",
        shell.path().to_str().unwrap(),
        "lock",
        "state.json",
        "--",
        "true",
    ]);
    assert!(
        command
            .current_dir(elsewhere.path())
            .status()
            .unwrap()
            .success()
    );
    assert!(shell.path().join(".gastown/locks/state.json.lock").exists());
    let mut command = shell.command(&["--dir", shell.path().to_str().unwrap(), "init", "below"]);
    assert!(
        command
            .current_dir(elsewhere.path())
            .status()
            .unwrap()
            .success()
    );
    assert!(shell.path().join("below/flockq.json").exists());
    // FLOCKQ_DIR names it as well.
    let mut command = shell.command(&["lock", "other.json", "--", "true"]);
    command.current_dir(elsewhere.path()).status().unwrap();
    assert!(shell.path().join(".gastown/locks/other.json.lock").exists());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

/// As `nohup` starts it.
#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let shell = Shell::new();
    let script = r#"trap '' HUP; exec "$0" lock state.json -- sh -c 'kill -HUP $PPID; sleep 0.3; echo "it goes on"'"#;
    let mut command = Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_flockq")])
        .env("FLOCKQ_DIR", shell.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "it goes on\n");
}

/// The same command, for which the system refuses the thread of this number.
fn without_thread(
    shell: &Shell,
    number: usize,
    arguments: &[&str],
) -> Option<std::process::Output> {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-o", "/dev/null", "-e", "trace=clone3", "-e"])
        .arg(format!("inject=clone3:error=EAGAIN:when={number}"))
        .arg(env!("CARGO_BIN_EXE_flockq"))
        .args(arguments)
        .env("FLOCKQ_DIR", shell.path());
    match command.output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(
                std::env::var("FLOCKQ_REQUIRE_ALL").is_err(),
                "strace is missing: {error}"
            );
            eprintln!("LEFT OUT: strace is missing; install it (apt-get install strace)");
            None
        }
    }
}

#[test]
fn where_there_are_no_threads_nothing_is_given_to_a_command_and_no_lock_is_given_back() {
    let shell = Shell::new();
    shell.run(&["send", "inbound", "1"]).ok();
    let ran = shell.path().join("ran");
    let touch = ["--", "touch", ran.to_str().unwrap()];
    let lock = [&["lock", "state.json"][..], &touch].concat();
    let Some(locked) = without_thread(&shell, 1, &lock) else {
        return;
    };
    assert_eq!(locked.status.code(), Some(1), "{locked:?}");
    assert!(!ran.exists());
    // Of the signals, the worker, the command's input and its errors.
    let run = [&["run", "inbound"][..], &touch].concat();
    for number in 1..=4 {
        let output = without_thread(&shell, number, &run).unwrap();
        assert!(
            matches!(output.status.code(), Some(1 | 2)),
            "thread {number}: {output:?}"
        );
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.starts_with("flockq: "), "thread {number}: {error}");
        assert!(!ran.exists(), "thread {number}");
        let ready = shell.run(&["list", "inbound", "--state", "ready"]).lines();
        assert_eq!(ready.len(), 1, "thread {number}");
    }
}

#[test]
fn an_id_that_fits_into_no_environment_is_the_messages_fault() {
    let shell = Shell::new();
    let payload = json!({"id": "x".repeat(140_000)}).to_string();
    shell.feed(&["send", "inbound"], payload.as_bytes()).ok();
    shell.run(&["config", "set", "inbound.backoff", "1h"]).ok();
    shell.run(&["send", "inbound", r#"{"id": "short"}"#]).ok();
    let mut command = shell.command(&["run", "inbound", "--", "true"]);
    let mut worker = command.stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while shell.run(&["list", "inbound"]).lines().len() > 1 {
        assert!(started.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(20));
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    let left = shell.run(&["list", "inbound"]).lines().remove(0);
    assert_eq!(text(&left, "state"), "delayed");
    assert!(text(&left, "error").contains("too long"), "{left}");
}

/// An agent's worktree is removed while it works.
#[test]
fn a_working_directory_that_is_gone_is_not_needed() {
    let shell = Shell::new();
    let script = r#"mkdir "$FLOCKQ_DIR/gone" && cd "$FLOCKQ_DIR/gone" && rmdir "$FLOCKQ_DIR/gone" && "$0" send inbound 1 && "$0" convert inbound --to plain && "$0" send inbound 2"#;
    let mut command = Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_flockq")])
        .env("FLOCKQ_DIR", shell.path());
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    assert_eq!(shell.run(&["list", "inbound"]).lines().len(), 2);
}
