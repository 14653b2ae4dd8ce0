//! A clock that stands still unless it is told to go on, and chance that counts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::format::time::Timestamp;
use crate::store::System;

#[derive(Debug, Default)]
pub(super) struct Clock {
    drawn: AtomicU64,
    passed_ms: AtomicU64,
    /// So far the wall clock was set back.
    back_ms: AtomicU64,
    boots: u64,
}

impl Clock {
    /// Lets time pass.
    pub(super) fn pass(&self, milliseconds: u64) {
        self.passed_ms.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Sets the wall clock back, at most to where it began.
    pub(super) fn set_back(&self, milliseconds: u64) {
        self.back_ms.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// The same clock on another disk: what is drawn there has not been drawn here.
    pub(super) fn copy(&self) -> Self {
        Self {
            drawn: AtomicU64::new(self.drawn.load(Ordering::Relaxed)),
            passed_ms: AtomicU64::new(self.passed_ms.load(Ordering::Relaxed)),
            back_ms: AtomicU64::new(self.back_ms.load(Ordering::Relaxed)),
            boots: self.boots,
        }
    }

    /// The clock after the machine was started again.
    pub(super) fn booted(&self) -> Self {
        Self {
            boots: self.boots + 1,
            ..self.copy()
        }
    }
}

impl System for Clock {
    fn wall(&self) -> Timestamp {
        let start = "2026-02-03T09:00:00Z".parse().unwrap();
        let passed = self.passed_ms.load(Ordering::Relaxed);
        let passed = passed.saturating_sub(self.back_ms.load(Ordering::Relaxed));
        crate::format::time::after(start, Duration::from_millis(passed))
    }

    fn boot_ms(&self) -> u64 {
        1_000_000 + self.passed_ms.load(Ordering::Relaxed)
    }

    fn boot_id(&self) -> Arc<str> {
        match self.boots {
            0 => Arc::from("boot"),
            boots => format!("boot {boots}").into(),
        }
    }

    fn random(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed)
    }

    fn process(&self) -> io::Result<(u32, u64)> {
        Ok((1, 1))
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
