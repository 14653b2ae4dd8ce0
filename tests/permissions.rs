//! What is made in a spool has the permissions that the spool's directory asks for, whatever the umask says and however its making
//! ends.

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
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What makes everything that there is in a spool.
const OPERATIONS: [&str; 4] = [
    "init DIR",
    "--dir DIR send inbound 1",
    "--dir DIR receive inbound --wait 10ms",
    "--dir DIR checkpoint inbound",
];

/// A directory that a group shares.
fn shared() -> (tempfile::TempDir, PathBuf) {
    let temporary = support::in_memory();
    let spool = temporary.path().join("spool");
    fs::create_dir(&spool).unwrap();
    fs::set_permissions(&spool, fs::Permissions::from_mode(0o770)).unwrap();
    (temporary, spool)
}

/// Runs the command line in a shell of its own, behind `before`. `DIR` stands for the spool.
fn run(before: &str, spool: &Path, words: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_flockq");
    let words = words.replace("DIR", spool.to_str().unwrap());
    let command = format!("{before} {program} {words}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).stdin(Stdio::null());
    shell.output().unwrap()
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Everything below a directory, with its permissions.
fn walk(directory: &Path) -> Vec<(PathBuf, fs::Metadata)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let found = fs::symlink_metadata(entry.path()).unwrap();
        if found.is_dir() {
            all.extend(walk(&entry.path()));
        }
        all.push((entry.path(), found));
    }
    all
}

/// Everything but what is still being made can be used by the group.
fn require_shared(spool: &Path, when: &str) {
    for (path, found) in walk(spool) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_unfinished = [".new", ".tmp", ".part"]
            .iter()
            .any(|end| name.ends_with(end));
        let wanted = if found.is_dir() { 0o770 } else { 0o660 };
        let mode = found.mode() & 0o777;
        assert!(
            mode == wanted || is_unfinished,
            "{when}: {} has {mode:o}",
            path.display()
        );
    }
}

/// The next who comes makes all of it, and nothing unfinished is left.
fn require_finished(spool: &Path, when: &str) {
    for words in OPERATIONS {
        let output = run("umask 077; exec", spool, words);
        assert!(
            output.status.success(),
            "{when}, {words}: {}",
            error_of(&output)
        );
    }
    require_shared(spool, when);
    let left = walk(spool).into_iter().map(|(path, _)| path);
    let left: Vec<_> = left
        .filter(|path| path.extension().is_some_and(|end| end == "new"))
        .collect();
    assert!(left.is_empty(), "{when}: {left:?}");
}

#[test]
fn what_is_made_by_who_has_no_descriptors_left_can_be_used_by_the_group() {
    let mut failed = 0;
    for descriptors in 4..20 {
        for words in OPERATIONS {
            let (_temporary, spool) = shared();
            let before = format!("umask 077; ulimit -n {descriptors}; exec");
            let output = run(&before, &spool, words);
            failed += usize::from(!output.status.success());
            let when = format!("{words} with {descriptors} descriptors");
            require_shared(&spool, &when);
            require_finished(&spool, &when);
        }
    }
    assert!(failed > 4, "{failed}");
}

#[test]
fn what_is_made_by_who_is_killed_at_it_can_be_used_by_the_group() {
    if Command::new("strace").arg("-V").output().is_err() {
        support::left_out("strace is missing (apt-get install strace)");
        return;
    }
    let mut killed = 0;
    for call in ["mkdirat", "fchmod", "renameat2", "linkat", "unlinkat"] {
        for number in 1.. {
            let (_temporary, spool) = shared();
            let inject = format!("inject={call}:signal=KILL:when={number}");
            let before = format!("umask 077; exec strace -f -qq -o /dev/null -e {inject}");
            let output = run(&before, &spool, "--dir DIR send inbound 1");
            if output.status.success() {
                break;
            }
            let when = format!("killed at {call} {number}");
            require_shared(&spool, &when);
            require_finished(&spool, &when);
            killed += 1;
        }
    }
    assert!(killed > 20, "{killed}");
    // Where the file system or a sandbox knows neither of the two calls.
    for inject in ["linkat:error=EPERM", "renameat2:error=EINVAL"] {
        let (_temporary, spool) = shared();
        let before = format!("umask 077; exec strace -f -qq -o /dev/null -e inject={inject}");
        let output = run(&before, &spool, "--dir DIR send inbound 1");
        assert!(output.status.success(), "{inject}: {}", error_of(&output));
        require_shared(&spool, inject);
        require_finished(&spool, inject);
    }
}
