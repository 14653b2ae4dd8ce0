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
    /// Gives both second names, before one of them loses its first. The oldest ones go.
    pub(super) fn keep(store: &dyn Store, name: &QueueName, number: u64) -> Self {
        let kept = |what: &str| format!("{REPLACED}/{}.{number}.{what}", name.snapshot());
        let versions = Self {
            before: kept("before"),
            after: kept("after"),
        };
        let written = format!("{WRITTEN}/{}", name.snapshot());
        let _ = make(store, REPLACED);
        for (from, to) in [
            (&written, &versions.before),
            (&name.snapshot(), &versions.after),
        ] {
            let _ = store.remove(to);
            let _ = store.link(from, to);
        }
        let prefix = format!("{}.", name.snapshot());
        let number = |file: &String| {
            let rest = file.strip_prefix(&prefix)?;
            rest.split('.').next()?.parse::<u64>().ok()
        };
        let mut old: Vec<(u64, String)> = store
            .list(REPLACED)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|file| Some((number(&file)?, file)))
            .collect();
        old.sort();
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
