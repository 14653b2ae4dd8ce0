//! Checking the files of a queue, and saving what can be saved of damaged ones.

use std::path::PathBuf;

use crate::config::Mode;
use crate::error::{Error, ErrorKind, Result};
use crate::queue::Queue;
use crate::store::repair;

/// What a check found, or what a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The queue.
    pub queue: String,
    /// How it commits.
    pub mode: Mode,
    /// The messages that are there.
    pub messages: u64,
    /// How often another program has replaced the file of a journalled queue; `.gastown/replaced` has what it replaced.
    pub replaced: u64,
    /// What breaks a rule of `docs/format.md`; of a repair: what could not be saved.
    pub damage: Vec<Finding>,
    /// What is no damage and worth knowing.
    pub notes: Vec<String>,
    /// The damaged files, as a repair has kept them.
    pub kept: Vec<PathBuf>,
}

/// One piece of damage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// In bytes from its start.
    pub offset: Option<u64>,
    /// The rule that is broken.
    pub rule: String,
}

impl Report {
    /// The report as one JSON object, whose keys are the names of its fields.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts and numbers; a path that is no text is shown with replacements.
        let shown = |path: &PathBuf| path.to_string_lossy().into_owned();
        let damage: Vec<_> = self
            .damage
            .iter()
            .map(|found| {
                serde_json::json!({ "path": shown(&found.path), "offset": found.offset, "rule": found.rule })
            })
            .collect();
        let kept: Vec<String> = self.kept.iter().map(shown).collect();
        serde_json::json!({
            "queue": self.queue, "mode": self.mode.name(), "messages": self.messages, "replaced": self.replaced,
            "damage": damage, "notes": self.notes, "kept": kept,
        })
        .to_string()
    }

    /// Whether there is no damage.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

impl Finding {
    pub(crate) fn new(
        path: impl Into<PathBuf>,
        offset: Option<u64>,
        rule: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            offset,
            rule: rule.into(),
        }
    }

    /// The damage that an error tells of; other errors are no damage.
    pub(crate) fn of(error: Error) -> Result<Self> {
        if error.kind() != ErrorKind::Corrupt {
            return Err(error);
        }
        let path = error
            .path()
            .map(std::path::Path::to_owned)
            .unwrap_or_default();
        // Path and offset are told beside it.
        let rule = error
            .rule()
            .map_or_else(|| error.to_string(), str::to_owned);
        Ok(Self::new(path, error.offset(), rule))
    }
}

impl Queue {
    /// Checks every byte of the queue's files against the rules of `docs/format.md`. Damage is in the report and no error.
    pub fn check(&self) -> Result<Report> {
        let handle = &self.handle;
        let attached = handle.attached()?;
        let _hold = attached.hold_shared(&handle.patience())?;
        repair::check(&*handle.spool.store, &handle.name)
    }

    /// Saves what can be saved of a damaged queue, message by message, and keeps the damaged files beside it as
    /// `NAME.json.damaged-N` and `NAME.json.journal.damaged-N`. The report says what could not be saved. Nothing is done
    /// to a sound queue. A message may be delivered again whose ack was in what is lost.
    pub fn repair(&self) -> Result<Report> {
        let handle = &self.handle;
        handle.with_lock(|attached, hold| {
            // Whatever is known of the queue is of no use afterwards.
            attached.entry.state().files.forget();
            repair::repair(&*handle.spool.store, &handle.name, hold)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_rule_is_told_alone_whatever_the_directory_is_called() {
        let error = Error::corrupt("a: b/inbound.json", 5, "it is: no array; it was left");
        let found = Finding::of(error).unwrap();
        assert_eq!(found.rule, "it is: no array; it was left");
        assert_eq!(found.offset, Some(5));
        assert_eq!(found.path, Path::new("a: b/inbound.json"));
        let other = Error::new(ErrorKind::Io, "not damaged");
        assert_eq!(Finding::of(other).unwrap_err().kind(), ErrorKind::Io);
    }
}
