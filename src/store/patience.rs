//! How long an operation may wait for a lock, and who may end the wait.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

/// How long to wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockWait {
    /// At most this long.
    For(Duration),
    /// Not at all: try once.
    NoWait,
    /// Until it comes.
    Forever,
}

impl Default for LockWait {
    /// 30 seconds.
    fn default() -> Self {
        LockWait::For(Duration::from_secs(30))
    }
}

impl fmt::Display for LockWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockWait::For(duration) => write!(f, "{}ms", duration.as_millis()),
            LockWait::NoWait => f.write_str("no_wait"),
            LockWait::Forever => f.write_str("forever"),
        }
    }
}

impl FromStr for LockWait {
    type Err = Error;

    /// `no_wait`, `forever`, or a duration such as `30s`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "no_wait" => Ok(LockWait::NoWait),
            "forever" => Ok(LockWait::Forever),
            other => crate::format::time::parse_duration(other).map(LockWait::For),
        }
    }
}

/// Asked while a call waits; true ends the wait.
pub(crate) type InterruptCheck = Arc<dyn Fn() -> bool + Send + Sync>;

/// One wait: its end, and who is asked on the way.
pub(crate) struct Patience {
    started: Instant,
    wait: LockWait,
    check: Option<InterruptCheck>,
    asked: Cell<Instant>,
}

/// How often the interrupt check is asked while nothing else happens.
const CHECK_EVERY: Duration = Duration::from_millis(500);

impl Patience {
    pub(crate) fn new(wait: LockWait, check: Option<InterruptCheck>) -> Self {
        let started = Instant::now();
        Self {
            started,
            wait,
            check,
            asked: Cell::new(started),
        }
    }

    /// What is left; `None` when it is over, or when it was never to wait.
    pub(crate) fn left(&self) -> Option<Duration> {
        match self.wait {
            LockWait::Forever => Some(Duration::from_secs(3600)),
            LockWait::NoWait => None,
            LockWait::For(limit) => limit
                .checked_sub(self.started.elapsed())
                .filter(|left| !left.is_zero()),
        }
    }

    /// Whether there is no wait at all.
    pub(crate) fn tries_once(&self) -> bool {
        matches!(self.wait, LockWait::NoWait | LockWait::For(Duration::ZERO))
    }

    /// How long it has taken so far.
    pub(crate) fn waited(&self) -> Duration {
        self.started.elapsed()
    }

    /// Asks the caller's check whether to go on.
    pub(crate) fn ask(&self) -> Result<()> {
        match &self.check {
            Some(check) if check() => Err(interrupted()),
            _ => Ok(()),
        }
    }

    /// Asks it if it was not asked lately: for loops that turn faster than anybody needs to be asked.
    pub(crate) fn ask_sometimes(&self) -> Result<()> {
        if self.asked.get().elapsed() < CHECK_EVERY {
            return Ok(());
        }
        self.asked.set(Instant::now());
        self.ask()
    }

    /// A slice of waiting: at most `longest`, and short enough for the check.
    pub(crate) fn slice(&self, longest: Duration) -> Option<Duration> {
        let longest = if self.check.is_some() {
            longest.min(CHECK_EVERY)
        } else {
            longest
        };
        self.left().map(|left| left.min(longest))
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience")
            .field("started", &self.started)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

/// The error of a wait that was ended by an interrupt.
pub(crate) fn interrupted() -> Error {
    Error::new(
        ErrorKind::Interrupted,
        "the wait was interrupted; nothing was changed, call again to go on waiting",
    )
}
