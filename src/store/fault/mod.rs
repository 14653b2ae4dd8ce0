//! The test double: a disk in memory that remembers what has been made durable, fails the n-th effect on demand, and can
//! lose its power.
//!
//! What is durable is what POSIX promises and no more: a sync of a file its bytes and its size, a sync of a directory the
//! names in it. [`crash`] says what may become of the rest, [`order`] in which order a queue's files must be written.

mod clock;
pub(crate) mod crash;
mod disk;
mod file;
mod order;
mod root;
#[cfg(shuttle)]
pub(crate) mod waiting;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use clock::Clock;
pub(crate) use crash::{Cut, Moment, Unsynced};
use disk::{Contents, Naming, What};
use order::Order;

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
    next_open: u64,
    clock: Arc<Clock>,
    contents: Contents,
    effects: Vec<String>,
    /// The disk before each effect, if that is asked for.
    moments: Option<Vec<Moment>>,
    order: Order,
    files_read: usize,
    /// A file that cannot be opened.
    refused: Option<String>,
    /// One to which nothing can be written.
    unwritable: Option<String>,
    fail: Option<Failing>,
    /// The bytes that are left on a disk that is full.
    left: Option<usize>,
    /// The sync of a file that fails, counted down.
    #[cfg(shuttle)]
    failing_sync: Option<(usize, i32)>,
    #[cfg(shuttle)]
    waiting: waiting::Waiting,
}

/// Which effects fail.
#[derive(Clone, Copy)]
struct Failing {
    number: usize,
    errno: i32,
    /// So do those after it.
    lasts: bool,
    /// They do because the process is dead: nothing happens on the disk any more.
    is_dead: bool,
}

impl FaultStore {
    pub(crate) fn new() -> Self {
        Self::on(Contents::default(), Clock::default())
    }

    /// A file system with nothing open.
    fn on(contents: Contents, clock: Clock) -> Self {
        let clock = Arc::new(clock);
        let disk = Disk {
            number: fresh_number(),
            clock: Arc::clone(&clock),
            contents,
            ..Disk::default()
        };
        Self {
            disk: Arc::new(Mutex::new(disk)),
            clock,
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
        self.failing(number, errno, false, false);
    }

    /// Every effect from this number on fails with this errno, and the process goes on.
    pub(crate) fn fail_from(&self, number: usize, errno: i32) {
        self.failing(number, errno, true, false);
    }

    /// From the effect with this number on nothing happens any more.
    pub(crate) fn die(&self, number: usize) {
        self.failing(number, libc::EIO, true, true);
    }

    fn failing(&self, number: usize, errno: i32, lasts: bool, is_dead: bool) {
        let mut disk = self.disk();
        disk.effects.clear();
        disk.fail = Some(Failing {
            number,
            errno,
            lasts,
            is_dead,
        });
    }

    /// The sync with this number, counted from now, fails with this errno.
    #[cfg(shuttle)]
    pub(crate) fn fail_sync(&self, number: usize, errno: i32) {
        self.disk().failing_sync = Some((number, errno));
    }

    pub(crate) fn heal(&self) {
        self.disk().fail = None;
    }

    /// From now on this file, or none, cannot be opened, as when a process has no descriptors left.
    pub(crate) fn refuse(&self, name: Option<&str>) {
        self.disk().refused = name.map(str::to_owned);
    }

    /// From now on nothing can be written to this file, or to none: there is no space for it.
    pub(crate) fn refuse_writes(&self, name: Option<&str>) {
        self.disk().unwritable = name.map(str::to_owned);
    }

    /// The same file system, as a process sees it that shares nothing else.
    pub(crate) fn another_process(&self) -> Self {
        Self {
            process: fresh_number(),
            ..self.clone()
        }
    }

    /// Another disk that is as this one is now, with what is not durable and the locks that are held. What becomes of one is
    /// nothing to the other, and nothing fails on it.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::on(self.disk().contents.clone(), self.clock.copy());
        copy.disk().next_open = self.disk().next_open;
        copy
    }

    pub(crate) fn inode_of(&self, name: &str) -> Option<u64> {
        self.disk().contents.names.get(name).copied()
    }

    /// Adds bytes to a file from outside.
    pub(crate) fn append(&self, name: &str, bytes: &[u8]) {
        let mut disk = self.disk();
        let inode = disk.contents.names[name];
        let inode = disk.contents.inode(inode);
        let what = What::Write(inode.content.len(), Arc::from(bytes));
        inode.change(what, false);
    }

    /// Removes a file from outside.
    pub(crate) fn take_away(&self, name: &str) {
        self.disk().contents.name(Naming::Removed(name.to_owned()));
    }

    /// The content of a file, for a look from outside.
    pub(crate) fn content(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk();
        disk.contents
            .named(name)
            .map(|inode| inode.content.to_vec())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.disk().contents.names.keys().cloned().collect()
    }

    /// From now on there is no space but what is freed.
    pub(crate) fn fill(&self) {
        self.disk().left = Some(0);
    }

    /// Writes over the file in place, as a shell does.
    pub(crate) fn overwrite(&self, name: &str, content: &[u8]) {
        let mut disk = self.disk();
        let inode = disk.contents.names[name];
        let inode = disk.contents.inode(inode);
        inode.content = Arc::new(content.to_vec());
        inode.durable = Arc::clone(&inode.content);
        inode.unsynced.clear();
        inode.version += 1;
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, milliseconds: u64) {
        self.clock.pass(milliseconds);
    }

    /// Sets the wall clock back, at most to where it began.
    pub(crate) fn set_back(&self, milliseconds: u64) {
        self.clock.set_back(milliseconds);
    }

    /// Puts a file there, durably, as another program would.
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        self.disk().contents.put(name, content);
    }

    /// What of a file would outlive a power cut.
    #[cfg(shuttle)]
    pub(crate) fn durable(&self, name: &str) -> Vec<u8> {
        let disk = self.disk();
        let inode = disk.contents.durable_names.get(name);
        inode.map_or(Vec::new(), |inode| {
            disk.contents.inodes[inode].durable.to_vec()
        })
    }
}

impl Disk {
    /// Counts an effect, and fails it if it is its turn.
    fn effect(&mut self, what: String) -> io::Result<()> {
        if let Some(moments) = &mut self.moments {
            moments.push(Moment {
                contents: self.contents.moment(),
                clock: self.clock.copy(),
                effect: what.clone(),
            });
        }
        let number = self.effects.len();
        self.effects.push(what);
        let is_failing = |it: &Failing| it.number == number || (it.lasts && it.number < number);
        match self.fail.filter(is_failing) {
            Some(failing) => Err(io::Error::from_raw_os_error(failing.errno)),
            None => Ok(()),
        }
    }

    fn effect_on(&mut self, what: &str, inode: u64) -> io::Result<()> {
        self.effect(format!("{what} {}", self.short_name(inode)))
    }

    /// What a file is called. A temporary name is random; the log shows its beginning.
    fn short_name(&self, inode: u64) -> String {
        let name = self.contents.name_of(inode).unwrap_or("(unlinked)");
        name.strip_suffix(".tmp")
            .and_then(|name| name.rsplit_once('.'))
            .map_or(name, |(start, _)| start)
            .to_owned()
    }

    fn is_dead(&self) -> bool {
        self.fail.is_some_and(|failing| failing.is_dead)
    }

    /// Changes the bytes of a file.
    fn change(&mut self, inode: u64, what: What, is_half: bool) {
        self.order.changed(&self.contents, inode, &what);
        self.contents.inode(inode).change(what, is_half);
    }

    /// Takes space for so many bytes; says for how many there was some.
    fn take_space(&mut self, bytes: usize) -> usize {
        let Some(left) = &mut self.left else {
            return bytes;
        };
        let taken = bytes.min(*left);
        *left -= taken;
        taken
    }

    fn free_space(&mut self, bytes: usize) {
        if let Some(left) = &mut self.left {
            *left += bytes;
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
}

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultStore")
    }
}
