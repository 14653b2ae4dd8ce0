//! The command line: every command, every exit code, one line for every error.
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
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shell::{Shell, text};

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
fn update_changes_what_it_names_and_prints_how_many() {
    let shell = Shell::new();
    shell
        .run(&[
            "send",
            "inbound",
            "{\"id\":\"a\"}",
            "--delay",
            "1h",
            "--ttl",
            "2h",
        ])
        .ok();
    assert_eq!(shell.run(&["update", "inbound", "a", "[1e-7]"]).ok(), "1\n");
    let changed = shell.run(&["get", "inbound", "a"]).lines().remove(0);
    assert_eq!(text(&changed, "state"), "delayed");
    let rush = ["--delay", "0s", "--priority", "urgent", "--no-ttl"];
    let rush = [&["update", "inbound", "a"][..], &rush].concat();
    assert_eq!(shell.run(&rush).ok(), "1\n");
    let kept = fs::read_to_string(shell.path().join("inbound.json")).unwrap();
    assert!(
        kept.contains("{\"message\":[1e-7],\"attempts\":0,") && kept.contains("\"urgent\""),
        "{kept}"
    );
    assert!(
        !kept.contains("not_before") && !kept.contains("expires"),
        "{kept}"
    );
    shell
        .feed(&["update", "inbound", "a", "-"], b"{\"n\": 2}\n")
        .ok();
    assert_eq!(shell.receive()["message"]["n"], 2);
    let none = shell.run(&["update", "inbound", "nobody", "1"]);
    assert_eq!((none.code, none.out.as_str()), (3, "0\n"));
    shell
        .run(&["update", "inbound", "a"])
        .failed(2, "names nothing");
    shell
        .run(&["update", "inbound", "a", "{"])
        .failed(1, "JSON");
    let both = ["update", "inbound", "a", "--ttl", "1s", "--no-ttl"];
    shell.run(&both).failed_usage();
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
    let metrics = shell.run(&["stats", "--prometheus"]).ok();
    let readable = |queue: &str, value: u8| {
        metrics.lines().any(|line| {
            line.starts_with("flockq_queue_readable{")
                && line.ends_with(&format!("queue=\"{queue}\"}} {value}"))
        })
    };
    assert!(readable("inbound", 1) && readable("state", 0), "{metrics}");
    assert!(metrics.contains("flockq_queue_bytes{") && !metrics.contains("bytes{spool=\"state"));
}

#[test]
fn a_queue_that_cannot_be_looked_at_does_not_hide_how_the_others_are() {
    let shell = Shell::new();
    for queue in ["a", "b", "c"] {
        shell.run(&["send", queue, "1"]).ok();
    }
    let lock = shell.path().join(".gastown/locks/a.json.lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    for command in ["check", "stats"] {
        let partly = shell.run(&[command]);
        assert_eq!(partly.code, 1, "{command}: {}", partly.error);
        let queues: Vec<&str> = partly
            .out
            .lines()
            .filter_map(|line| line.split([':', ' ']).next())
            .filter(|word| *word != "queue")
            .collect();
        assert_eq!(queues, ["b", "c"], "{command}");
        assert!(partly.error.contains("a.json.lock"), "{}", partly.error);
        assert_eq!(partly.error.lines().count(), 1, "{}", partly.error);
        shell.run(&[command, "a"]).failed(1, "a.json.lock");
    }
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
        "update",
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
