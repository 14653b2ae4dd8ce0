//! Option structs, and their translation.

use std::ffi::c_void;
use std::time::Duration;

use super::guard::{Options, bytes, optional_text, texts};
use super::{flockq_bytes, flockq_mode, flockq_priority, flockq_state, flockq_sync};
use crate::{
    Error, ErrorKind, Filter, List, LockWait, Message, MessageUpdate, Mode, Nack, Priority,
    Receive, Result, State, Sync,
};

/// Where a wait is given in milliseconds: not at all, try once. In an update's delay: at once.
pub const FLOCKQ_NO_WAIT: u64 = u64::MAX - 1;
/// Where a wait is given in milliseconds: until it comes. In an update's time to live: however old it is.
pub const FLOCKQ_FOREVER: u64 = u64::MAX;

/// The largest payload that can be sent, in bytes.
pub const FLOCKQ_MAX_PAYLOAD_BYTES: usize = 16_777_216;
/// How deep arrays and objects in a payload may stand in each other.
pub const FLOCKQ_MAX_DEPTH: usize = 100;
/// The longest id that can be given to a message, in bytes.
pub const FLOCKQ_MAX_ID_BYTES: usize = 512;

// The header needs literals; these are the core's.
const _: () = assert!(
    FLOCKQ_MAX_PAYLOAD_BYTES == crate::MAX_PAYLOAD_BYTES
        && FLOCKQ_MAX_DEPTH == crate::MAX_DEPTH
        && FLOCKQ_MAX_ID_BYTES == crate::MAX_ID_BYTES
);

/// Asked while a call waits, after every signal and at least once a second; non-zero ends the wait with
/// FLOCKQ_STATUS_INTERRUPTED. It must not use the spool. It may be called from any thread that uses it, and
/// from the threads of keepers (flockq_queue_keep()).
pub type flockq_interrupt_check = Option<unsafe extern "C" fn(context: *mut c_void) -> i32>;

/// Options of flockq_spool_open(). All zero (but `size`) means the defaults.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_spool_options {
    /// sizeof(flockq_spool_options).
    pub size: usize,
    /// Non-zero: make the directory, and its parents, when it is missing.
    pub create: u32,
    /// Non-zero: go on where it is not known that locks exclude.
    pub allow_unverified_fs: u32,
    /// A flockq_sync: the durability of this process's commits.
    pub sync: u32,
    /// Must be zero.
    pub reserved: u32,
    /// How long operations wait for a lock; 0 is 30 seconds, or FLOCKQ_NO_WAIT or FLOCKQ_FOREVER.
    pub lock_wait_ms: u64,
    /// Asked while a call waits; NULL for nobody.
    pub interrupt_check: flockq_interrupt_check,
    /// Given to `interrupt_check`. It has to stay good until the spool and all that was opened from it is freed.
    pub interrupt_context: *mut c_void,
}

/// Options of flockq_spool_init(). All zero (but `size`) means the defaults.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_init_options {
    /// sizeof(flockq_init_options).
    pub size: usize,
    /// Non-zero: new queues are plain files, for directories that are shared with programs without the library.
    pub plain: u32,
    /// A flockq_sync: the durability of all queues.
    pub sync: u32,
    /// Another lock directory, relative to the spool; no bytes for the usual one.
    pub lock_dir: flockq_bytes,
}

/// Options of flockq_queue_send() and flockq_queue_send_many(). All zero (but `size`) means the defaults.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_send_options {
    /// sizeof(flockq_send_options).
    pub size: usize,
    /// The message's id; no bytes: the payload's own string `id`, else a new UUIDv7. Of several messages only one can have it.
    pub id: flockq_bytes,
    /// A flockq_priority.
    pub priority: u32,
    /// Non-zero: with an id that is already in the queue, or left it within its dedup_window, send nothing and return that id.
    pub dedup: u32,
    /// Not to be received before this many milliseconds have passed.
    pub delay_ms: u64,
    /// A flockq_sync: the durability of this send alone.
    pub sync: u32,
    /// Must be zero.
    pub reserved: u32,
    /// Not to be delivered any more when this many milliseconds have passed; 0 is never.
    pub ttl_ms: u64,
    /// When the queue is full, wait this long for room; 0 does not wait; or FLOCKQ_FOREVER.
    pub wait_ms: u64,
}

/// What flockq_queue_update_message() changes. What is zero stays as it is.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_update_options {
    /// sizeof(flockq_update_options).
    pub size: usize,
    /// Another payload, whose bytes are kept as they are. The message keeps its id, whatever the payload says of itself.
    pub json: flockq_bytes,
    /// A flockq_priority.
    pub priority: u32,
    /// Must be zero.
    pub reserved: u32,
    /// Not to be received before this many milliseconds have passed from now; FLOCKQ_NO_WAIT: at once.
    pub delay_ms: u64,
    /// Not to be delivered any more when this many milliseconds have passed from now; FLOCKQ_FOREVER: however old it is.
    pub ttl_ms: u64,
}

/// Options of flockq_queue_receive() and flockq_queue_receive_many(). All zero (but `size`) means the defaults.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_receive_options {
    /// sizeof(flockq_receive_options).
    pub size: usize,
    /// How long the message is this consumer's; 0 is as configured, else 5 minutes.
    pub lease_ms: u64,
    /// Wait this long for a message; 0 does not wait; or FLOCKQ_FOREVER.
    pub wait_ms: u64,
    /// Non-zero: the lease ends at its deadline or a reboot, but not with this process.
    pub detached: u32,
    /// Must be zero.
    pub reserved: u32,
}

/// Options of a nack. All zero (but `size`) means: given back without a reason, ready at once; given up
/// if that was the last attempt.
///
/// What has a reason has failed: it waits and is given up as the queue's policy in flockq.json says.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_nack_options {
    /// sizeof(flockq_nack_options).
    pub size: usize,
    /// Why it failed; kept in the envelope. No bytes: no reason.
    pub reason: flockq_bytes,
    /// Not to be received again before this many milliseconds have passed; 0 is as the policy says.
    pub delay_ms: u64,
}

/// Which messages flockq_queue_move_to() and flockq_queue_redrive() move. All zero (but `size`) means all that nobody has under
/// a lease.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_filter_options {
    /// sizeof(flockq_filter_options).
    pub size: usize,
    /// Only those with one of these ids; NULL for any. An array that is empty names none.
    pub ids: *const flockq_bytes,
    /// How many `ids` there are.
    pub id_count: usize,
    /// A flockq_state: only messages in this state.
    pub state: u32,
    /// Must be zero.
    pub reserved: u32,
    /// Only those whose error has this in it; no bytes for any.
    pub error: flockq_bytes,
    /// At most this many; 0 is all.
    pub limit: u64,
}

/// Options of flockq_queue_list(). All zero (but `size`) means the defaults.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_list_options {
    /// sizeof(flockq_list_options).
    pub size: usize,
    /// A flockq_state: only messages in this state.
    pub state: u32,
    /// Must be zero.
    pub reserved: u32,
    /// At most this many; 0 is 100.
    pub limit: u64,
    /// From where the page before ended: its flockq_envelopes_cursor(). No bytes: from the start.
    pub cursor: flockq_bytes,
}

/// Options of flockq_file_lock_acquire(). All zero (but `size`) means the defaults.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct flockq_file_lock_options {
    /// sizeof(flockq_file_lock_options).
    pub size: usize,
    /// Non-zero: shared; others may have it shared at the same time.
    pub shared: u32,
    /// Non-zero: go on where it is not known that locks exclude.
    pub allow_unverified_fs: u32,
    /// Non-zero: the lock does not belong to the thread that takes it, for languages in which callers share threads. Whoever
    /// asks for a lock that he has then waits for himself.
    pub untied: u32,
    /// Must be zero.
    pub reserved: u32,
    /// How long to wait; 0 is 30 seconds, or FLOCKQ_NO_WAIT or FLOCKQ_FOREVER.
    pub wait_ms: u64,
    /// Asked while the call waits; NULL for nobody.
    pub interrupt_check: flockq_interrupt_check,
    /// Given to `interrupt_check`. It has to stay good until the call returns.
    pub interrupt_context: *mut c_void,
}

// SAFETY: numbers, pointers that are not followed here, and a nullable function pointer that only a caller who set it gets called.
unsafe impl Options for flockq_spool_options {
    fn reserved(&self) -> u32 {
        self.reserved
    }
}
// SAFETY: numbers and pointers.
unsafe impl Options for flockq_init_options {}
// SAFETY: numbers and pointers.
unsafe impl Options for flockq_send_options {
    fn reserved(&self) -> u32 {
        self.reserved
    }
}
// SAFETY: numbers and pointers.
unsafe impl Options for flockq_update_options {
    fn reserved(&self) -> u32 {
        self.reserved
    }
}
// SAFETY: numbers.
unsafe impl Options for flockq_receive_options {
    fn reserved(&self) -> u32 {
        self.reserved
    }
}
// SAFETY: numbers and pointers.
unsafe impl Options for flockq_nack_options {}
// SAFETY: numbers and pointers.
unsafe impl Options for flockq_filter_options {
    fn reserved(&self) -> u32 {
        self.reserved
    }
}
// SAFETY: numbers and pointers.
unsafe impl Options for flockq_list_options {
    fn reserved(&self) -> u32 {
        self.reserved
    }
}
// SAFETY: as for the spool's.
unsafe impl Options for flockq_file_lock_options {
    fn reserved(&self) -> u32 {
        self.reserved
    }
}

/// A callback and its context, which the caller has promised may be used from any thread.
struct Check(unsafe extern "C" fn(*mut c_void) -> i32, *mut c_void);

// SAFETY: the documentation of `flockq_interrupt_check` asks for it.
unsafe impl Send for Check {}
// SAFETY: as above.
unsafe impl std::marker::Sync for Check {}

impl Check {
    fn ask(&self) -> bool {
        // SAFETY: the caller gave the function together with its context and keeps both as long as the spool.
        let answer = unsafe { (self.0)(self.1) };
        answer != 0
    }
}

/// The caller's check as a closure.
pub(super) fn interrupt_check(
    check: flockq_interrupt_check,
    context: *mut c_void,
) -> Option<impl Fn() -> bool + Send + std::marker::Sync> {
    let check = Check(check?, context);
    Some(move || check.ask())
}

/// A wait for a lock.
pub(super) fn lock_wait(milliseconds: u64) -> LockWait {
    match milliseconds {
        0 => LockWait::default(),
        FLOCKQ_NO_WAIT => LockWait::NoWait,
        FLOCKQ_FOREVER => LockWait::Forever,
        other => LockWait::For(Duration::from_millis(other)),
    }
}

pub(super) fn sync(value: u32) -> Result<Option<Sync>> {
    chosen(
        value,
        "sync",
        &[
            (flockq_sync::Full as u32, Sync::Full),
            (flockq_sync::Normal as u32, Sync::Normal),
            (flockq_sync::Off as u32, Sync::Off),
        ],
    )
}

pub(super) fn mode(value: u32) -> Result<Option<Mode>> {
    chosen(
        value,
        "mode",
        &[
            (flockq_mode::Plain as u32, Mode::Plain),
            (flockq_mode::Journal as u32, Mode::Journal),
        ],
    )
}

pub(super) fn state(value: u32) -> Result<Option<State>> {
    chosen(
        value,
        "state",
        &[
            (flockq_state::Ready as u32, State::Ready),
            (flockq_state::Delayed as u32, State::Delayed),
            (flockq_state::Leased as u32, State::Leased),
        ],
    )
}

fn priority(value: u32) -> Result<Option<Priority>> {
    let table = Priority::ALL.map(|priority| (flockq_priority::from(priority) as u32, priority));
    chosen(value, "priority", &table)
}

/// A number from C as one of ours: 0 is none.
fn chosen<T: Copy>(value: u32, what: &str, table: &[(u32, T)]) -> Result<Option<T>> {
    if value == 0 {
        return Ok(None);
    }
    let found = table
        .iter()
        .find(|(number, _)| *number == value)
        .map(|(_, choice)| Some(*choice));
    found.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{value} is no {what}; use the constants of flockq.h"),
        )
    })
}

pub(super) fn message(payload: &[u8], options: &flockq_send_options) -> Result<Message> {
    let mut message = Message::from_json(payload).dedup(options.dedup != 0);
    if let Some(id) = optional_text(options.id, "id")? {
        message = message.id(id);
    }
    if let Some(priority) = priority(options.priority)? {
        message = message.priority(priority);
    }
    if options.delay_ms != 0 {
        message = message.delay(Duration::from_millis(options.delay_ms));
    }
    if options.ttl_ms != 0 {
        message = message.ttl(Duration::from_millis(options.ttl_ms));
    }
    if let Some(sync) = sync(options.sync)? {
        message = message.sync(sync);
    }
    Ok(match options.wait_ms {
        0 | FLOCKQ_NO_WAIT => message,
        FLOCKQ_FOREVER => message.wait_forever(),
        other => message.wait(Duration::from_millis(other)),
    })
}

pub(super) fn update(options: &flockq_update_options) -> Result<MessageUpdate> {
    let mut update = MessageUpdate::new();
    if !options.json.data.is_null() || options.json.size != 0 {
        update = update.payload_from_json(bytes(options.json, "json")?);
    }
    if let Some(priority) = priority(options.priority)? {
        update = update.priority(priority);
    }
    update = match options.delay_ms {
        0 => update,
        FLOCKQ_NO_WAIT => update.delay(Duration::ZERO),
        other => update.delay(Duration::from_millis(other)),
    };
    Ok(match options.ttl_ms {
        0 => update,
        FLOCKQ_FOREVER => update.no_ttl(),
        other => update.ttl(Duration::from_millis(other)),
    })
}

pub(super) fn receive(options: &flockq_receive_options) -> Receive {
    let mut how = Receive::new();
    if options.lease_ms != 0 {
        how = how.lease(Duration::from_millis(options.lease_ms));
    }
    how = match options.wait_ms {
        0 | FLOCKQ_NO_WAIT => how,
        FLOCKQ_FOREVER => how.wait_forever(),
        other => how.wait(Duration::from_millis(other)),
    };
    if options.detached != 0 {
        how.detached()
    } else {
        how
    }
}

pub(super) fn nack(options: &flockq_nack_options) -> Result<Nack> {
    let nack = Nack::new().delay(Duration::from_millis(options.delay_ms));
    Ok(match optional_text(options.reason, "reason")? {
        Some(reason) => nack.error(reason),
        None => nack,
    })
}

pub(super) fn filter(options: &flockq_filter_options) -> Result<Filter> {
    let mut filter = Filter::new();
    if !options.ids.is_null() {
        filter = filter.ids(texts(options.ids, options.id_count, "an id")?);
    }
    if let Some(state) = state(options.state)? {
        filter = filter.state(state);
    }
    if let Some(error) = optional_text(options.error, "error")? {
        filter = filter.error(error);
    }
    if options.limit != 0 {
        filter = filter.limit(usize::try_from(options.limit).unwrap_or(usize::MAX));
    }
    Ok(filter)
}

pub(super) fn list(options: &flockq_list_options) -> Result<List> {
    let mut list = List::new();
    if let Some(state) = state(options.state)? {
        list = list.state(state);
    }
    if options.limit != 0 {
        list = list.limit(usize::try_from(options.limit).unwrap_or(usize::MAX));
    }
    if let Some(cursor) = optional_text(options.cursor, "cursor")? {
        list = list.cursor(cursor);
    }
    Ok(list)
}
