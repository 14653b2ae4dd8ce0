//! The versions that are kept of a snapshot which another program has replaced, and the log of that. `docs/format.md`,
//! section 17. All of it is disposable: what cannot be kept is not.

use std::io;

use serde_json::json;

use super::foreign::{WRITTEN, make};
use crate::format::name::QueueName;
use crate::index::merge::Merged;
use crate::store::{Open, Store};

/// What other programs replaced, and what they put in its place.
const REPLACED: &str = ".gastown/replaced";
/// So many versions are kept of what was replaced and of what replaced it.
const KEPT: usize = 16;
/// The log of what was replaced is begun anew when it is longer.
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

fn append(store: &dyn Store, line: &str) -> io::Result<()> {
    let path = format!("{REPLACED}/log.jsonl");
    let mode = store.root_stat()?.file_mode();
    let mut file = store.open(&path, Open::Shared { mode })?;
    if file.stat()?.size > LOG_MAX {
        store.rename(&path, &format!("{REPLACED}/log.1.jsonl"))?;
        file = store.open(&path, Open::Shared { mode })?;
    }
    file.write_at(line.as_bytes(), file.stat()?.size)
}
