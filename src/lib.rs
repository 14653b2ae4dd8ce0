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
//! * Delivery is at least once: a message is delivered again when its lease runs out, its consumer
//!   dies or gives it back, or a power cut undoes an unsynced ack or pop.
//! * In a plain queue every commit rewrites the whole file: its cost grows with the length of the
//!   queue.
//! * The file of a journalled queue shows the queue as of the last checkpoint. What another program
//!   removes by replacing that file is gone.
//! * Programs that do not use the library do not know about leases. Where they take messages too,
//!   use `pop`.
//! * A program that does not know about moves can cause a second delivery: when a killed process
//!   has left a message between two queues, and the program takes it from one of the files, or
//!   drops its `move` key, before flockq has finished the move.
//! * A queue takes back every message that is ready in its retry queue, unless it came from another
//!   queue.
//! * A program that unlinks the lock file when it unlocks leaves a gap in which *its* changes and
//!   flockq's can overwrite each other. Processes with the library never lose each other's
//!   messages, as long as nobody removes the guard file as well.
//! * At durability `off` a power cut can lose the last commits, and leave a plain queue's file
//!   empty or zeroed; it is then reported as damaged, not as an empty queue.
//! * Lock statistics are written once a second, when the process next does something: a killed
//!   process takes the last of them with it. In a journalled queue the counts of messages are
//!   exact. Writes of other programs to a plain queue are counted when flockq next writes it, so
//!   several can count as one.
//! * On a full disk, acks in a journalled queue use a reserve of 64 KiB. Once it is in use, a send
//!   by another process, or on btrfs any large send that fails, may take that space, and a new
//!   consumer may get leases that do not end with its process. A plain queue cannot be changed at
//!   all: each change writes a new file.
//! * A plain queue does not remember the ids that have left it: there `dedup` sees only what is in the
//!   queue, and not what waits in its retry queue. A journalled queue with a `dedup_window` does.
//! * When `retry_queue` is changed, what waits in the old one stays there until it is redriven;
//!   `flockq doctor` says so.
//! * `stats`, and each page of `list`, look at every message: their cost grows with the queue.
//! * All senders that wait for room in a full queue wake together; which of them sends first is a
//!   matter of chance.
//! * Leases end at a reboot. Network file systems are refused by default.
//! * Whoever can open the lock file can keep everybody else waiting: the directory's permissions
//!   are the boundary.
//! * Only Linux is built and tested.

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
    Array, Filter, Keeper, List, LockStats, MessageUpdate, Nack, Page, Queue, Receive, Redriven,
    Stats, Transaction, Work,
};
pub use spool::{Spool, SpoolBuilder};
pub use store::LockKind;
pub use store::patience::LockWait;
pub use wait::Cancel;
