//! What cannot be printed: nothing that was taken is lost, and no exit code says what is not so.
#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod shell;
mod support;

use std::fs::{self, File};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use shell::{Shell, text};

/// What is written there meets a full disk.
fn full_disk() -> Stdio {
    let full = File::options().write(true).open("/dev/full");
    full.unwrap().into()
}

/// The writing end of a pipe that nobody reads.
fn closed_pipe() -> Stdio {
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let writer = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    writer.into()
}

fn not_for_writing() -> Stdio {
    File::open("/dev/null").unwrap().into()
}

/// A command, where its output goes, and what it says of that.
fn printed(shell: &Shell, command: &[&str], to: Stdio) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = shell.command(command).stdout(to).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn in_mode(mode: &str) -> Shell {
    let shell = Shell::new();
    let value = ["config", "set", "default.mode", mode];
    shell.run(&value).ok();
    shell
}

#[test]
fn a_popped_message_that_cannot_be_printed_is_put_back_as_it_was() {
    for mode in support::MODES {
        let shell = in_mode(mode);
        for number in 1..=3 {
            let payload = json!({ "number": number }).to_string();
            let id = format!("m{number}");
            let send = ["send", "inbound", &payload, "--ttl", "1h", "--id", &id];
            shell.run(&send).ok();
        }
        let receipt = text(&shell.receive(), "receipt").to_owned();
        let nack = ["nack", "inbound", &receipt, "--error", "no session"];
        shell.run(&[&nack[..], &["--delay", "1ms"]].concat()).ok();
        let before = shell.run(&["list", "inbound"]).ok();
        for (to, why) in [
            (full_disk(), "No space left"),
            (closed_pipe(), "Broken pipe"),
            (not_for_writing(), "Bad file descriptor"),
        ] {
            let (code, error) = printed(&shell, &["pop", "inbound"], to);
            assert_eq!(code, Some(1), "{mode}: {error}");
            assert!(error.starts_with("flockq: standard output: "), "{error}");
            assert!(error.contains(why), "{error}");
            assert!(error.ends_with("has been put back\n"), "{error}");
            assert_eq!(shell.run(&["list", "inbound"]).ok(), before, "{mode}");
        }
        for number in 1..=3 {
            let line = shell.run(&["pop", "inbound"]).lines().remove(0);
            assert_eq!(line["message"]["number"], json!(number), "{mode}");
        }
    }
}

#[test]
fn a_popped_message_that_can_neither_be_printed_nor_put_back_is_on_standard_error() {
    let shell = in_mode("plain");
    shell
        .run(&["send", "inbound", r#"{"to": "deacon/"}"#, "--id", "m1"])
        .ok();
    let mut command = Command::new("strace");
    command
        .args(["-f", "-o", "/dev/null", "-e", "trace=renameat", "-e"])
        // The first one takes the message out.
        .arg("inject=renameat:error=ENOSPC:when=2+")
        .arg(env!("CARGO_BIN_EXE_flockq"))
        .args(["pop", "inbound"])
        .env("FLOCKQ_DIR", shell.path());
    let Ok(output) = command.stdout(full_disk()).output() else {
        return support::left_out("strace is missing (apt-get install strace)");
    };
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let (why, line) = error.split_once('\n').unwrap();
    assert!(why.contains("putting the message back: "), "{error}");
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        line,
        json!({"id": "m1", "attempts": 0, "message": {"to": "deacon/"}})
    );
    assert_eq!(shell.run(&["cat", "inbound"]).ok(), "[]\n");
}

#[test]
fn deliveries_that_cannot_be_printed_are_given_back() {
    let shell = Shell::new();
    shell
        .feed(&["send", "inbound", "--lines"], b"1\n2\n3\n")
        .ok();
    for to in [full_disk(), closed_pipe(), not_for_writing()] {
        let receive = ["receive", "inbound", "--max", "3", "--lease", "1h"];
        let (code, error) = printed(&shell, &receive, to);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.starts_with("flockq: standard output: "), "{error}");
        assert!(error.ends_with("given back: 3\n"), "{error}");
        let ready = shell.run(&["list", "inbound", "--state", "ready"]).lines();
        assert_eq!(ready.len(), 3);
        // Nobody is to blame for it.
        assert!(ready.iter().all(|message| message.get("error").is_none()));
    }
}

/// What fits into the pipe may have been read, as far as the one who wrote it knows.
#[test]
fn of_many_deliveries_those_that_the_reader_did_not_wait_for_are_given_back() {
    let shell = Shell::new();
    let lines: Vec<String> = (0..100)
        .map(|number| json!({"number": number, "text": "x".repeat(10_000)}).to_string())
        .collect();
    shell
        .feed(&["send", "inbound", "--lines"], lines.join("\n").as_bytes())
        .ok();
    let mut command = Command::new("sh");
    command
        .args(["-c", r#""$0" receive inbound --max 100 | head -n 1"#])
        .arg(env!("CARGO_BIN_EXE_flockq"))
        .env("FLOCKQ_DIR", shell.path());
    let output = command.output().unwrap();
    let first: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(first["message"]["number"], json!(0));
    let numbers = |state: &str| -> Vec<u64> {
        let list = shell.run(&["list", "inbound", "--state", state]).lines();
        let number = |message: &Value| message["message"]["number"].as_u64().unwrap();
        list.iter().map(number).collect()
    };
    let (leased, ready) = (numbers("leased"), numbers("ready"));
    assert!((1..50).contains(&leased.len()), "{leased:?}");
    let split = leased.len() as u64;
    assert_eq!(leased, (0..split).collect::<Vec<_>>());
    assert_eq!(ready, (split..100).collect::<Vec<_>>());
}

#[test]
fn what_was_done_and_cannot_be_printed_is_an_error_that_says_so() {
    let shell = Shell::new();
    shell
        .feed(&["send", "inbound", "--lines"], b"1\n2\n3\n")
        .ok();
    let commands: [&[&str]; 5] = [
        &["send", "inbound", "4"],
        &["move", "inbound", "--to", "outbound"],
        &["purge", "outbound"],
        &["remove", "inbound", "nobody"],
        &["repair", "inbound"],
    ];
    for command in commands {
        let (code, error) = printed(&shell, command, full_disk());
        assert_eq!(code, Some(1), "{error}");
        assert!(
            error.contains("done, but what came of it could not be printed: standard output: "),
            "{error}"
        );
    }
}

#[test]
fn an_error_of_standard_input_or_output_says_which() {
    let shell = Shell::new();
    shell.run(&["send", "inbound", "1"]).ok();
    for command in ["list", "cat", "check", "stats"] {
        let (code, error) = printed(&shell, &[command, "inbound"], full_disk());
        assert_eq!(code, Some(1), "{command}");
        let why = "flockq: standard output: No space left on device";
        assert!(error.starts_with(why), "{command}: {error}");
    }
    for more in [&[][..], &["--lines"]] {
        let mut command = shell.command(&[&["send", "inbound"], more].concat());
        command.stdin(File::open(shell.path()).unwrap());
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        let why = "flockq: standard input: Is a directory";
        assert!(error.starts_with(why), "{error}");
    }
}

/// As `flockq check | grep -q` in a script.
#[test]
fn a_reader_who_has_had_enough_changes_no_exit_code() {
    let shell = Shell::new();
    shell.run(&["send", "inbound", "1"]).ok();
    let ends = |command: &[&str], code: i32| {
        let ended = printed(&shell, command, closed_pipe());
        assert_eq!(ended, (Some(code), String::new()), "{command:?}");
    };
    for command in ["list", "cat", "check", "stats", "doctor"] {
        let word = if command == "doctor" {
            "--json"
        } else {
            "inbound"
        };
        ends(&[command, word], 0);
    }
    ends(&["stats", "--prometheus"], 0);
    ends(&["remove", "inbound", "nobody"], 3);
    let good = shell.file("inbound.json");
    fs::write(shell.path().join("state.json"), "{}").unwrap();
    let whole = r#"[{"message":1},{"message":}]"#;
    fs::write(shell.path().join("outbound.json"), whole).unwrap();
    ends(&["check"], 1);
    ends(&["check", "--json"], 1);
    ends(&["doctor"], 1);
    ends(&["repair", "outbound"], 1);
    let (code, error) = printed(&shell, &["stats"], closed_pipe());
    assert!(code == Some(1) && error.contains("state.json is damaged"));
    assert_eq!(shell.file("inbound.json"), good);
    assert_eq!(shell.run(&["list", "outbound"]).lines().len(), 1);
}
