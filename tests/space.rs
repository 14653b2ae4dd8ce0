//! Space that runs out: on small file systems of their own, and by the system's limit on the size of a file. What does not fit
//! leaves nothing behind, and what makes room still works.

#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod disk;
mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use disk::image::{FileSystem, Mounted};
use flockq::{ErrorKind, List, Message, Receive, Spool};
use serde_json::json;

const MESSAGES: usize = 100;

/// Takes all the space that there is; freed when it is removed.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [65_536, 4096, 512, 1] {
        let part = vec![b'x'; size];
        while file.write_all(&part).is_ok() {}
    }
    let _ = file.sync_all();
}

fn drain(file_system: FileSystem) {
    if !disk::can(file_system, &[]) {
        return;
    }
    let temporary = support::in_memory();
    let image = temporary.path().join("image");
    file_system.make(&image).unwrap();
    let place = temporary.path().join("mounted");
    let mounted = Mounted::mount(file_system, &image, &place).unwrap();
    let spool = Spool::builder(place.join("spool")).create(true);
    let spool = spool.open().unwrap();
    let inbound = spool.queue("inbound").unwrap();
    for number in 0..MESSAGES {
        inbound.send(&json!({"id": format!("m{number}")})).unwrap();
    }
    let filler = place.join("filler");
    fill(&filler);
    let large = json!("x".repeat(200_000));
    let refuse = || {
        let error = inbound.send(&large).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(error.errno(), Some(libc_enospc()), "{error}");
    };
    refuse();
    for number in 0..MESSAGES {
        let delivery = inbound.receive(Receive::new()).unwrap().unwrap();
        assert_eq!(delivery.id(), format!("m{number}"));
        delivery.ack().unwrap();
        // On btrfs, what of a failed send was written keeps its space.
        if number % 10 == 0 && file_system != FileSystem::Btrfs {
            refuse();
        }
    }
    assert_eq!(inbound.len().unwrap(), 0, "{file_system:?}");
    assert!(inbound.check().unwrap().is_sound());
    std::fs::remove_file(&filler).unwrap();
    inbound.send(&large).unwrap();
    assert_eq!(inbound.len().unwrap(), 1);
    drop((inbound, spool));
    drop(mounted);
    support::proved(
        &format!("acks on a {file_system:?} without space"),
        MESSAGES,
    );
}

fn libc_enospc() -> i32 {
    rustix::io::Errno::NOSPC.raw_os_error()
}

#[test]
fn on_a_full_ext4_sends_fail_and_everything_can_be_taken_out() {
    drain(FileSystem::Ext4);
}

#[test]
fn on_a_full_xfs_sends_fail_and_everything_can_be_taken_out() {
    drain(FileSystem::Xfs);
}

#[test]
fn on_a_full_btrfs_sends_fail_and_everything_can_be_taken_out() {
    drain(FileSystem::Btrfs);
}

/// The command line, in a process whose files may have no more than so many kibibytes: the write that goes beyond is cut short.
fn limited(kibibytes: usize, directory: &Path, words: &[&str]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {kibibytes}; exec \"$@\"");
    Command::new("bash")
        .args(["-c", &script, "bash", env!("CARGO_BIN_EXE_flockq"), "--dir"])
        .arg(directory)
        .args(words)
        .output()
        .unwrap()
}

#[test]
fn where_a_file_may_not_grow_a_send_fails_and_leaves_no_half_message() {
    for mode in support::MODES {
        let directory = support::spool(mode);
        // Somebody who keeps the queue open, so that no process folds the journal when it ends.
        let spool = Spool::open(directory.path()).unwrap();
        let inbound = spool.queue("inbound").unwrap();
        let body = "x".repeat(1500);
        let (mut sent, mut refused) = (BTreeSet::new(), 0);
        for number in 0..40 {
            let id = format!("m{number}");
            let payload = json!({"id": id, "body": body}).to_string();
            let done = limited(24, directory.path(), &["send", "inbound", &payload]);
            let error = String::from_utf8_lossy(&done.stderr);
            match done.status.code() {
                Some(0) => assert!(sent.insert(id)),
                Some(1) if error.contains("File too large") => refused += 1,
                code => panic!("{mode}: exit {code:?}: {error}"),
            }
        }
        assert!(sent.len() > 5 && refused > 5, "{mode}: {sent:?}");
        assert!(inbound.check().unwrap().is_sound(), "{mode}");
        let found = inbound.list(&List::new().limit(1000)).unwrap().envelopes;
        let found: BTreeSet<String> = found
            .iter()
            .map(|envelope| envelope.id().unwrap().to_owned())
            .collect();
        assert_eq!(found, sent, "{mode}");
        // Behind what was cut off, the next one fits.
        inbound.send(Message::new(&json!("next"))).unwrap();
        assert_eq!(inbound.len().unwrap(), sent.len() as u64 + 1);
        support::proved(&format!("writes cut short by a limit ({mode})"), refused);
    }
}
