//! A directory that others can write to: what somebody plants in it is not followed, not blocked on and not written to; users of
//! one group share it, and nobody else reads it.

#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flockq::{Receive, Spool, Sync};
use serde_json::json;

/// Every place where flockq reads or writes, by the mode in which it does.
const PLACES: [(&str, &str); 16] = [
    ("plain", "inbound.json"),
    ("journal", "inbound.json"),
    ("journal", "inbound.json.journal"),
    ("plain", "flockq.json"),
    ("plain", ".gastown"),
    ("plain", ".gastown/locks"),
    ("plain", ".gastown/locks/inbound.json.lock"),
    ("plain", ".gastown/locks/inbound.json.guard"),
    ("journal", ".gastown/locks/inbound.json.wake"),
    ("journal", ".gastown/locks/inbound.json.checkpoint"),
    ("journal", ".gastown/written"),
    ("journal", ".gastown/reserve"),
    ("journal", ".gastown/consumers"),
    ("journal", ".gastown/waiters"),
    ("plain", ".gastown/counters"),
    ("plain", ".gastown/counters/inbound.json"),
];

const OBJECTS: [&str; 7] = [
    "symlink to a file",
    "symlink to a directory",
    "dangling symlink",
    "fifo",
    "directory",
    "device",
    "hard link",
];

const OPERATIONS: &[&[&str]] = &[
    &["send", "inbound", "1"],
    &["receive", "inbound", "--wait", "50ms"],
    &["pop", "inbound"],
    &["checkpoint", "inbound"],
    &["list", "inbound"],
    &["stats", "inbound"],
    &["config", "set", "inbound.backoff", "1s"],
    &["check"],
    &["doctor"],
];

fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).status();
    status.is_ok_and(|status| status.success())
}

/// Puts an object in a place; false where the system does not allow that.
fn plant(object: &str, place: &Path, canary: &Path) -> bool {
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    let _ = fs::remove_dir_all(place);
    let _ = fs::remove_file(place);
    let path = place.to_str().unwrap();
    match object {
        "symlink to a file" => std::os::unix::fs::symlink(canary.join("file"), place).is_ok(),
        "symlink to a directory" => std::os::unix::fs::symlink(canary.join("dir"), place).is_ok(),
        "dangling symlink" => std::os::unix::fs::symlink(canary.join("new"), place).is_ok(),
        "fifo" => run("mkfifo", &[path]),
        "directory" => fs::create_dir(place).is_ok(),
        "device" => run("mknod", &[path, "c", "1", "5"]),
        _ => fs::hard_link(canary.join("file"), place).is_ok(),
    }
}

/// What is in the place that somebody wants to be written to.
fn canaries(canary: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for directory in [canary, &canary.join("dir")] {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let found = entry.metadata().unwrap();
            let content = fs::read(entry.path()).unwrap_or_default();
            let name = entry.path().display().to_string();
            all.push(format!("{name} {:o} {content:?}", found.mode()));
        }
    }
    all.sort();
    all
}

#[test]
fn what_somebody_plants_is_not_followed_not_blocked_on_and_not_written_to() {
    let mut tried = 0;
    for (mode, place) in PLACES {
        for object in OBJECTS {
            let is_directory = !place.contains(".json");
            if object == "directory" && is_directory {
                continue;
            }
            let temporary = tempfile::tempdir().unwrap();
            let canary = temporary.path().join("canary");
            fs::create_dir_all(canary.join("dir")).unwrap();
            fs::write(canary.join("file"), "[]\n").unwrap();
            let spool = temporary.path().join("spool");
            fs::create_dir(&spool).unwrap();
            let config = json!({"version": 1, "default": {"mode": mode}}).to_string();
            fs::write(spool.join("flockq.json"), config).unwrap();
            if !plant(object, &spool.join(place), &canary) {
                assert!(object == "device", "{object} at {place}");
                support::left_out(&format!("this user cannot make a {object}"));
                continue;
            }
            let before = canaries(&canary);
            for operation in OPERATIONS {
                let output = Command::new("timeout")
                    .args(["20", env!("CARGO_BIN_EXE_flockq"), "--dir"])
                    .arg(&spool)
                    .args(*operation)
                    .stdin(Stdio::null())
                    .output()
                    .unwrap();
                let error = String::from_utf8_lossy(&output.stderr);
                let context = format!("{object} at {place}, {operation:?}: {error}");
                let code = output.status.code().unwrap();
                assert!([0, 1, 2, 3].contains(&code), "{code} {context}");
                assert!(!error.contains("panicked"), "{context}");
                // What fails says which path is wrong.
                assert!(
                    code != 1 || !error.is_empty() || !output.stdout.is_empty(),
                    "{context}"
                );
                assert_eq!(canaries(&canary), before, "{context}");
                tried += 1;
            }
        }
    }
    support::proved("operations beside something planted", tried);
}

#[test]
fn whoever_cuts_the_wake_page_short_or_takes_it_away_kills_nobody() {
    let directory = support::spool("journal");
    let queue = Spool::builder(directory.path())
        .sync(Sync::Off)
        .open()
        .unwrap()
        .queue("inbound")
        .unwrap();
    let page = directory.path().join(".gastown/locks/inbound.json.wake");
    for round in 0..40 {
        queue.send(&json!(round)).unwrap();
        match round % 4 {
            0 => fs::File::create(&page).unwrap().set_len(0).unwrap(),
            1 => fs::write(&page, [0xff; 4096]).unwrap(),
            2 => fs::remove_file(&page).unwrap(),
            _ => fs::write(&page, b"short").unwrap(),
        }
        let how = Receive::new().wait(std::time::Duration::from_millis(20));
        queue.receive(how).unwrap().unwrap().ack().unwrap();
    }
}

/// Runs the command line as another user.
fn as_user(
    program: &Path,
    user: u32,
    group: u32,
    umask: &str,
    spool: &Path,
    words: &str,
) -> Output {
    let command = format!(
        "umask {umask}; exec setpriv --reuid={user} --regid={group} --clear-groups {} --dir {} {words}",
        program.display(),
        spool.display()
    );
    Command::new("sh").args(["-c", &command]).output().unwrap()
}

#[test]
fn two_users_of_one_group_share_a_directory_and_nobody_else_does() {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || !run("setpriv", &["--version"]) {
        support::left_out("other users can be tried by root only, with setpriv (util-linux)");
        return;
    }
    for mode in support::MODES {
        let temporary = tempfile::tempdir().unwrap();
        fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = temporary.path().join("flockq");
        fs::copy(env!("CARGO_BIN_EXE_flockq"), &program).unwrap();
        let spool = temporary.path().join("spool");
        fs::create_dir(&spool).unwrap();
        std::os::unix::fs::chown(&spool, Some(4001), Some(4100)).unwrap();
        fs::set_permissions(&spool, fs::Permissions::from_mode(0o2770)).unwrap();
        let ask = |user: u32, group: u32, umask: &str, words: &str| {
            as_user(&program, user, group, umask, &spool, words)
        };
        let one = |words: &str| {
            let output = ask(4001, 4100, "077", words);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{mode} {words}: {error}");
            String::from_utf8(output.stdout).unwrap()
        };
        let other = |words: &str| {
            let output = ask(4002, 4100, "000", words);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{mode} {words}: {error}");
            String::from_utf8(output.stdout).unwrap()
        };
        one(&format!("config set default.mode {mode}"));
        one("send inbound '{\"id\":\"a\"}'");
        other("send inbound '{\"id\":\"b\"}'");
        assert!(other("pop inbound").contains("\"id\":\"a\""));
        other("checkpoint inbound");
        other("config set inbound.backoff 1s");
        let line: serde_json::Value = serde_json::from_str(&one("receive inbound")).unwrap();
        assert_eq!(line["id"], "b");
        other(&format!(
            "ack inbound {}",
            line["receipt"].as_str().unwrap()
        ));
        one("send outbound 2");
        other("send outbound 1");
        assert_eq!(one("doctor"), "nothing is wrong\n", "{mode}");
        // Whatever their umask says, both can use every file, and nobody outside the group can.
        for entry in walk(&spool) {
            let found = fs::symlink_metadata(&entry).unwrap();
            let path = entry.display();
            assert_eq!(found.gid(), 4100, "{path}");
            assert_eq!(found.mode() & 0o007, 0, "{path} {:o}", found.mode());
            assert_eq!(found.mode() & 0o060, 0o060, "{path} {:o}", found.mode());
        }
        for words in ["list inbound", "send inbound 1", "doctor", "lock x -- true"] {
            let output = ask(4003, 4300, "022", words);
            assert!(!output.status.success(), "{mode} {words}");
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(
                error.contains("ermission denied"),
                "{mode} {words}: {error}"
            );
        }
    }
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            all.extend(walk(&entry.path()));
        }
        all.push(entry.path());
    }
    all
}

/// A file system on which `flock` says yes to everybody, or is none.
#[test]
fn a_file_system_whose_locks_exclude_nobody_is_refused() {
    if Command::new("strace").arg("-V").output().is_err() {
        support::left_out("strace is missing (apt-get install strace)");
        return;
    }
    for (inject, said) in [
        ("retval=0", "lets two holders have the same lock"),
        ("error=ENOLCK", "locks do not work"),
    ] {
        let spool = support::spool("plain");
        let output = Command::new("strace")
            .args([
                "-f",
                "-o",
                "/dev/null",
                "-e",
                &format!("inject=flock:{inject}"),
            ])
            .arg(env!("CARGO_BIN_EXE_flockq"))
            .args(["send", "inbound", "1"])
            .env("FLOCKQ_DIR", spool.path())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{inject}: {error}");
        assert!(error.contains(said), "{inject}: {error}");
        assert!(!spool.path().join("inbound.json").exists(), "{inject}");
    }
}
