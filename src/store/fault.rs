//! The test double: a file system in memory that remembers what has been made durable, fails the
//! n-th effect on demand, and can lose its power.

#[cfg(shuttle)]
pub(crate) mod waiting;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::{
    Attributes, File, FileId, Kind, LockKind, Open, Page, Stat, Store, System, Watch, Watched,
};
use crate::format::time::Timestamp;

/// The root of a file system in memory. Clones are the same file system, as other processes see it.
#[derive(Clone)]
pub(crate) struct FaultStore {
    disk: Arc<Mutex<Disk>>,
    clock: Arc<Clock>,
    /// What the registry knows the file system by: another one for each process.
    process: u64,
}

/// A moment at which another thread may run: before whatever others see.
fn pause() {
    #[cfg(shuttle)]
    shuttle::sync::atomic::AtomicBool::new(false).load(Ordering::SeqCst);
}

/// Numbers file systems and processes.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

fn fresh_number() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

#[derive(Default)]
struct Disk {
    number: u64,
    next_inode: u64,
    next_open: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    inodes: BTreeMap<u64, Inode>,
    directories: Vec<String>,
    effects: Vec<String>,
    files_read: usize,
    fail: Option<(usize, i32)>,
    /// The bytes that are left on a disk that is full.
    left: Option<usize>,
    /// Every effect after the failing one fails too.
    dead: bool,
    /// The sync of a file that fails, counted down.
    #[cfg(shuttle)]
    failing_sync: Option<(usize, i32)>,
    #[cfg(shuttle)]
    waiting: waiting::Waiting,
}

#[derive(Default, Clone)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// The end of what a sync that failed has thrown away: no later one makes it durable.
    lost: usize,
    version: i128,
    mode: u32,
    exclusive: Option<u64>,
    shared: Vec<u64>,
}

/// A clock that stands still unless it is told to go on, and chance that counts.
#[derive(Debug, Default)]
struct Clock {
    drawn: AtomicU64,
    passed_ms: AtomicU64,
}

struct FaultFile {
    disk: Arc<Mutex<Disk>>,
    inode: u64,
    open: u64,
}

/// What became of the bytes that were not synced when the power failed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unsynced {
    /// They are gone.
    Dropped,
    /// Their place is there, but it reads as zeros.
    Zeroed,
    /// They made it.
    Kept,
}

impl FaultStore {
    pub(crate) fn new() -> Self {
        let disk = Disk {
            number: fresh_number(),
            ..Disk::default()
        };
        Self {
            disk: Arc::new(Mutex::new(disk)),
            clock: Arc::default(),
            process: fresh_number(),
        }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    /// A spool whose queues are plain files.
    pub(crate) fn plain() -> Self {
        let store = Self::new();
        store.put(
            "flockq.json",
            br#"{"version":1,"default":{"mode":"plain"}}"#,
        );
        store
    }

    /// The effects so far, in order: "sync inbound.json", "rename a b", …
    pub(crate) fn effects(&self) -> Vec<String> {
        self.disk().effects.clone()
    }

    pub(crate) fn forget_effects(&self) {
        self.disk().effects.clear();
    }

    /// How many files have been read as a whole.
    pub(crate) fn files_read(&self) -> usize {
        self.disk().files_read
    }

    /// The effect with this number (from 0, counted from now) fails with this errno.
    pub(crate) fn fail(&self, number: usize, errno: i32) {
        let mut disk = self.disk();
        disk.effects.clear();
        disk.fail = Some((number, errno));
        disk.dead = false;
    }

    /// From the effect with this number on nothing happens any more.
    pub(crate) fn die(&self, number: usize) {
        self.fail(number, libc::EIO);
        self.disk().dead = true;
    }

    /// The sync with this number, counted from now, fails with this errno.
    #[cfg(shuttle)]
    pub(crate) fn fail_sync(&self, number: usize, errno: i32) {
        self.disk().failing_sync = Some((number, errno));
    }

    pub(crate) fn heal(&self) {
        self.disk().fail = None;
    }

    /// What is there after a power cut: another file system, with nothing open.
    pub(crate) fn power_cut(&self, content: Unsynced, names: Unsynced) -> Self {
        self.power_cut_keeping(content, |_| matches!(names, Unsynced::Kept))
    }

    /// The same, where it is told of each unsynced name whether it made it.
    pub(crate) fn power_cut_keeping(&self, content: Unsynced, kept: impl Fn(&str) -> bool) -> Self {
        let old = self.disk();
        let cut = Self::new();
        let mut new = cut.disk();
        new.next_inode = old.next_inode;
        new.directories.clone_from(&old.directories);
        let now = old.names.iter().filter(|(name, _)| kept(name));
        let before = old.durable_names.iter().filter(|(name, _)| !kept(name));
        new.names = now
            .chain(before)
            .map(|(name, inode)| (name.clone(), *inode))
            .collect();
        new.durable_names = new.names.clone();
        for inode in new.names.values().copied().collect::<Vec<_>>() {
            let was = &old.inodes[&inode];
            let content = match content {
                Unsynced::Kept => was.content.clone(),
                Unsynced::Dropped => was.durable.clone(),
                Unsynced::Zeroed if was.content == was.durable => was.content.clone(),
                Unsynced::Zeroed => {
                    // What was durable stays, when the rest was only written behind it.
                    let kept = if was.content.starts_with(&was.durable) {
                        &*was.durable
                    } else {
                        &[]
                    };
                    let mut content = kept.to_vec();
                    content.resize(was.content.len(), 0);
                    content
                }
            };
            new.inodes.insert(
                inode,
                Inode {
                    durable: content.clone(),
                    content,
                    version: 1,
                    mode: was.mode,
                    ..Inode::default()
                },
            );
        }
        drop(new);
        cut
    }

    /// The same file system, as a process sees it that shares nothing else.
    pub(crate) fn another_process(&self) -> Self {
        Self {
            process: fresh_number(),
            ..self.clone()
        }
    }

    pub(crate) fn inode_of(&self, name: &str) -> Option<u64> {
        self.disk().names.get(name).copied()
    }

    /// Adds bytes to a file from outside.
    pub(crate) fn append(&self, name: &str, bytes: &[u8]) {
        let mut disk = self.disk();
        let inode = disk.names[name];
        disk.inodes
            .get_mut(&inode)
            .unwrap()
            .content
            .extend_from_slice(bytes);
    }

    /// Removes a file from outside.
    pub(crate) fn take_away(&self, name: &str) {
        self.disk().names.remove(name);
    }

    /// The content of a file, for a look from outside.
    pub(crate) fn content(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk();
        disk.names
            .get(name)
            .map(|inode| disk.inodes[inode].content.clone())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.disk().names.keys().cloned().collect()
    }

    /// From now on there is no space but what is freed.
    pub(crate) fn fill(&self) {
        self.disk().left = Some(0);
    }

    /// Writes over the file in place, as a shell does.
    pub(crate) fn overwrite(&self, name: &str, content: &[u8]) {
        let mut disk = self.disk();
        let inode = disk.names[name];
        let inode = disk.inodes.get_mut(&inode).unwrap();
        inode.content = content.to_vec();
        inode.durable = content.to_vec();
        inode.version += 1;
    }

    /// Lets time pass on the boot clock.
    pub(crate) fn pass(&self, milliseconds: u64) {
        let clock = &self.clock.passed_ms;
        clock.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Puts a file there, durably, as another program would.
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        let mut disk = self.disk();
        disk.next_inode += 1;
        let inode = disk.next_inode;
        disk.inodes.insert(
            inode,
            Inode {
                content: content.to_vec(),
                durable: content.to_vec(),
                version: 1,
                mode: 0o644,
                ..Inode::default()
            },
        );
        disk.names.insert(name.to_owned(), inode);
        disk.durable_names.insert(name.to_owned(), inode);
    }

    /// What of a file would outlive a power cut.
    #[cfg(shuttle)]
    pub(crate) fn durable(&self, name: &str) -> Vec<u8> {
        let disk = self.disk();
        let inode = disk.durable_names.get(name);
        inode.map_or(Vec::new(), |inode| disk.inodes[inode].durable.clone())
    }

    fn opened(&self, disk: &mut Disk, inode: u64) -> Arc<dyn File> {
        disk.next_open += 1;
        Arc::new(FaultFile {
            disk: Arc::clone(&self.disk),
            inode,
            open: disk.next_open,
        })
    }
}

impl Disk {
    /// Counts an effect, and fails it if it is its turn.
    fn effect(&mut self, what: String) -> io::Result<()> {
        let number = self.effects.len();
        self.effects.push(what);
        match self.fail {
            Some((failing, errno)) if failing == number || (self.dead && failing < number) => {
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => Ok(()),
        }
    }

    #[cfg(shuttle)]
    fn sync_fails(&mut self) -> io::Result<()> {
        match self.failing_sync.take() {
            Some((0, errno)) => Err(io::Error::from_raw_os_error(errno)),
            other => {
                self.failing_sync = other.map(|(number, errno)| (number - 1, errno));
                Ok(())
            }
        }
    }

    fn make(&mut self, name: &str, mode: u32) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(
            self.next_inode,
            Inode {
                mode,
                ..Inode::default()
            },
        );
        self.names.insert(name.to_owned(), self.next_inode);
        self.next_inode
    }

    fn name_of(&self, inode: u64) -> String {
        let named = self
            .names
            .iter()
            .find(|(_, at)| **at == inode)
            .map(|(name, _)| name.as_str());
        // A temporary name is random; the log shows its beginning.
        let name = named.unwrap_or("(unlinked)");
        name.strip_suffix(".tmp")
            .and_then(|name| name.rsplit_once('.'))
            .map_or(name, |(start, _)| start)
            .to_owned()
    }
}

impl Store for FaultStore {
    fn root(&self) -> &Path {
        Path::new("/memory")
    }

    fn root_stat(&self) -> io::Result<Stat> {
        let id = FileId {
            device: u64::MAX,
            inode: self.process,
        };
        Ok(Stat {
            id,
            kind: Kind::Directory,
            size: 0,
            modified: 0,
            changed: 0,
            mode: 0o755,
            owner: 0,
            group: 0,
            links: 1,
        })
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        Ok((1 << 40, 1 << 41))
    }

    fn file_system(&self) -> io::Result<(String, bool)> {
        Ok(("memory".to_owned(), true))
    }

    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        let found = disk.names.get(path).copied();
        let inode = match (found, how) {
            (Some(_), Open::New { .. }) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(inode), _) => inode,
            (None, Open::Read | Open::Write) => return Err(io::ErrorKind::NotFound.into()),
            (None, Open::Shared { mode } | Open::New { mode }) => {
                if path
                    .rsplit_once('/')
                    .is_some_and(|(parent, _)| !disk.directories.iter().any(|made| made == parent))
                {
                    return Err(io::ErrorKind::NotFound.into());
                }
                disk.effect(format!("create {path}"))?;
                disk.make(path, mode)
            }
        };
        Ok(self.opened(&mut disk, inode))
    }

    fn temporary(&self, prefix: &str, suffix: &str) -> io::Result<(Arc<dyn File>, String)> {
        let mut disk = self.disk();
        disk.effect(format!("create {prefix}"))?;
        let name = format!("{prefix}{:06}{suffix}", disk.next_inode);
        let inode = disk.make(&name, 0o600);
        Ok((self.opened(&mut disk, inode), name))
    }

    fn stat(&self, path: &str) -> io::Result<Option<Stat>> {
        pause();
        let disk = self.disk();
        Ok(disk
            .names
            .get(path)
            .map(|inode| stat(disk.number, *inode, &disk.inodes[inode])))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        pause();
        let mut disk = self.disk();
        let inode = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        disk.effect(format!("rename {to}"))?;
        disk.names.remove(from);
        disk.names.insert(to.to_owned(), inode);
        #[cfg(shuttle)]
        {
            let watches = disk.waiting.replaced(to);
            drop(disk);
            waiting::tell(&watches);
        }
        Ok(())
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk();
        let inode = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if disk.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.effect(format!("link {to}"))?;
        disk.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.effect("remove".to_owned())?;
        let freed = disk
            .names
            .get(path)
            .map_or(0, |inode| disk.inodes[inode].content.len());
        if let Some(left) = &mut disk.left {
            *left += freed;
        }
        disk.names
            .remove(path)
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn make_directory(&self, path: &str, _mode: u32) -> io::Result<()> {
        self.disk().directories.push(path.to_owned());
        Ok(())
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.effect(format!("sync directory {path}"))?;
        disk.durable_names = disk.names.clone();
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let inside = |name: &String| match path {
            "" => (!name.contains('/')).then(|| name.clone()),
            directory => name
                .strip_prefix(directory)
                .and_then(|rest| rest.strip_prefix('/'))
                .map(str::to_owned),
        };
        Ok(self.disk().names.keys().filter_map(inside).collect())
    }

    #[cfg(not(shuttle))]
    fn page(&self, _path: &str, _mode: u32) -> io::Result<Arc<dyn Page>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(not(shuttle))]
    fn watch(&self, _: &Watched) -> io::Result<Box<dyn Watch>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(shuttle)]
    fn page(&self, path: &str, _mode: u32) -> io::Result<Arc<dyn Page>> {
        Ok(self.disk().waiting.page(path))
    }

    #[cfg(shuttle)]
    fn watch(&self, what: &Watched) -> io::Result<Box<dyn Watch>> {
        Ok(self.disk().waiting.watch(what))
    }

    fn system(&self) -> &dyn System {
        &*self.clock
    }
}

fn stat(device: u64, inode: u64, content: &Inode) -> Stat {
    Stat {
        id: FileId { device, inode },
        kind: Kind::Regular,
        size: content.content.len() as u64,
        modified: content.version,
        changed: content.version,
        mode: content.mode,
        owner: 0,
        group: 0,
        links: 1,
    }
}

impl FaultFile {
    fn inode<T>(&self, look: impl FnOnce(&mut Inode) -> T) -> T {
        look(
            self.disk
                .lock()
                .unwrap()
                .inodes
                .get_mut(&self.inode)
                .unwrap(),
        )
    }

    /// Gives the locks of this descriptor up.
    fn give_up(&self) {
        let open = self.open;
        self.inode(|inode| {
            inode.shared.retain(|holder| *holder != open);
            inode.exclusive = inode.exclusive.filter(|holder| *holder != open);
        });
    }

    /// Tells those who watch the file.
    #[cfg(shuttle)]
    fn written(&self) {
        let disk = self.disk.lock().unwrap();
        let watches = disk.waiting.written(&disk.name_of(self.inode));
        drop(disk);
        waiting::tell(&watches);
    }

    fn take_space(&self, bytes: usize) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        if let Some(left) = &mut disk.left {
            let enough = left.checked_sub(bytes);
            *left = enough.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOSPC))?;
        }
        Ok(())
    }

    fn effect(&self, what: &str) -> io::Result<()> {
        pause();
        let mut disk = self.disk.lock().unwrap();
        let name = disk.name_of(self.inode);
        disk.effect(format!("{what} {name}"))
    }
}

impl File for FaultFile {
    fn stat(&self) -> io::Result<Stat> {
        let disk = self.disk.lock().unwrap();
        Ok(stat(disk.number, self.inode, &disk.inodes[&self.inode]))
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        self.disk.lock().unwrap().files_read += 1;
        Ok(self.inode(|inode| inode.content.clone()))
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.effect("write")?;
        self.inode(|inode| {
            inode.content.extend_from_slice(bytes);
            inode.version += 1;
        });
        Ok(())
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        pause();
        let from = usize::try_from(offset).unwrap();
        Ok(self.inode(|inode| {
            let end = from.saturating_add(length).min(inode.content.len());
            inode.content.get(from..end).unwrap_or_default().to_vec()
        }))
    }

    /// When it fails, half of the bytes have been written, as on a disk that fills up.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let failed = self.effect("write").err();
        let failed = failed.or_else(|| self.take_space(bytes.len()).err());
        let written = if failed.is_some() {
            bytes.len() / 2
        } else {
            bytes.len()
        };
        let from = usize::try_from(offset).unwrap();
        self.inode(|inode| {
            let end = from + written;
            let size = inode.content.len().max(end);
            inode.content.resize(size, 0);
            inode.content[from..end].copy_from_slice(&bytes[..written]);
            if end >= inode.lost {
                inode.lost = inode.lost.min(from);
            }
            inode.version += 1;
        });
        #[cfg(shuttle)]
        self.written();
        failed.map_or(Ok(()), Err)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.effect("cut")?;
        self.inode(|inode| {
            inode.content.resize(usize::try_from(size).unwrap(), 0);
            inode.version += 1;
        });
        Ok(())
    }

    /// When it fails, what was not durable is thrown away, and is still there to be read; the next one succeeds.
    fn sync(&self) -> io::Result<()> {
        let done = self.effect("sync");
        #[cfg(shuttle)]
        let done = done.and_then(|()| self.disk.lock().unwrap().sync_fails());
        // A process that is dead has not made the system throw anything away.
        let is_dead = self.disk.lock().unwrap().dead;
        self.inode(|inode| {
            if done.is_err() {
                if is_dead {
                    return;
                }
                inode.lost = inode.content.len();
                return;
            }
            let kept = inode.durable.len();
            inode.durable.clone_from(&inode.content);
            if let Some(lost) = inode.durable.get_mut(kept..inode.lost) {
                lost.fill(0);
            }
        });
        done
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn attributes(&self) -> io::Result<Attributes> {
        Ok(Attributes {
            mode: self.inode(|inode| inode.mode),
            owner: None,
            acl: None,
        })
    }

    fn set_attributes(&self, attributes: &Attributes) -> io::Result<()> {
        self.inode(|inode| inode.mode = attributes.mode);
        Ok(())
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        pause();
        let open = self.open;
        Ok(self.inode(|inode| {
            let others_share = inode.shared.iter().any(|holder| *holder != open);
            let other_has = inode.exclusive.is_some_and(|holder| holder != open);
            if other_has || (kind == LockKind::Exclusive && others_share) {
                return false;
            }
            inode.shared.retain(|holder| *holder != open);
            inode.exclusive = None;
            match kind {
                LockKind::Shared => inode.shared.push(open),
                LockKind::Exclusive => inode.exclusive = Some(open),
            }
            true
        }))
    }

    fn unlock(&self) -> io::Result<()> {
        pause();
        self.give_up();
        Ok(())
    }

    fn lock_record(&self) -> io::Result<()> {
        Ok(())
    }

    fn record_is_locked(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn lock_holder(&self) -> Option<u32> {
        None
    }

    fn descriptor(&self) -> Option<i32> {
        None
    }
}

impl Drop for FaultFile {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl System for Clock {
    fn wall(&self) -> Timestamp {
        let start = "2026-02-03T09:00:00Z".parse().unwrap();
        let passed = self.passed_ms.load(Ordering::Relaxed);
        crate::format::time::after(start, Duration::from_millis(passed))
    }

    fn boot_ms(&self) -> u64 {
        1_000_000 + self.passed_ms.load(Ordering::Relaxed)
    }

    fn boot_id(&self) -> Arc<str> {
        Arc::from("boot")
    }

    fn random(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed)
    }

    fn process(&self) -> (u32, u64) {
        (1, 1)
    }

    fn sleep(&self, duration: Duration) {
        #[cfg(not(shuttle))]
        std::thread::sleep(duration);
        #[cfg(shuttle)]
        {
            let _ = duration;
            shuttle::thread::yield_now();
        }
    }
}

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultStore")
    }
}

impl fmt::Debug for FaultFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultFile({})", self.inode)
    }
}
