//! The versions that are kept of a snapshot which another program has replaced, and the log of that. `docs/format.md`,
//! section 17. All of it is disposable: what cannot be kept is not.

use std::io;

use serde_json::json;

use super::foreign::{WRITTEN, make};
use crate::format::name::QueueName;
use crate::index::merge::Merged;
use crate::store::own_file::OwnFile;
use crate::store::{LockKind, Open, Stat, Store};

/// What other programs replaced, and what they put in its place.
const REPLACED: &str = ".gastown/replaced";
/// So many versions are kept of what was replaced and of what replaced it.
const KEPT: usize = 16;
/// What was replaced, when, and which messages that concerned: a line for each time, of all queues.
const LOG: &str = ".gastown/replaced/log.jsonl";
/// What was in it until it was begun anew.
const LOG_BEFORE: &str = ".gastown/replaced/log.1.jsonl";
/// The log is begun anew when it is longer.
const LOG_MAX: u64 = 1024 * 1024;
/// So many ids are named in one line of the log.
const NAMED: usize = 100;

/// The two versions of a snapshot, as they are kept.
pub(super) struct Versions {
    before: String,
    after: String,
}

impl Versions {
    fn of(name: &QueueName, number: u64) -> Self {
        let kept = |what: &str| format!("{REPLACED}/{}.{number}.{what}", name.snapshot());
        Self {
            before: kept("before"),
            after: kept("after"),
        }
    }

    /// Gives both second names, before one of them loses its first. The oldest ones go. Their number is above all that are there,
    /// and at least the `count` of replacements, which begins anew with a new journal.
    pub(super) fn keep(store: &dyn Store, name: &QueueName, count: u64) -> Self {
        let _ = make(store, REPLACED);
        let (written, snapshot) = (format!("{WRITTEN}/{}", name.snapshot()), name.snapshot());
        let last = kept(store, name).iter().map(|(number, _)| *number).max();
        let last = last.unwrap_or_default();
        let id = |file: &str| store.stat(file).ok().flatten().map(|stat| stat.id);
        let found = Self::of(name, last);
        // A mending that was cut short has kept these already; one that fails again and again would drive out all others.
        let is_again = id(&found.after).is_some_and(|after| id(&snapshot) == Some(after))
            && id(&found.before) == id(&written);
        if is_again {
            return found;
        }
        let number = count.max(last.saturating_add(1));
        let versions = Self::of(name, number);
        for (from, to) in [(&written, &versions.before), (&snapshot, &versions.after)] {
            let _ = store.remove(to);
            let _ = store.link(from, to);
        }
        let mut old = kept(store, name);
        // What was just made is the last to go, whatever number somebody has given to a file.
        old.sort_by_key(|(found, _)| (*found == number, *found));
        let many = old.len().saturating_sub(KEPT);
        for (_, file) in old.drain(..many) {
            let _ = store.remove(&format!("{REPLACED}/{file}"));
        }
        versions
    }

    /// Adds a line to the log.
    pub(super) fn log(&self, store: &dyn Store, name: &QueueName, merged: &Merged, is_known: bool) {
        let named = |ids: &[String]| ids.iter().take(NAMED).cloned().collect::<Vec<_>>();
        let line = json!({
            "at": store.system().wall().to_string(),
            "queue": name.as_str(),
            "added": merged.added.len(),
            "added_ids": named(&merged.added),
            "removed": merged.removed.len(),
            "removed_ids": named(&merged.removed),
            "before_is_known": is_known,
            "before": self.before,
            "after": self.after,
        });
        let _ = append(store, &format!("{line}\n"));
    }
}

/// The versions of a queue that are there, each with its number. A queue `a.json.5` has some that begin like one of the queue
/// `a`: `a.json.5.json.1.before`.
fn kept(store: &dyn Store, name: &QueueName) -> Vec<(u64, String)> {
    let prefix = format!("{}.", name.snapshot());
    let number = |file: &str| {
        let (number, what) = file.strip_prefix(&prefix)?.split_once('.')?;
        let is_version = matches!(what, "before" | "after");
        is_version.then(|| number.parse().ok()).flatten()
    };
    let files = store.list(REPLACED).unwrap_or_default().into_iter();
    files
        .filter_map(|file| Some((number(&file)?, file)))
        .collect()
}

/// Adds a line behind whatever is there: the log is one for all queues, and the lock of each is another one.
fn append(store: &dyn Store, line: &str) -> io::Result<()> {
    let mode = store.root_stat()?.file_mode();
    let open = || OwnFile::open(store, LOG, Open::Append { mode });
    let mut log = open()?;
    if log.stat()?.size > LOG_MAX {
        let _ = put_aside(store, &log);
        log = open()?;
    }
    log.write_all(line.as_bytes())
}

/// Gives a long log another name. Only who has it locked, and finds it still at its path, does that: nobody puts aside the one that
/// another process has just begun. Who has opened it before adds his line to it under the other name.
fn put_aside(store: &dyn Store, log: &OwnFile) -> io::Result<()> {
    if !log.try_lock(LockKind::Exclusive)? {
        return Ok(());
    }
    let is_there = |stat: Option<Stat>| stat.is_some_and(|stat| stat.id == log.id);
    let looked = store.stat(LOG).map(is_there);
    let done = looked.and_then(|is_there| {
        if is_there {
            store.rename(LOG, LOG_BEFORE)
        } else {
            Ok(())
        }
    });
    // Explicitly: a child that was forked meanwhile shares the descriptor.
    let _ = log.unlock();
    done
}

#[cfg(all(test, not(shuttle)))]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::store::real::RealStore;

    fn store() -> (tempfile::TempDir, RealStore) {
        let directory = tempfile::tempdir().unwrap();
        let store = RealStore::open(directory.path()).unwrap();
        make(&store, REPLACED).unwrap();
        (directory, store)
    }

    fn read(store: &RealStore, path: &str) -> String {
        let bytes = store.open(path, Open::Read).unwrap().read_all().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_line_that_is_added_to_the_log_at_the_same_time_is_there() {
        const WRITERS: usize = 4;
        const LINES: usize = 4000;
        let (_directory, store) = store();
        let barrier = Barrier::new(WRITERS);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (store, barrier) = (&store, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for number in 0..LINES {
                        append(store, &format!("{writer} {number} .\n")).unwrap();
                    }
                });
            }
        });
        let log = read(&store, LOG);
        let mut lines: Vec<_> = log.lines().collect();
        lines.sort_unstable();
        let numbers = 0..WRITERS * LINES;
        let mut expected: Vec<_> = numbers
            .map(|number| format!("{} {} .", number / LINES, number % LINES))
            .collect();
        expected.sort_unstable();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_long_log_is_put_aside_once_whoever_finds_it_too_long() {
        let (_directory, store) = store();
        let long = format!("{}\n", "-".repeat(usize::try_from(LOG_MAX).unwrap()));
        append(&store, &long).unwrap();
        let open = || OwnFile::open(&store, LOG, Open::Append { mode: 0o600 }).unwrap();
        let (one, other) = (open(), open());
        // Both have found it too long; while one puts it aside, the other goes on, and when it is done, finds another log.
        assert!(one.try_lock(LockKind::Exclusive).unwrap());
        put_aside(&store, &other).unwrap();
        assert_eq!(read(&store, LOG), long);
        one.unlock().unwrap();
        append(&store, "next\n").unwrap();
        put_aside(&store, &other).unwrap();
        other.write_all(b"last\n").unwrap();
        assert_eq!(read(&store, LOG), "next\n");
        assert_eq!(read(&store, LOG_BEFORE), format!("{long}last\n"));
    }
}
