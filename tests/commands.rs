//! Commands that run beside the command line: `flockq lock` and `flockq run`.
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

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use shell::{Shell, text};

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
    let before = shell.run(&["list", "inbound"]).ok();
    for program in ["/no/such/program", "no-such-program"] {
        shell
            .run(&["run", "inbound", "--", program])
            .failed(2, program);
        // Also not an attempt: something may start it again and again.
        assert_eq!(shell.run(&["list", "inbound"]).ok(), before);
    }
}

/// The command is none, and the message cannot be given back either, at first.
#[test]
fn a_message_that_cannot_be_given_back_is_not_done() {
    let shell = Shell::new();
    fs::write(shell.path().join("inbound.json"), "[]").unwrap();
    shell.run(&["send", "inbound", "1"]).ok();
    let nonsense = shell.path().join("nonsense");
    fs::write(&nonsense, [0; 64]).unwrap();
    fs::set_permissions(&nonsense, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("strace");
    command
        .args(["-f", "-o", "/dev/null", "-e", "trace=renameat", "-e"])
        // The first one is the consumer's file, the second one takes the message.
        .arg("inject=renameat:error=ENOSPC:when=3")
        .arg(env!("CARGO_BIN_EXE_flockq"))
        .args(["run", "inbound", "--"])
        .arg(&nonsense)
        .env("FLOCKQ_DIR", shell.path());
    let Ok(output) = command.output() else {
        return support::left_out("strace is missing (apt-get install strace)");
    };
    assert!(!output.status.success());
    let left = shell.run(&["list", "inbound"]).lines().remove(0);
    let why = left["error"].as_str().unwrap_or_default();
    assert!(why.contains("No space left"), "{left}");
}

#[test]
fn a_command_knows_the_spool_that_its_message_is_from() {
    let shell = Shell::new();
    shell.run(&["send", "inbound", "1"]).ok();
    let elsewhere = tempfile::tempdir().unwrap();
    let script = r#""$0" send outbound "$(cat)" && kill -TERM "$PPID""#;
    let status = Command::new(env!("CARGO_BIN_EXE_flockq"))
        .arg("--dir")
        .arg(shell.path())
        .args(["run", "inbound", "--", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_flockq"))
        .current_dir(elsewhere.path())
        .env_remove("FLOCKQ_DIR")
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(shell.run(&["list", "outbound"]).lines().len(), 1);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_reason_may_begin_with_a_hyphen() {
    let shell = Shell::new();
    shell.run(&["send", "inbound", "1"]).ok();
    let receipt = shell.run(&["receive", "inbound"]).lines().remove(0)["receipt"].to_string();
    let receipt = receipt.trim_matches('"');
    shell
        .run(&["nack", "inbound", receipt, "--error", "- no session"])
        .ok();
    let left = shell.run(&["list", "inbound"]).lines().remove(0);
    assert_eq!(left["error"], "- no session");
}

#[test]
fn what_is_no_program_is_wrong_usage() {
    let shell = Shell::new();
    shell.run(&["send", "inbound", "1"]).ok();
    let plain = shell.path().join("plain");
    fs::write(&plain, "true").unwrap();
    let nonsense = shell.path().join("nonsense");
    fs::write(&nonsense, [0; 64]).unwrap();
    fs::set_permissions(&nonsense, fs::Permissions::from_mode(0o755)).unwrap();
    for (program, why) in [(plain, "Permission denied"), (nonsense, "Exec format")] {
        let program = program.to_str().unwrap();
        shell.run(&["run", "inbound", "--", program]).failed(2, why);
        shell
            .run(&["lock", "state.json", "--", program])
            .failed(2, why);
    }
}

/// `flockq` as a terminal starts it, whatever this test was started by.
fn heeding(shell: &Shell, arguments: &[&str]) -> Command {
    let mut command = Command::new("env");
    command
        .args([
            "--default-signal=INT,QUIT,HUP",
            env!("CARGO_BIN_EXE_flockq"),
        ])
        .args(arguments)
        .env("FLOCKQ_DIR", shell.path());
    command
}

#[test]
fn what_a_process_sends_to_a_lock_reaches_its_command() {
    use rustix::process::{Pid, Signal, kill_process};
    let shell = Shell::new();
    let signals = [
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
        ("TERM", Signal::TERM),
        ("HUP", Signal::HUP),
    ];
    for (name, signal) in signals {
        let script = format!(
            "trap 'exit 9' {name}; echo up; for turn in $(seq 400); do sleep 0.05; done; exit 1"
        );
        let mut command = heeding(&shell, &["lock", "state.json", "--", "sh", "-c", &script]);
        let mut lock = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(lock.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let pid = Pid::from_raw(i32::try_from(lock.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        assert_eq!(lock.wait().unwrap().code(), Some(9), "{name}");
    }
}

/// It would come twice. A command that has left the terminal shows what is handed on.
#[test]
fn a_key_at_the_terminal_is_not_handed_on_by_a_lock() {
    let shell = Shell::new();
    let script = "trap 'echo heard' INT; echo up; for turn in $(seq 400); do [ -e pressed ] && break; sleep 0.05; done; sleep 0.3; echo over";
    let lock = format!(
        r#"{} lock state.json -- setsid sh -c "{}""#,
        env!("CARGO_BIN_EXE_flockq"),
        script.replace('$', r"\$")
    );
    let mut terminal = Command::new("script");
    terminal
        .args(["-qec", &lock, "/dev/null"])
        .env("FLOCKQ_DIR", shell.path())
        .env("SHELL", "/bin/sh")
        .current_dir(shell.path());
    let terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut terminal) = terminal.spawn() else {
        return support::left_out("script is missing (apt-get install bsdutils)");
    };
    let mut keys = terminal.stdin.take().unwrap();
    let mut out = BufReader::new(terminal.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "up");
    keys.write_all(b"\x03").unwrap();
    // The terminal shows it when it has been pressed.
    let mut echo = [0; 2];
    out.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"^C");
    fs::write(shell.path().join("pressed"), "").unwrap();
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    assert_eq!(said.trim(), "over");
    terminal.wait().unwrap();
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

/// As a parent starts it that does not want to hear of its own children.
#[test]
fn how_a_command_ended_is_known_where_the_ends_of_children_are_ignored() {
    let shell = Shell::new();
    shell.run(&["send", "inbound", "1"]).ok();
    let ignoring = |script: &str| {
        let mut command = Command::new("env");
        command
            .args(["--ignore-signal=CHLD", "sh", "-c", script])
            .env("FLOCKQ", env!("CARGO_BIN_EXE_flockq"))
            .env("FLOCKQ_DIR", shell.path());
        command.output().unwrap()
    };
    let locked = ignoring("exec $FLOCKQ lock state.json -- sh -c 'exit 7'");
    assert_eq!(locked.status.code(), Some(7), "{locked:?}");
    let worked = ignoring("exec $FLOCKQ run inbound -- sh -c 'echo ran; kill $PPID'");
    assert_eq!(worked.status.code(), Some(0), "{worked:?}");
    assert_eq!(String::from_utf8_lossy(&worked.stdout), "ran\n");
    assert_eq!(shell.run(&["list", "inbound"]).out, "");
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
    // The second one is the command.
    let locked = without_thread(&shell, 2, &lock).unwrap();
    assert_eq!(locked.status.code(), Some(1), "{locked:?}");
    assert!(!ran.exists());
    // Each thread's are counted by themselves: the main one's for the signals and the worker; the worker's third one for what the
    // command says, and its fourth one, which is the command.
    let run = [&["run", "inbound"][..], &touch].concat();
    for number in 1..=4 {
        let output = without_thread(&shell, number, &run).unwrap();
        assert_eq!(output.status.code(), Some(1), "thread {number}: {output:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.starts_with("flockq: "), "thread {number}: {error}");
        let is_thread = error.contains("cannot start a thread");
        assert_eq!(is_thread, number < 4, "thread {number}: {error}");
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
