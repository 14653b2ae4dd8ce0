//! The directory: its file system, its permissions, what lies about in it, the clock, the configuration.

use std::time::Duration;

use super::Severity::{Note, Problem, Risk};
use super::{Findings, word};
use crate::config::Config;
use crate::format::name::{
    CONFIG_FILE, CONSUMERS_DIRECTORY, COUNTERS_DIRECTORY, QueueName, WAITERS_DIRECTORY,
};
use crate::spool::Spool;
use crate::store::make_directories;
use crate::store::{Kind, LockKind, Open, Stat, Store, Watched};

/// Less free space than this, and less than a twentieth of all, is little.
const LITTLE_SPACE: u64 = 256 * 1024 * 1024;
/// What is older than this and has a temporary name was left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(600);
/// A file cannot have been changed this far in the future.
const AHEAD: Duration = Duration::from_secs(300);
/// 2024: no clock of a machine that runs this shows an earlier time.
const EARLIEST_S: i64 = 1_704_067_200;

/// The permission bits of the group and of everybody.
const GROUP_READS_AND_WRITES: u32 = 0o060;
const ALL_WRITE: u32 = 0o002;

pub(super) fn look(spool: &Spool, findings: &mut Findings) {
    let store = &*spool.shared().store;
    file_system(store, findings);
    locks(store, findings);
    watch(store, findings);
    configuration(store, findings);
    let Ok(root) = store.root_stat() else { return };
    permissions(spool, store, &root, findings);
    clock(store, findings);
    leftovers(store, findings);
}

fn file_system(store: &dyn Store, findings: &mut Findings) {
    if let Ok((name, false)) = store.file_system() {
        let text = format!(
            "the file system ({name}) is not known to let locks exclude each other; messages can be lost, move the directory to a local one"
        );
        findings.add(Problem, ".", text, "df -T .");
    }
    if let Ok((free, all)) = store.space()
        && free < LITTLE_SPACE
        && free < all / 20
    {
        let text = format!(
            "only {} MiB are free; on a full disk sends are refused, acks still work for a while",
            free / 1024 / 1024
        );
        findings.add(Risk, ".", text, "df -h .");
    }
}

/// Whether a lock excludes here: asked of a file that is made for it.
fn locks(store: &dyn Store, findings: &mut Findings) {
    let (held, name) = match store.temporary(".flockq-doctor.", ".tmp") {
        Ok(made) => made,
        Err(error) => {
            let text = format!("this user cannot make a file here: {error}");
            findings.add(Problem, ".", text, "ls -ld . && id");
            return;
        }
    };
    let excludes = || {
        let second = store.open(&name, Open::Read)?;
        Ok::<bool, std::io::Error>(
            held.try_lock(LockKind::Exclusive)? && !second.try_lock(LockKind::Exclusive)?,
        )
    };
    let found = excludes();
    let _ = store.remove(&name);
    let text = match found {
        Ok(true) => return,
        Ok(false) => "two holders can have the same lock; messages will be lost".to_owned(),
        Err(error) => format!("files cannot be locked: {error}"),
    };
    findings.add(Problem, ".", text, "df -T .");
}

fn watch(store: &dyn Store, findings: &mut Findings) {
    if let Ok(root) = store.root_stat() {
        let _ = make_directories(store, CONSUMERS_DIRECTORY, root.directory_mode());
    }
    let what = Watched {
        snapshot: String::new(),
        journal: String::new(),
        directory: CONSUMERS_DIRECTORY,
        slot: None,
    };
    if let Err(error) = store.watch(&what) {
        let text = format!(
            "the system does not report changes of files ({error}); waiting works, but every waiting receiver looks 20 times a second"
        );
        let command = "sysctl fs.inotify.max_user_instances fs.inotify.max_user_watches";
        findings.add(Risk, ".", text, command);
    }
}

fn configuration(store: &dyn Store, findings: &mut Findings) {
    match Config::load(store) {
        Err(error) => findings.add(Problem, CONFIG_FILE, error.to_string(), ""),
        Ok(config) => {
            for key in config.unknown {
                let text = format!("this version does not know {key}; it has no effect");
                findings.add(Note, CONFIG_FILE, text, "flockq config");
            }
        }
    }
}

fn permissions(spool: &Spool, store: &dyn Store, root: &Stat, findings: &mut Findings) {
    if root.mode & ALL_WRITE != 0 {
        let text = "everybody on this machine can change the queues and hold their locks";
        findings.add(Risk, ".", text, "chmod o-w .");
        // Whom the files are meant for can be asked when that is mended.
        return;
    }
    // A directory that a group shares has files that the group shares.
    if root.mode & 0o020 == 0 {
        return;
    }
    let locks = spool.shared().config.lock_directory.as_str();
    let directories = [
        "",
        ".gastown",
        locks,
        CONSUMERS_DIRECTORY,
        WAITERS_DIRECTORY,
        COUNTERS_DIRECTORY,
    ];
    for directory in directories {
        let below = |name: &str| match directory {
            "" => name.to_owned(),
            _ => format!("{directory}/{name}"),
        };
        if !directory.is_empty()
            && let Ok(Some(stat)) = store.stat(directory)
            && (stat.mode & 0o020 == 0 || stat.group != root.group)
        {
            let text = "the group that shares the directory cannot use what is in this part of it";
            let (group, path) = (root.group, word(directory));
            let command = format!("chgrp {group} {path} && chmod g+rwxs {path}");
            findings.add(Risk, directory, text, &command);
        }
        for name in store.list(directory).unwrap_or_default() {
            let is_ours =
                !directory.is_empty() || QueueName::of_file(&name).is_some() || name == CONFIG_FILE;
            let path = below(&name);
            let Ok(Some(stat)) = store.stat(&path) else {
                continue;
            };
            if !is_ours || stat.kind != Kind::Regular {
                continue;
            }
            let is_shared = stat.mode & GROUP_READS_AND_WRITES == GROUP_READS_AND_WRITES
                && stat.group == root.group;
            if !is_shared {
                let text = "the group that shares the directory cannot read and write this file";
                let (group, file) = (root.group, word(&path));
                let command = format!("chgrp {group} {file} && chmod g+rw {file}");
                findings.add(Risk, &path, text, &command);
            }
        }
    }
}

fn clock(store: &dyn Store, findings: &mut Findings) {
    let now = store.system().wall();
    if now.as_second() < EARLIEST_S {
        let text = format!("the clock shows {now}; delays and times to live follow it");
        findings.add(Problem, ".", text, "timedatectl");
        return;
    }
    let latest = now.as_nanosecond() + i128::try_from(AHEAD.as_nanos()).unwrap_or_default();
    for name in store.list("").unwrap_or_default() {
        if QueueName::of_file(&name).is_some()
            && let Ok(Some(stat)) = store.stat(&name)
            && stat.modified > latest
        {
            let text = "it was changed at a time that is in the future: the clock has been set back; messages that are delayed come late by as much";
            findings.add(Risk, &name, text, "timedatectl");
        }
    }
}

fn leftovers(store: &dyn Store, findings: &mut Findings) {
    let oldest = store.system().wall().as_nanosecond()
        - i128::try_from(LEFT_BEHIND.as_nanos()).unwrap_or_default();
    for name in store.list("").unwrap_or_default() {
        let Ok(Some(stat)) = store.stat(&name) else {
            continue;
        };
        let is_queues = QueueName::of_file(&name).is_some();
        let is_temporary = !is_queues && (name.contains(".tmp") || name.ends_with(".part"));
        if is_temporary && stat.kind == Kind::Regular && stat.modified < oldest {
            let text = "a program that died has left this temporary file behind";
            findings.add(Note, &name, text, &format!("rm -- {}", word(&name)));
        }
        let locked = name
            .strip_suffix(".lock")
            .and_then(QueueName::from_snapshot);
        if let Some(queue) = locked {
            let text = format!(
                "a program locks queue {queue} by this file; it does not keep out those that take the lock in the lock directory, and changes can overwrite each other"
            );
            findings.add(Risk, &name, text, &format!("fuser -v {}", word(&name)));
        }
        if let Some(queue) = damaged(&name) {
            let text = format!("a repair of queue {queue} has kept this damaged file");
            findings.add(Note, &name, text, &format!("rm -- {}", word(&name)));
        }
    }
}

/// The queue whose damaged file a repair has kept under this name.
fn damaged(name: &str) -> Option<QueueName> {
    let (file, number) = name.rsplit_once(".damaged-")?;
    number.parse::<u32>().ok()?;
    QueueName::of_file(file)
}
