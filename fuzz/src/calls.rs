//! Sequences of calls of the C ABI, with handles of which some are NULL or closed, and options of any size: each call
//! returns a status that is no bug, an error with a message if that is not OK, and its outputs only if it is. What is left
//! behind is sound.

use std::ptr::{null, null_mut};

use flockq::capi::*;
use flockq::{Spool, Sync};

use super::input::Input;
use super::place;

const NAMES: [&[u8]; 4] = [b"q", b"retry", b"dead", b"../q"];
const PAYLOADS: [&[u8]; 6] = [
    b"1",
    b"{\"id\":\"m1\",\"priority\":\"high\"}",
    b"[",
    b"",
    b"\"\xff\"",
    b"{\"body\":\"x\"}",
];
const NUMBERS: [u64; 6] = [0, 1, 60_000, u64::MAX / 2, FLOCKQ_NO_WAIT, FLOCKQ_FOREVER];
/// Nobody waits for anything here.
const WAITS: [u64; 3] = [0, 1, FLOCKQ_NO_WAIT];
/// More than all.
const CALLS: usize = 60;

fn bytes(of: &[u8]) -> flockq_bytes {
    flockq_bytes {
        data: of.as_ptr().cast(),
        size: of.len(),
    }
}

/// An options struct with room behind it, as a newer header's would have.
#[repr(C)]
struct Longer<T>(T, [u8; 4096]);

impl<T> Longer<T> {
    /// As it is, or NULL. `T` begins with its size, which its maker chose.
    fn new(options: T, input: &mut Input<'_>) -> Box<Self> {
        Box::new(Self(options, [u8::from(input.byte() == 1); 4096]))
    }

    fn pointer(&self) -> *const T {
        (&raw const *self).cast()
    }
}

/// What a caller says the size of his options is: mostly the right one.
fn size<T>(input: &mut Input<'_>) -> usize {
    match input.byte() {
        1 => 0,
        2 => size_of::<usize>(),
        3 => size_of::<T>() - 1,
        4 => size_of::<T>() + 8,
        5 => 4096,
        6 => usize::MAX,
        _ => size_of::<T>(),
    }
}

struct Session {
    spool: *mut flockq_spool,
    queues: Vec<*mut flockq_queue>,
    deliveries: Vec<*mut flockq_delivery>,
    lists: Vec<*mut flockq_deliveries>,
    transactions: Vec<*mut flockq_transaction>,
    locks: Vec<*mut flockq_file_lock>,
    keepers: Vec<*mut flockq_keeper>,
}

/// One call; its error is told and freed.
fn call(call: impl FnOnce(*mut *mut flockq_error) -> flockq_status) -> bool {
    let mut error = null_mut();
    let status = call(&raw mut error);
    assert_eq!(status == flockq_status::Ok, error.is_null());
    if !error.is_null() {
        assert_eq!(flockq_error_status(error), status);
        let message = String::from_utf8_lossy(seen(flockq_error_message(error))).into_owned();
        assert!(
            !message.is_empty() && !message.contains('\n'),
            "{message:?}"
        );
        assert!(status != flockq_status::Internal, "{message}");
        seen(flockq_error_path(error));
        flockq_error_free(error);
    }
    status == flockq_status::Ok
}

/// A call that gives a handle, which is taken back by `free` if nobody keeps it.
fn gives<T>(made: impl FnOnce(*mut *mut T, *mut *mut flockq_error) -> flockq_status) -> *mut T {
    let mut handle = null_mut();
    let ok = call(|error| made(&raw mut handle, error));
    assert!(
        ok || handle.is_null(),
        "an output is written only on success"
    );
    handle
}

/// Every byte that goes out can be read.
fn seen<'a>(borrowed: flockq_bytes) -> &'a [u8] {
    if borrowed.data.is_null() {
        assert_eq!(borrowed.size, 0);
        return &[];
    }
    // SAFETY: rule 5 of the header: borrowed results live until their object is freed, which is after this.
    unsafe { std::slice::from_raw_parts(borrowed.data.cast(), borrowed.size) }
}

fn pick<T>(handles: &[*mut T], input: &mut Input<'_>) -> *mut T {
    // One more than there are: NULL.
    let place = usize::from(input.byte()) % (handles.len() + 1);
    handles.get(place).copied().unwrap_or(null_mut())
}

fn keep<T>(handles: &mut Vec<*mut T>, handle: *mut T) {
    if !handle.is_null() {
        handles.push(handle);
    }
}

fn show(envelopes: *mut flockq_envelopes) {
    for place in 0..=flockq_envelopes_size(envelopes) {
        let one = flockq_envelopes_get(envelopes, place);
        for part in [
            flockq_envelope_id(one),
            flockq_envelope_payload(one),
            flockq_envelope_text(one),
            flockq_envelope_reason(one),
            flockq_envelope_errors(one),
            flockq_envelope_origin(one),
            flockq_envelope_lease_until(one),
        ] {
            seen(part);
        }
    }
    seen(flockq_envelopes_cursor(envelopes));
    flockq_envelopes_free(envelopes);
}

impl Session {
    fn queue(&self, input: &mut Input<'_>) -> *mut flockq_queue {
        pick(&self.queues, input)
    }

    fn send(&mut self, input: &mut Input<'_>) {
        let queue = self.queue(input);
        let options = flockq_send_options {
            size: size::<flockq_send_options>(input),
            id: bytes(input.of(&[b"", b"m1", b"m2", b"\xff"])),
            priority: u32::from(input.byte() % 7),
            dedup: u32::from(input.byte() % 2),
            delay_ms: input.of(&NUMBERS),
            sync: u32::from(input.byte() % 5),
            reserved: u32::from(input.byte() == 1),
            ttl_ms: input.of(&NUMBERS),
            wait_ms: input.of(&WAITS),
        };
        let options = Longer::new(options, input);
        let options = if input.byte().is_multiple_of(2) {
            null()
        } else {
            options.pointer()
        };
        let payloads: Vec<_> = (0..input.byte() % 4)
            .map(|_| bytes(input.of(&PAYLOADS)))
            .collect();
        if let [one] = payloads[..] {
            let id = gives(|id, error| flockq_queue_send(queue, one, options, id, error));
            seen(flockq_text_bytes(id));
            flockq_text_free(id);
        } else {
            let ids = gives(|ids, error| {
                flockq_queue_send_many(
                    queue,
                    payloads.as_ptr(),
                    payloads.len(),
                    options,
                    ids,
                    error,
                )
            });
            assert!(ids.is_null() || flockq_texts_size(ids) == payloads.len());
            flockq_texts_free(ids);
        }
    }

    fn receive(&mut self, input: &mut Input<'_>) {
        let queue = self.queue(input);
        let options = flockq_receive_options {
            size: size::<flockq_receive_options>(input),
            lease_ms: input.of(&NUMBERS),
            wait_ms: input.of(&WAITS),
            detached: u32::from(input.byte() % 2),
            reserved: u32::from(input.byte() == 1),
        };
        let options = Longer::new(options, input);
        let options = if input.byte().is_multiple_of(2) {
            null()
        } else {
            options.pointer()
        };
        if input.byte().is_multiple_of(2) {
            let delivery = gives(|to, error| flockq_queue_receive(queue, options, to, error));
            keep(&mut self.deliveries, delivery);
        } else {
            let most = usize::from(input.byte() % 5);
            let all = gives(|to, error| flockq_queue_receive_many(queue, most, options, to, error));
            keep(&mut self.lists, all);
        }
    }

    /// One of the deliveries, of whichever kind.
    fn delivery(&self, input: &mut Input<'_>) -> *const flockq_delivery {
        match input.byte() % 2 {
            0 => pick(&self.deliveries, input),
            _ => {
                let list = pick(&self.lists, input);
                flockq_deliveries_get(list, usize::from(input.byte() % 4))
            }
        }
    }

    fn settle(&mut self, input: &mut Input<'_>) {
        let delivery = self.delivery(input);
        let receipt = match input.byte() % 4 {
            0 => bytes(input.line()),
            _ => flockq_delivery_receipt(delivery),
        };
        let receipts = [receipt, flockq_delivery_receipt(self.delivery(input))];
        let mut results = [flockq_status::Internal; 2];
        let (results, queue) = (results.as_mut_ptr(), self.queue(input));
        let count = usize::from(input.byte() % 3);
        let nack = flockq_nack_options {
            size: size::<flockq_nack_options>(input),
            reason: bytes(input.of(&[b"", b"failed", b"\xff"])),
            delay_ms: input.of(&NUMBERS),
        };
        let nack = Longer::new(nack, input);
        let (nack, lease) = (nack.pointer(), input.of(&NUMBERS));
        let receipts = receipts.as_ptr();
        call(|error| match input.byte() % 8 {
            0 => flockq_delivery_ack(delivery, error),
            1 => flockq_delivery_nack(delivery, nack, error),
            2 => flockq_delivery_extend(delivery, lease, error),
            3 => flockq_delivery_detach(delivery, error),
            4 => flockq_queue_ack(queue, receipts, count, results, error),
            5 => flockq_queue_nack(queue, receipts, count, nack, results, error),
            6 => flockq_queue_extend(queue, receipts, count, lease, results, error),
            _ => flockq_queue_detach(queue, receipts, count, results, error),
        });
        if input.byte() == 1 {
            let keeper = gives(|to, error| flockq_queue_keep(queue, receipt, lease, to, error));
            keep(&mut self.keepers, keeper);
        }
    }

    fn look(&mut self, input: &mut Input<'_>) {
        let queue = self.queue(input);
        let options = flockq_list_options {
            size: size::<flockq_list_options>(input),
            state: u32::from(input.byte() % 5),
            reserved: 0,
            limit: input.of(&NUMBERS),
            cursor: bytes(input.of(&[b"", b"2.0.0", b"1.9.9", b"x"])),
        };
        let options = Longer::new(options, input);
        let list = options.pointer();
        show(match input.byte() % 3 {
            0 => gives(|to, error| flockq_queue_list(queue, list, to, error)),
            1 => gives(|to, error| flockq_queue_peek(queue, 2, to, error)),
            _ => gives(|to, error| flockq_queue_get(queue, bytes(b"m1"), to, error)),
        });
        let (mut len, mut mode) = (0, flockq_mode::Default);
        call(|error| flockq_queue_len(queue, &raw mut len, error));
        call(|error| flockq_queue_mode(queue, &raw mut mode, error));
        let mut stats = std::mem::MaybeUninit::zeroed();
        call(|error| flockq_queue_stats(queue, stats.as_mut_ptr(), error));
        let pop = input.byte().is_multiple_of(3);
        let envelope = gives(|to, error| match pop {
            true => flockq_queue_pop(queue, to, error),
            false => flockq_queue_pop(null(), to, error),
        });
        seen(flockq_envelope_text(envelope));
        flockq_envelope_free(envelope);
    }

    fn update(&mut self, input: &mut Input<'_>) {
        let queue = self.queue(input);
        let options = flockq_update_options {
            size: size::<flockq_update_options>(input),
            json: bytes(input.of(&PAYLOADS)),
            priority: u32::from(input.byte() % 6),
            reserved: 0,
            delay_ms: input.of(&NUMBERS),
            ttl_ms: input.of(&NUMBERS),
        };
        let options = Longer::new(options, input);
        let (update, mut updated) = (options.pointer(), 0);
        call(|error| {
            flockq_queue_update_message(queue, bytes(b"m1"), update, &raw mut updated, error)
        });
    }

    fn administer(&mut self, input: &mut Input<'_>) {
        let queue = self.queue(input);
        let ids = [bytes(b"m1"), bytes(b"m2")];
        let filter = flockq_filter_options {
            size: size::<flockq_filter_options>(input),
            ids: if input.byte().is_multiple_of(2) {
                null()
            } else {
                ids.as_ptr()
            },
            id_count: usize::from(input.byte() % 3),
            state: u32::from(input.byte() % 5),
            reserved: 0,
            error: bytes(input.of(&[b"", b"failed"])),
            limit: input.of(&NUMBERS),
        };
        let filter = Longer::new(filter, input);
        let (filter, target) = (filter.pointer(), bytes(input.of(&NAMES)));
        let (mut removed, state) = (0, u32::from(input.byte() % 5));
        match input.byte() % 10 {
            0 => flockq_texts_free(gives(|to, error| {
                flockq_queue_move_to(queue, target, filter, to, error)
            })),
            1 => {
                let mut targets = null_mut();
                let dry = u32::from(input.byte() % 2);
                let moved = gives(|to, error| {
                    flockq_queue_redrive(queue, filter, dry, to, &raw mut targets, error)
                });
                assert_eq!(flockq_texts_size(moved), flockq_texts_size(targets));
                flockq_texts_free(moved);
                flockq_texts_free(targets);
            }
            2 => drop(call(|error| {
                flockq_queue_remove(queue, ids.as_ptr(), 2, &raw mut removed, error)
            })),
            3 => drop(call(|error| {
                flockq_queue_purge(queue, state, &raw mut removed, error)
            })),
            4 => drop(call(|error| flockq_queue_convert(queue, state, error))),
            5 => drop(call(|error| flockq_queue_checkpoint(queue, error))),
            6 => drop(call(|error| flockq_queue_sync(queue, error))),
            7 => flockq_text_free(gives(|to, error| flockq_queue_repair(queue, to, error))),
            8 => drop(call(|error| flockq_queue_close(queue, error))),
            _ => self.update(input),
        }
    }

    fn whole(&mut self, input: &mut Input<'_>) {
        let queue = self.queue(input);
        let change = pick(&self.transactions, input);
        let array = bytes(input.of(&[
            b"[]",
            b"[1,{\"message\":2}]",
            b"[",
            b"null",
            b"[{\"message\":1,\"attempts\":-1}]",
        ]));
        match input.byte() % 7 {
            0 if self.transactions.len() < 4 => {
                let begun = gives(|to, error| flockq_queue_begin(queue, to, error));
                keep(&mut self.transactions, begun);
            }
            1 => flockq_text_free(gives(|to, error| flockq_transaction_get(change, to, error))),
            2 => drop(call(|error| flockq_transaction_set(change, array, error))),
            3 => drop(call(|error| flockq_transaction_commit(change, error))),
            4 => {
                // Freed without a commit: rolled back.
                self.transactions.retain(|one| *one != change);
                flockq_transaction_free(change);
            }
            5 => drop(call(|error| flockq_queue_save(queue, array, error))),
            _ => flockq_text_free(gives(|to, error| flockq_queue_load(queue, to, error))),
        }
    }

    fn of_the_spool(&mut self, input: &mut Input<'_>) {
        let spool = if input.byte() == 1 {
            null_mut()
        } else {
            self.spool
        };
        match input.byte() % 8 {
            0 if self.queues.len() < 5 => {
                let name = bytes(input.of(&NAMES));
                let queue = gives(|to, error| flockq_spool_queue(spool, name, to, error));
                keep(&mut self.queues, queue);
            }
            1 => {
                let (setting, value) = (bytes(input.line()), bytes(input.line()));
                call(|error| flockq_spool_set_config(spool, setting, value, error));
            }
            2 => flockq_text_free(gives(|to, error| flockq_spool_config(spool, to, error))),
            3 => flockq_text_free(gives(|to, error| flockq_spool_doctor(spool, to, error))),
            4 => flockq_text_free(gives(|to, error| flockq_spool_metrics(spool, to, error))),
            5 => flockq_texts_free(gives(|to, error| flockq_spool_queues(spool, to, error))),
            6 => drop(call(|error| flockq_spool_adopt_mail(spool, error))),
            _ => drop(call(|error| flockq_spool_close(spool, error))),
        }
    }

    fn lock_a_file(&mut self, file: flockq_bytes, input: &mut Input<'_>) {
        let options = flockq_file_lock_options {
            size: size::<flockq_file_lock_options>(input),
            shared: u32::from(input.byte() % 2),
            allow_unverified_fs: 0,
            untied: u32::from(input.byte() % 2),
            reserved: u32::from(input.byte() == 1),
            wait_ms: input.of(&WAITS[1..]),
            interrupt_check: None,
            interrupt_context: null_mut(),
        };
        // A shorter struct says nothing of the wait, which is then 30 s.
        let whole = options.size >= size_of_val(&options) || options.size < size_of::<usize>();
        let options = Longer::new(options, input);
        match input.byte() % 3 {
            0 if whole && self.locks.len() < 4 => {
                let options = options.pointer();
                let lock = gives(|to, error| flockq_file_lock_acquire(file, options, to, error));
                keep(&mut self.locks, lock);
            }
            1 => flockq_file_lock_free(self.locks.pop().unwrap_or(null_mut())),
            _ => drop(call(|error| {
                flockq_write_atomic(file, bytes(input.line()), error)
            })),
        }
    }

    fn free(&mut self, input: &mut Input<'_>) {
        match input.byte() % 4 {
            0 => flockq_delivery_free(self.deliveries.pop().unwrap_or(null_mut())),
            1 => flockq_deliveries_free(self.lists.pop().unwrap_or(null_mut())),
            2 => flockq_keeper_free(self.keepers.pop().unwrap_or(null_mut())),
            _ => flockq_queue_free(self.queues.pop().unwrap_or(null_mut())),
        }
    }

    /// In any order: what was given out outlives what gave it.
    fn end(self, spool_first: bool) {
        if spool_first {
            flockq_spool_free(self.spool);
        }
        self.queues
            .into_iter()
            .for_each(|one| flockq_queue_free(one));
        self.keepers
            .into_iter()
            .for_each(|one| flockq_keeper_free(one));
        self.transactions
            .into_iter()
            .for_each(|one| flockq_transaction_free(one));
        self.deliveries
            .into_iter()
            .for_each(|one| flockq_delivery_free(one));
        self.lists
            .into_iter()
            .for_each(|one| flockq_deliveries_free(one));
        self.locks
            .into_iter()
            .for_each(|one| flockq_file_lock_free(one));
        if !spool_first {
            flockq_spool_free(self.spool);
        }
    }
}

pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let directory = place::empty();
    let path = directory.as_os_str().as_encoded_bytes();
    let file = directory.join("state.json");
    let file = bytes(file.as_os_str().as_encoded_bytes());
    let init = flockq_init_options {
        size: size_of::<flockq_init_options>(),
        plain: u32::from(input.byte() % 2),
        sync: 3,
        lock_dir: bytes(b""),
    };
    assert!(call(|error| flockq_spool_init(
        bytes(path),
        &raw const init,
        error
    )));
    let options = flockq_spool_options {
        size: size_of::<flockq_spool_options>(),
        create: 0,
        allow_unverified_fs: 0,
        sync: 0,
        reserved: 0,
        lock_wait_ms: FLOCKQ_NO_WAIT,
        interrupt_check: None,
        interrupt_context: null_mut(),
    };
    let mut session = Session {
        spool: gives(|to, error| flockq_spool_open(bytes(path), &raw const options, to, error)),
        queues: Vec::new(),
        deliveries: Vec::new(),
        lists: Vec::new(),
        transactions: Vec::new(),
        locks: Vec::new(),
        keepers: Vec::new(),
    };
    let first = gives(|to, error| flockq_spool_queue(session.spool, bytes(b"q"), to, error));
    session.queues.push(first);
    for _ in 0..CALLS {
        if input.is_at_its_end() {
            break;
        }
        match input.byte() % 10 {
            0 | 1 => session.send(&mut input),
            2 => session.receive(&mut input),
            3 => session.settle(&mut input),
            4 => session.look(&mut input),
            5 => session.administer(&mut input),
            6 => session.whole(&mut input),
            7 => session.of_the_spool(&mut input),
            8 => session.lock_a_file(file, &mut input),
            _ => session.free(&mut input),
        }
    }
    session.end(input.byte().is_multiple_of(2));
    let spool = Spool::builder(&directory).sync(Sync::Off).open().unwrap();
    for name in spool.queues().unwrap() {
        if name != "state" {
            assert!(
                spool.queue(&name).unwrap().check().unwrap().is_sound(),
                "{name}"
            );
        }
    }
}
