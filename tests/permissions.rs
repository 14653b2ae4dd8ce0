//! What is made in a spool has the permissions that the spool's directory asks for, whatever the umask says and however its making
//! ends; and what is replaced keeps its own, also in a user namespace that does not know whose it is.

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
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flockq::{Receive, Spool};
use rustix::fs::XattrFlags;
use serde_json::json;

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
            let is_killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
            assert!(is_killed, "{when}: {}", error_of(&output));
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

/// What runs a program in a user namespace that knows nobody but its root; `None`, said loudly, where there is none.
fn namespace() -> Option<&'static str> {
    const UNSHARE: &str = "unshare --user --map-root-user";
    let words = UNSHARE.split(' ').skip(1);
    let can = Command::new("unshare").args(words).arg("true").output();
    if !rustix::process::geteuid().is_root() || !can.is_ok_and(|output| output.status.success()) {
        support::left_out(
            "a user namespace can be tried by root only, where the system allows it (sysctl user.max_user_namespaces), with unshare (util-linux)",
        );
        return None;
    }
    Some(UNSHARE)
}

/// A queue with one message.
fn with_one(mode: &str) -> tempfile::TempDir {
    let directory = support::spool(mode);
    let spool = Spool::open(directory.path()).unwrap();
    spool.queue("inbound").unwrap().send(&json!(1)).unwrap();
    directory
}

#[test]
fn a_file_whose_group_does_not_exist_in_a_user_namespace_is_replaced_there() {
    let Some(unshare) = namespace() else { return };
    for mode in support::MODES {
        let directory = with_one(mode);
        let spool = directory.path();
        let files =
            ["inbound.json", "inbound.json.journal", "flockq.json"].map(|name| spool.join(name));
        let of_another_group = || {
            for file in files.iter().filter(|file| file.exists()) {
                chown(file, None, Some(4100)).unwrap();
            }
        };
        let operations = [
            "--dir DIR send inbound 2",
            "--dir DIR checkpoint inbound",
            "--dir DIR config set inbound.backoff 1s",
            "--dir DIR convert inbound --to journal",
            "--dir DIR convert inbound --to plain",
            "--dir DIR pop inbound",
        ];
        for words in operations {
            of_another_group();
            let output = run(unshare, spool, words);
            assert!(
                output.status.success(),
                "{mode} {words}: {}",
                error_of(&output)
            );
        }
        let inbound = Spool::open(spool).unwrap().queue("inbound").unwrap();
        let delivery = inbound.receive(Receive::new()).unwrap().unwrap();
        assert_eq!(delivery.message::<u32>().unwrap(), 2, "{mode}");
        assert_eq!(inbound.len().unwrap(), 1, "{mode}");
    }
}

/// An access control list that lets one more user read and write: a version, then tag, permissions and number of each entry.
fn acl(user: u32) -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, u32::MAX),
        (0x02, 6, user),
        (0x04, 0, u32::MAX),
        (0x10, 6, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, number) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

#[test]
fn an_access_control_list_that_cannot_be_kept_in_a_user_namespace_is_told_and_not_cut_short() {
    const OF_FILE: &str = "system.posix_acl_access";
    const OF_NEW: &str = "system.posix_acl_default";
    let Some(unshare) = namespace() else { return };
    let directory = with_one("plain");
    let spool = directory.path();
    let file = spool.join("inbound.json");
    let list = acl(4001);
    if let Err(error) = rustix::fs::setxattr(&file, OF_FILE, &list, XattrFlags::empty()) {
        support::left_out(&format!(
            "the file system of {} has no access control lists ({error}); set TMPDIR to one that has",
            spool.display()
        ));
        return;
    }
    let kept = || {
        let mut found = vec![0; 256];
        let size = rustix::fs::getxattr(&file, OF_FILE, &mut found[..]).unwrap();
        found.truncate(size);
        found
    };
    let output = run(unshare, spool, "--dir DIR send inbound 2");
    let error = error_of(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("access control list"), "{error}");
    let inbound = Spool::open(spool).unwrap().queue("inbound").unwrap();
    assert_eq!(inbound.len().unwrap(), 1);
    assert_eq!(kept(), list);
    // What a new file has anyway need not be given to it.
    rustix::fs::setxattr(spool, OF_NEW, &list, XattrFlags::empty()).unwrap();
    let output = run(unshare, spool, "--dir DIR send inbound 2");
    assert!(output.status.success(), "{}", error_of(&output));
    assert_eq!(inbound.len().unwrap(), 2);
    assert_eq!(kept(), list);
}
