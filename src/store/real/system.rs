//! The real clocks, this process, and chance.

use std::fs;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::format::time::Timestamp;
use crate::store::System;

#[derive(Debug)]
pub(super) struct RealSystem;

/// The id of this boot, read once.
pub(super) fn boot_id() -> &'static Arc<str> {
    static BOOT_ID: OnceLock<Arc<str>> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        let read = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        // Without it a reboot cannot be told: leases then end at their deadline alone.
        read.map_or_else(|_| Arc::from("unknown"), |id| Arc::from(id.trim()))
    })
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
        let mut bytes = [0u8; 8];
        let filled = super::retry(|| {
            rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        });
        if filled.is_ok_and(|size| size == bytes.len()) {
            return u64::from_le_bytes(bytes);
        }
        // Where the system has no such call: what tells this moment in this process from others.
        let moment = clock_gettime(ClockId::Monotonic).tv_nsec.unsigned_abs();
        (self.boot_ms() << 20) ^ moment ^ (u64::from(std::process::id()) << 44)
    }

    fn process(&self) -> (u32, u64) {
        let pid = std::process::id();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // Field 22 is the start time; the second field is a name in brackets that may hold spaces.
        let start = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(19))
            .and_then(|field| field.parse().ok());
        (pid, start.unwrap_or_default())
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }
}
