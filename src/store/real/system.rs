//! The real clocks, this process, and chance.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use super::generation;
use crate::format::time::Timestamp;
use crate::store::System;

#[derive(Debug)]
pub(super) struct RealSystem;

/// Random numbers of one thread that nobody has used: the system is asked for many at a time.
struct Pool {
    generation: u64,
    numbers: Vec<u64>,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { generation: 0, numbers: Vec::new() }) };
}

fn fresh_numbers() -> Vec<u64> {
    // As many as the system gives without being interrupted.
    let mut bytes = [0u8; 256];
    let filled =
        super::retry(|| rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()));
    let (numbers, _) = bytes.as_chunks();
    let numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
    numbers.take(filled.unwrap_or_default() / 8).collect()
}

/// Where the system gives no random numbers: what tells this moment in this process from others.
fn moment() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanoseconds) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    (seconds << 32) ^ nanoseconds ^ (u64::from(std::process::id()) << 44)
}

static BOOT_ID: OnceLock<Arc<str>> = OnceLock::new();

/// Reads the id of this boot, once. Fails when it cannot be read just now: who took another one for it would take every lease for one
/// of another boot.
pub(super) fn read_boot_id() -> io::Result<()> {
    if BOOT_ID.get().is_none() {
        let passing = |error: &io::Error| {
            let errno = error.raw_os_error();
            matches!(
                errno,
                Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EIO | libc::EAGAIN)
            )
        };
        let id = match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
            Err(error) if passing(&error) => return Err(error),
            // Without it a reboot cannot be told: leases then end at their deadline alone.
            Err(_) => Arc::from("unknown"),
            Ok(id) => Arc::from(id.trim()),
        };
        // So that no fork finds it half set.
        let _no_fork = super::descriptors();
        BOOT_ID.get_or_init(|| id);
    }
    Ok(())
}

/// The id of this boot; whoever opened a store has read it.
pub(super) fn boot_id() -> &'static Arc<str> {
    BOOT_ID.get_or_init(|| Arc::from("unknown"))
}

impl System for RealSystem {
    fn wall(&self) -> Timestamp {
        // A clock outside the years 1 to 9999 counts as "never": it orders first and is due at once.
        Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn boot_ms(&self) -> u64 {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
        seconds * 1000 + nanoseconds / 1_000_000
    }

    fn boot_id(&self) -> Arc<str> {
        Arc::clone(boot_id())
    }

    fn random(&self) -> u64 {
        POOL.with_borrow_mut(|pool| {
            // A forked child has a copy of its parent's numbers and must not use them too.
            if pool.numbers.is_empty() || pool.generation != generation() {
                pool.generation = generation();
                pool.numbers = fresh_numbers();
            }
            pool.numbers.pop().unwrap_or_else(moment)
        })
    }

    fn process(&self) -> io::Result<(u32, u64)> {
        let pid = std::process::id();
        let stat = fs::read_to_string("/proc/self/stat")?;
        // Field 22 is the start time; the second field is a name in brackets that may hold spaces.
        let start = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(19))
            .and_then(|field| field.parse().ok());
        Ok((pid, start.unwrap_or_default()))
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }
}
