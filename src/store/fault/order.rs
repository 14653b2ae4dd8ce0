//! Watches in which order a queue's files are written, synced and named, as `docs/format.md` has it. Not for queues of
//! durability `off`, which is without order.

use super::FaultStore;
use super::disk::{Change, Contents, Inode, Naming, What};
use crate::format::name::CONFIG_FILE;

#[derive(Default)]
pub(super) struct Order {
    is_watched: bool,
    /// The last sync of the directory failed: which names are durable nobody can say before the next one.
    names_are_in_doubt: bool,
    broken: Vec<String>,
}

/// What the name of a file says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Snapshot,
    Journal,
    Config,
    Lock,
    Other,
}

fn role(name: &str) -> Role {
    let ends = |suffix| name.ends_with(suffix);
    match name.contains('/') {
        true if ends(".lock") || ends(".guard") => Role::Lock,
        false if name.starts_with('.') => Role::Other,
        false if name == CONFIG_FILE => Role::Config,
        false if ends(".json") => Role::Snapshot,
        false if ends(".json.journal") => Role::Journal,
        _ => Role::Other,
    }
}

fn is_kept(role: Role) -> bool {
    matches!(role, Role::Snapshot | Role::Journal | Role::Config)
}

impl Order {
    fn require(&mut self, holds: bool, rule: &str, name: &str) {
        if self.is_watched && !holds {
            self.broken.push(format!("{rule}: {name}"));
        }
    }

    pub(super) fn renamed(&mut self, contents: &Contents, from: &str, to: &str, inode: u64) {
        for name in [from, to] {
            let rule = "INV-12: a lock file is never renamed";
            self.require(role(name) != Role::Lock, rule, name);
        }
        if !is_kept(role(to)) {
            return;
        }
        let is_synced = contents.inodes[&inode].unsynced.is_empty();
        let rule = "INV-14: its bytes are durable before it gets its name";
        self.require(is_synced, rule, to);
        match role(to) {
            Role::Snapshot => {
                let journal = contents.named(&format!("{to}.journal"));
                let is_led_to = journal.is_none_or(|journal| journal.unsynced.is_empty());
                let rule = "section 17: the switch is durable before the snapshot that it leads to has its name";
                self.require(is_led_to, rule, to);
            }
            Role::Journal => self.require_the_snapshot(contents, to),
            _ => {}
        }
    }

    pub(super) fn synced_the_directory(&mut self, done: bool) {
        self.names_are_in_doubt = !done;
    }

    /// Before a journal goes, or another one comes in its place.
    fn require_the_snapshot(&mut self, contents: &Contents, journal: &str) {
        let snapshot = journal.strip_suffix(".journal").unwrap_or(journal);
        let rule = "INV-24: the snapshot's name is durable before another journal counts";
        self.require(!contents.is_unsettled(snapshot), rule, journal);
    }

    pub(super) fn removed(&mut self, contents: &Contents, name: &str) {
        let never = !matches!(role(name), Role::Lock | Role::Snapshot | Role::Config);
        self.require(never, "INV-12, INV-1: it is never removed", name);
        if role(name) == Role::Journal {
            self.require_the_snapshot(contents, name);
            let rule = "section 17: the mode is on record before the journal goes";
            self.require(!contents.is_unsettled(CONFIG_FILE), rule, name);
        }
    }

    /// Before bytes of a file are written or cut off.
    pub(super) fn changed(&mut self, contents: &Contents, inode: u64, what: &What) {
        let Some(name) = contents.name_of(inode) else {
            return;
        };
        let file = &contents.inodes[&inode];
        match role(name) {
            Role::Lock => self.require(false, "INV-12: a lock file is never written", name),
            Role::Snapshot | Role::Config => {
                self.require(false, "INV-1: it is only ever replaced", name);
            }
            Role::Journal if matches!(what, What::Write(..)) => {
                let rule = "section 17: a journal's name is durable before anything is appended";
                let is_settled = !contents.is_unsettled(name) || self.names_are_in_doubt;
                self.require(is_settled, rule, name);
                let is_cut_for_good = file.is_cut_for_good();
                let rule = "INV-22: a torn tail is cut off for good before anything is appended";
                self.require(is_cut_for_good, rule, name);
            }
            Role::Journal | Role::Other => {}
        }
    }
}

impl Inode {
    /// Whether nothing that was cut off could come back. Half a frame that was cut off at once could: a header that is read
    /// behind its beginning there is none in it.
    fn is_cut_for_good(&self) -> bool {
        let (mut end, mut changes) = (self.durable.len(), self.unsynced.iter().peekable());
        while let Some(change) = changes.next() {
            match change.what {
                // One that is written again in its place was there before.
                What::Write(at, ref bytes) if change.is_half && at + bytes.len() > end => {
                    let is_cut =
                        |next: &&Change| matches!(next.what, What::Size(size) if size == at);
                    if changes.next_if(is_cut).is_none() {
                        return false;
                    }
                }
                What::Write(at, ref bytes) => end = end.max(at + bytes.len()),
                What::Size(size) if size < end => return false,
                What::Size(_) => {}
            }
        }
        true
    }
}

impl Contents {
    /// What of the queues' files a power cut could still take back.
    fn unsettled(&self) -> Vec<String> {
        let kept = self.names.iter().filter(|(name, _)| is_kept(role(name)));
        let unsynced = kept.filter(|(_, inode)| !self.inodes[inode].unsynced.is_empty());
        let unsynced = unsynced.map(|(name, _)| format!("the bytes of {name}"));
        let named = self.naming.iter().map(Naming::name);
        let named = named.filter(|name| is_kept(role(name)));
        unsynced
            .chain(named.map(|name| format!("the name {name}")))
            .collect()
    }
}

impl FaultStore {
    /// From now on the order of effects is watched.
    pub(crate) fn watch_the_order(&self) {
        self.disk().order.is_watched = true;
    }

    /// Which rules were broken.
    pub(crate) fn broken(&self) -> Vec<String> {
        self.disk().order.broken.clone()
    }

    /// What is not durable of the queues' files.
    pub(crate) fn unsettled(&self) -> Vec<String> {
        self.disk().contents.unsettled()
    }
}
