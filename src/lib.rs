//! flockq: durable message queues in JSON files that processes in C, Go, Python, Rust and the shell
//! share. There is no server.
//!
//! A *spool* is a directory, a *queue* one `NAME.json` in it, a *message* a JSON payload with an
//! envelope. `send` returns when the message cannot be lost any more; `receive` takes one under a
//! *lease* and yields a *delivery*, which is *acked* when it is done.
//!
//! ```
//! # fn main() -> flockq::Result<()> {
//! # let directory = tempfile::tempdir().map_err(|_| ()).unwrap();
//! use flockq::{Receive, Spool};
//! use serde_json::json;
//!
//! let spool = Spool::builder(directory.path()).create(true).open()?;
//! let inbound = spool.queue("inbound")?;
//! let id = inbound.send(&json!({"to": "deacon/"}))?;
//! if let Some(delivery) = inbound.receive(Receive::new())? {
//!     assert_eq!(delivery.id(), id);
//!     delivery.ack()?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Crate features
//!
//! None is on by default.
//!
//! * `capi`: the C ABI of `include/flockq.h`.
//! * `python`: the extension module `flockq._flockq`.
//! * `cli`: the command line `flockq`.
//!
//! # Caveats
//!
//! * Delivery is at least once: a message comes again when its lease ran out, its consumer died or
//!   gave it back, or a power cut forgot an unsynced ack.
//! * In a plain queue every commit writes the whole file: its cost grows with the length of the queue.
//! * The file of a journalled queue shows what was folded last. What another program takes away by replacing it is gone.
//! * Programs that do not use the library do not know leases. Where they take messages too, use `pop`.
//! * A program that unlinks the lock file while it unlocks leaves a gap in which *its* changes and
//!   flockq's can overwrite each other. Processes with the library never lose each other's messages as long as nobody removes
//!   the guard file as well.
//! * At durability `off` a power cut can lose the last commits, and leave a plain queue's file empty or zeroed; it is then
//!   reported as damaged, not as an empty queue.
//! * How a lock was used is told once a second; a process that is killed takes the last of that with it. What is done with
//!   messages is counted exactly.
//! * A plain queue does not know which ids have left it: there `dedup` sees what is in the queue.
//! * Leases end at a reboot. Network file systems are refused.
//! * Whoever may open the lock file can keep everybody waiting: the directory's permissions are the boundary.
//! * Linux is what is built and tested.

#[cfg(not(unix))]
compile_error!("flockq needs flock(2): it is built and tested on Linux");

mod check;
mod config;
mod delivery;
mod doctor;
mod envelope;
mod error;
mod format;
mod index;
mod lockfile;
mod message;
mod metrics;
mod queue;
#[cfg(all(test, shuttle))]
mod schedules;
mod spool;
mod store;
mod sync;
mod wait;

#[cfg(feature = "capi")]
pub mod capi;
#[cfg(feature = "python")]
mod python;

pub use check::{Finding, Report};
pub use config::{Init, Mode, Sync};
pub use delivery::Delivery;
pub use doctor::{Advice, Severity};
pub use envelope::Envelope;
pub use error::{Error, ErrorKind, Result};
pub use format::counters::Counters;
pub use format::priority::Priority;
pub use format::time::parse_duration;
pub use format::{MAX_DEPTH, MAX_ID_BYTES, MAX_PAYLOAD_BYTES};
pub use index::state::State;
pub use lockfile::{FileLock, FileLockBuilder, write_atomic};
pub use message::{IntoMessage, Message};
pub use queue::{
    Array, Filter, Keeper, List, LockStats, Nack, Page, Queue, Receive, Redriven, Stats,
    Transaction, Work,
};
pub use spool::{Spool, SpoolBuilder};
pub use store::LockKind;
pub use store::patience::LockWait;
