//! Names: of queues, and of the files that belong to them.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// The configuration's file.
pub(crate) const CONFIG_FILE: &str = "flockq.json";
/// Where lock files are, unless the configuration says otherwise: where existing programs have them.
pub(crate) const LOCK_DIRECTORY: &str = ".gastown/locks";
/// Where consumers show that they live.
pub(crate) const CONSUMERS_DIRECTORY: &str = ".gastown/consumers";

/// Where receivers that sleep have a file each.
pub(crate) const WAITERS_DIRECTORY: &str = ".gastown/waiters";

/// Where each queue's counts are.
pub(crate) const COUNTERS_DIRECTORY: &str = ".gastown/counters";

/// What a queue's temporary files end with, which are written under its lock.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";
/// What those end with that a checkpoint writes without the lock.
pub(crate) const CHECKPOINT_SUFFIX: &str = ".part";

const SNAPSHOT: &str = ".json";
pub(crate) const JOURNAL: &str = ".journal";
const LOCK: &str = ".lock";
const GUARD: &str = ".guard";
const WAKE: &str = ".wake";
const TURN: &str = ".checkpoint";
/// A name that ended like one of these could be mistaken for another queue's file.
const RESERVED: &[&str] = &[SNAPSHOT, JOURNAL, LOCK, GUARD, WAKE, ".tmp", ".part"];
const MAX_BYTES: usize = 100;

/// The name of a queue: `[A-Za-z0-9][A-Za-z0-9._-]{0,99}`, not `flockq`, without a reserved suffix.
/// Every file name made from it is inside the spool, and no two queues share one (INV-17).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct QueueName(Arc<str>);

impl QueueName {
    /// The name, if it is one.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let refused = |rule: &str| {
            let shown: String = text.chars().take(40).collect();
            let more = if shown.len() < text.len() { "..." } else { "" };
            Error::new(
                ErrorKind::InvalidArgument,
                format!("{shown:?}{more} cannot name a queue: {rule}"),
            )
        };
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !text
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_alphanumeric)
        {
            return Err(refused("it must begin with a letter or a digit"));
        }
        if text.len() > MAX_BYTES {
            return Err(refused("it must have at most 100 characters"));
        }
        if !text.bytes().all(sound) {
            return Err(refused(
                "it may hold only letters, digits, '.', '_' and '-'",
            ));
        }
        let lower = text.to_ascii_lowercase();
        if lower == "flockq" {
            return Err(refused("flockq.json is the configuration"));
        }
        if let Some(suffix) = RESERVED.iter().find(|suffix| lower.ends_with(**suffix)) {
            return Err(refused(&format!(
                "the ending {suffix} is reserved (a queue's name comes without it)"
            )));
        }
        Ok(Self(Arc::from(text)))
    }

    /// The queue whose snapshot has this file name.
    pub(crate) fn from_snapshot(file: &str) -> Option<Self> {
        Self::parse(file.strip_suffix(SNAPSHOT)?).ok()
    }

    /// The queue whose snapshot or journal has this file name.
    pub(crate) fn of_file(file: &str) -> Option<Self> {
        Self::from_snapshot(file.strip_suffix(JOURNAL).unwrap_or(file))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The snapshot's file.
    pub(crate) fn snapshot(&self) -> String {
        [&*self.0, SNAPSHOT].concat()
    }

    /// The journal's file.
    pub(crate) fn journal(&self) -> String {
        [&*self.0, SNAPSHOT, JOURNAL].concat()
    }

    /// What the queue's temporary files begin with.
    pub(crate) fn temp_prefix(&self) -> String {
        format!(".{}{SNAPSHOT}.", self.0)
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The files of one lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockNames {
    pub(crate) directory: String,
    pub(crate) lock: String,
    pub(crate) guard: String,
    pub(crate) wake: String,
    /// Whose turn it is to make a checkpoint.
    pub(crate) turn: String,
    /// What the files of its receivers begin with.
    pub(crate) waiters: String,
}

impl LockNames {
    /// The lock of `file` in a lock directory.
    pub(crate) fn new(directory: &str, file: &str) -> Self {
        let name = |suffix| format!("{directory}/{file}{suffix}");
        Self {
            directory: directory.to_owned(),
            lock: name(LOCK),
            guard: name(GUARD),
            wake: name(WAKE),
            turn: name(TURN),
            waiters: format!("{WAITERS_DIRECTORY}/{file}."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_cannot_be_a_queue_are_refused_with_the_rule() {
        for name in [
            "",
            "../x",
            "a/b",
            ".hidden",
            "-x",
            "a.json",
            "a.json.lock",
            "a.LOCK",
            "flockq",
            "FLOCKQ",
            "a b",
            "ä",
            "a\0",
        ] {
            assert_eq!(
                QueueName::parse(name).unwrap_err().kind(),
                ErrorKind::InvalidArgument,
                "{name:?}"
            );
        }
        assert!(QueueName::parse(&"a".repeat(100)).is_ok());
        let long = QueueName::parse(&"a".repeat(200)).unwrap_err().to_string();
        assert!(long.len() < 150, "{long}");
    }

    #[test]
    fn ordinary_names_are_accepted() {
        for name in ["inbound", "dead-letter", "a", "7", "v1.2_x"] {
            assert_eq!(QueueName::parse(name).unwrap().as_str(), name);
        }
    }

    fn files(name: &QueueName) -> [String; 6] {
        let locks = LockNames::new(LOCK_DIRECTORY, &name.snapshot());
        [
            name.snapshot(),
            name.journal(),
            locks.lock,
            locks.guard,
            locks.wake,
            locks.turn,
        ]
    }

    proptest! {
        // Names as alike as can be: one is the other with something before it, behind it, or without its end.
        #[test]
        fn no_two_names_that_are_nearly_the_same_share_a_file(
            name in "[A-Za-z0-9][A-Za-z0-9._-]{0,6}",
            more in "(\\.json|\\.journal|\\.lock|\\.guard|\\.wake|\\.tmp|\\.part|\\.checkpoint|[._-]|[a-z0-9]){0,3}",
            cut in 0usize..8,
        ) {
            let alike = [format!("{name}{more}"), format!("a{more}{name}"), name[..cut.min(name.len())].to_owned(), name.to_uppercase()];
            let Ok(name) = QueueName::parse(&name) else { return Ok(()) };
            for other in alike.iter().filter_map(|other| QueueName::parse(other).ok()) {
                let shared = files(&name).iter().filter(|file| files(&other).contains(file)).count();
                prop_assert_eq!(shared, if name == other { 6 } else { 0 }, "{:?} {:?}", name, other);
            }
        }

        #[test]
        fn no_name_leaves_the_spool_and_no_two_share_a_file(one in "\\PC{0,12}", other in "\\PC{0,12}") {
            let (Ok(one), Ok(other)) = (QueueName::parse(&one), QueueName::parse(&other)) else { return Ok(()) };
            prop_assert!(!one.as_str().contains('/'));
            for file in files(&one) {
                prop_assert!(!file.split('/').any(|part| part == ".."));
                prop_assert!(one == other || !files(&other).contains(&file));
            }
            prop_assert_eq!(QueueName::from_snapshot(&one.snapshot()), Some(one));
        }
    }
}
