//! What is on the disk: what is read, what is durable, and every operation between the two, of which a power cut may take
//! each on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use crate::store::{FileId, Kind, Stat};

/// Files and names. A clone is a moment of the disk; it shares the bytes.
#[derive(Default, Clone)]
pub(super) struct Contents {
    pub(super) next_inode: u64,
    pub(super) names: BTreeMap<String, u64>,
    pub(super) durable_names: BTreeMap<String, u64>,
    /// What was done to names since their directory was synced, in order.
    pub(super) naming: Vec<Naming>,
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) directories: BTreeSet<String>,
}

#[derive(Default, Clone)]
pub(super) struct Inode {
    /// What is read.
    pub(super) content: Arc<Vec<u8>>,
    pub(super) durable: Arc<Vec<u8>>,
    /// What was done to it since it was synced, in order.
    pub(super) unsynced: Vec<Change>,
    /// How often a sync of it has failed: whoever had it open before is told of it once.
    pub(super) failures: u64,
    pub(super) version: i128,
    pub(super) mode: u32,
    pub(super) exclusive: Option<u64>,
    pub(super) shared: Vec<u64>,
}

/// One operation on the bytes of a file.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) what: What,
    /// A sync that failed has thrown it away: no later one makes it durable.
    pub(super) lost: bool,
    /// It is the half of a write that failed.
    pub(super) is_half: bool,
}

#[derive(Clone)]
pub(super) enum What {
    Write(usize, Arc<[u8]>),
    Size(usize),
}

/// One operation on names, all of them in one directory.
#[derive(Clone)]
pub(super) enum Naming {
    Named(String, u64),
    Renamed(String, String, u64),
    Removed(String),
    Directory(String),
}

impl What {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*at..end].copy_from_slice(bytes);
            }
            Self::Size(size) => content.resize(*size, 0),
        }
    }

    /// Its place is there, its bytes are not: where the file has grown it reads as zeros.
    pub(super) fn apply_without_bytes(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => content.resize(content.len().max(at + bytes.len()), 0),
            Self::Size(_) => self.apply(content),
        }
    }
}

impl Naming {
    /// The name that it is about.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Named(name, _)
            | Self::Renamed(_, name, _)
            | Self::Removed(name)
            | Self::Directory(name) => name,
        }
    }

    pub(super) fn inode(&self) -> Option<u64> {
        match self {
            Self::Named(_, inode) | Self::Renamed(_, _, inode) => Some(*inode),
            Self::Removed(_) | Self::Directory(_) => None,
        }
    }

    /// A rename is whole or not at all: the new name leads to one of the two files, and never to none.
    pub(super) fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Named(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Renamed(from, to, inode) => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
            Self::Removed(name) => {
                names.remove(name);
            }
            Self::Directory(_) => {}
        }
    }
}

/// The directory that a name is in.
pub(super) fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Inode {
    /// A file that is on the disk as it is.
    pub(super) fn settled(content: Arc<Vec<u8>>, mode: u32) -> Self {
        Self {
            durable: Arc::clone(&content),
            content,
            version: 1,
            mode,
            ..Self::default()
        }
    }

    pub(super) fn change(&mut self, what: What, is_half: bool) {
        what.apply(Arc::make_mut(&mut self.content));
        self.unsynced.push(Change {
            what,
            lost: false,
            is_half,
        });
        self.version += 1;
    }

    /// What was written and is not durable is still there to be read, and gone. Sizes are in the file system's own journal.
    pub(super) fn sync_failed(&mut self) {
        for change in &mut self.unsynced {
            change.lost |= matches!(change.what, What::Write(..));
        }
        self.failures += 1;
    }

    /// What an earlier sync has thrown away stays so, unless it was written again since.
    pub(super) fn synced(&mut self) {
        if self.failures == 0 {
            self.durable = Arc::clone(&self.content);
        } else {
            let durable = Arc::make_mut(&mut self.durable);
            for change in &self.unsynced {
                if change.lost {
                    change.what.apply_without_bytes(durable);
                } else {
                    change.what.apply(durable);
                }
            }
        }
        self.unsynced.clear();
    }

    pub(super) fn stat(&self, device: u64, inode: u64) -> Stat {
        Stat {
            id: FileId { device, inode },
            kind: Kind::Regular,
            size: self.content.len() as u64,
            modified: self.version,
            changed: self.version,
            mode: self.mode,
            owner: 0,
            group: 0,
            links: 1,
        }
    }
}

impl Contents {
    pub(super) fn make(&mut self, name: &str, mode: u32) -> u64 {
        self.next_inode += 1;
        let inode = Inode {
            mode,
            ..Inode::default()
        };
        self.inodes.insert(self.next_inode, inode);
        self.name(Naming::Named(name.to_owned(), self.next_inode));
        self.next_inode
    }

    /// Puts a file there, durably, whatever was on its way to that name.
    pub(super) fn put(&mut self, name: &str, content: &[u8]) {
        self.next_inode += 1;
        let inode = Inode::settled(Arc::new(content.to_vec()), 0o644);
        self.inodes.insert(self.next_inode, inode);
        self.naming.retain(|naming| naming.name() != name);
        self.names.insert(name.to_owned(), self.next_inode);
        self.durable_names.insert(name.to_owned(), self.next_inode);
    }

    pub(super) fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.naming.push(naming);
    }

    pub(super) fn sync_directory(&mut self, path: &str) {
        let durable_names = &mut self.durable_names;
        self.naming.retain(|naming| {
            let is_inside = parent(naming.name()) == path;
            if is_inside {
                naming.apply(durable_names);
            }
            !is_inside
        });
    }

    pub(super) fn at(&self, name: &str) -> io::Result<u64> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn named(&self, name: &str) -> Option<&Inode> {
        self.inodes.get(self.names.get(name)?)
    }

    pub(super) fn inode(&mut self, number: u64) -> &mut Inode {
        self.inodes.get_mut(&number).unwrap()
    }

    pub(super) fn name_of(&self, inode: u64) -> Option<&str> {
        let mut names = self.names.iter();
        let found = names.find(|(_, at)| **at == inode);
        found.map(|(name, _)| name.as_str())
    }

    /// Whether something was done to this name that is not durable.
    pub(super) fn is_unsettled(&self, name: &str) -> bool {
        let mut naming = self.naming.iter();
        naming.any(|naming| naming.name() == name)
    }

    /// The moment, without the files that have no name and can get none again.
    pub(super) fn moment(&self) -> Self {
        let mut moment = Self {
            inodes: BTreeMap::new(),
            next_inode: self.next_inode,
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            naming: self.naming.clone(),
            directories: self.directories.clone(),
        };
        for inode in self.reachable().into_keys() {
            moment.inodes.insert(inode, self.inodes[&inode].clone());
        }
        moment
    }

    /// The files that a name leads to or may lead to after a power cut, and whether that name is in the root.
    pub(super) fn reachable(&self) -> BTreeMap<u64, bool> {
        let names = self.names.iter().chain(&self.durable_names);
        let names = names.map(|(name, inode)| (name.as_str(), *inode));
        let named = self.naming.iter();
        let named = named.filter_map(|naming| Some((naming.name(), naming.inode()?)));
        let mut reachable = BTreeMap::new();
        for (name, inode) in names.chain(named) {
            *reachable.entry(inode).or_insert(false) |= parent(name).is_empty();
        }
        reachable
    }
}
