//! Queues: sending, receiving, looking, removing.

use super::guard::{Out, array, borrow, bytes, free, guard, look, options, text, texts};
use super::options::{filter, list, message, mode, receive, state, update};
use super::{
    flockq_bytes, flockq_deliveries, flockq_delivery, flockq_envelope, flockq_envelopes,
    flockq_error, flockq_filter_options, flockq_list_options, flockq_mode, flockq_receive_options,
    flockq_send_options, flockq_stats, flockq_status, flockq_texts, flockq_update_options,
};
use crate::{Error, ErrorKind, Mode, Queue, Result};

/// A queue. Opened by flockq_spool_queue(), freed by flockq_queue_free(). Use it from any thread.
#[derive(Debug)]
pub struct flockq_queue(pub(super) Queue);

/// One owned text. Freed by flockq_text_free().
#[derive(Debug)]
pub struct flockq_text(pub(super) String);

/// The text. Borrowed from `text`.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_text_bytes(text: *const flockq_text) -> flockq_bytes {
    look(text, flockq_bytes::NONE, |text| {
        flockq_bytes::of(text.0.as_bytes())
    })
}

/// Frees the text; NULL does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_text_free(text: *mut flockq_text) {
    free(text);
}

/// The queue's name. Borrowed from `queue`.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_name(queue: *const flockq_queue) -> flockq_bytes {
    look(queue, flockq_bytes::NONE, |queue| {
        flockq_bytes::of(queue.0.name().as_bytes())
    })
}

/// Frees the handle; NULL does nothing. Leases are not given back: that is flockq_queue_close().
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_free(queue: *mut flockq_queue) {
    free(queue);
}

/// Sends the payload `json`, whose bytes are kept as they are. When it returns, the message is in the queue and, at the
/// default durability, on stable storage. `id` (may be NULL) becomes the message's id, to be freed by flockq_text_free().
///
/// FLOCKQ_STATUS_INVALID_JSON, FLOCKQ_STATUS_TOO_LARGE: the payload; TOO_LARGE also when the queue's limits have no room for
/// it even when it is empty. FLOCKQ_STATUS_INVALID_ARGUMENT: an id of 0 or more than
/// 512 bytes or with a control character, an unknown priority. FLOCKQ_STATUS_ALREADY_EXISTS: the id option is in the queue. FLOCKQ_STATUS_LOCK_TIMEOUT,
/// FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO: nothing was sent. FLOCKQ_STATUS_FULL: a limit of the queue is reached.
/// FLOCKQ_STATUS_INTERRUPTED: a wait for room was ended. FLOCKQ_STATUS_OUTCOME_UNKNOWN: it may have been sent.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_send(
    queue: *const flockq_queue,
    json: flockq_bytes,
    options: *const flockq_send_options,
    id: *mut *mut flockq_text,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let message = message(bytes(json, "json")?, &self::options(options)?)?;
        let sent = borrow(queue, "queue")?.0.send(message)?;
        if let Ok(out) = Out::new(id, "id") {
            out.give(flockq_text(sent));
        }
        Ok(())
    })
}

/// Sends `count` payloads, all or none, in one commit; the options are those of each. `ids` (may be NULL) becomes their ids in
/// order, to be freed by flockq_texts_free(). Statuses as for flockq_queue_send().
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_send_many(
    queue: *const flockq_queue,
    jsons: *const flockq_bytes,
    count: usize,
    options: *const flockq_send_options,
    ids: *mut *mut flockq_texts,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let options: flockq_send_options = self::options(options)?;
        let messages = array(jsons, count, "jsons")?
            .iter()
            .map(|json| message(bytes(*json, "a payload")?, &options))
            .collect::<Result<Vec<_>>>()?;
        let sent = borrow(queue, "queue")?.0.send_many(messages)?;
        if let Ok(out) = Out::new(ids, "ids") {
            out.give(flockq_texts(sent));
        }
        Ok(())
    })
}

/// Takes the next ready message under a lease. `delivery` becomes NULL when nothing came, else a delivery to be freed by
/// flockq_delivery_free(). The attempt is counted before this returns.
///
/// FLOCKQ_STATUS_INTERRUPTED: the wait was ended. FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO,
/// FLOCKQ_STATUS_CLOSED. FLOCKQ_STATUS_OUTCOME_UNKNOWN: messages may have been taken for nobody; they come again at the latest
/// when the lease has run out.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_receive(
    queue: *const flockq_queue,
    options: *const flockq_receive_options,
    delivery: *mut *mut flockq_delivery,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(delivery, "delivery")?;
        match borrow(queue, "queue")?
            .0
            .receive(receive(&self::options(options)?))?
        {
            Some(delivery) => out.give(flockq_delivery(delivery)),
            None => out.put(std::ptr::null_mut()),
        }
        Ok(())
    })
}

/// Takes up to `max` ready messages in one commit; waiting ends with the first that come. `deliveries` becomes a list,
/// perhaps empty, to be freed by flockq_deliveries_free(). Statuses as for flockq_queue_receive();
/// FLOCKQ_STATUS_INVALID_ARGUMENT also when `max` is 0.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_receive_many(
    queue: *const flockq_queue,
    max: usize,
    options: *const flockq_receive_options,
    deliveries: *mut *mut flockq_deliveries,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(deliveries, "deliveries")?;
        let taken = borrow(queue, "queue")?
            .0
            .receive_many(max, receive(&self::options(options)?))?;
        out.give(flockq_deliveries(
            taken.into_iter().map(flockq_delivery).collect(),
        ));
        Ok(())
    })
}

/// Receive and ack in one commit: the message is the caller's, and gone if he dies with it. Does not wait. `envelope`
/// becomes NULL when nothing is ready, else an envelope to be freed by flockq_envelope_free().
///
/// FLOCKQ_STATUS_OUTCOME_UNKNOWN: a message may have been taken out for nobody, and be gone. Other statuses as for
/// flockq_queue_receive().
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_pop(
    queue: *const flockq_queue,
    envelope: *mut *mut flockq_envelope,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(envelope, "envelope")?;
        match borrow(queue, "queue")?.0.pop()? {
            Some(envelope) => out.give(flockq_envelope(envelope)),
            None => out.put(std::ptr::null_mut()),
        }
        Ok(())
    })
}

/// The next `count` ready messages, in order of delivery, without taking them.
///
/// FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED; for the other looks too.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_peek(
    queue: *const flockq_queue,
    count: usize,
    envelopes: *mut *mut flockq_envelopes,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(envelopes, "envelopes")?;
        out.give(flockq_envelopes::new(
            borrow(queue, "queue")?.0.peek(count)?,
            None,
        ));
        Ok(())
    })
}

/// A page of the messages, by priority and then by age. Each page is consistent; what changes between two pages may be
/// seen or not.
///
/// FLOCKQ_STATUS_INVALID_ARGUMENT: an unknown state, or a cursor that is none.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_list(
    queue: *const flockq_queue,
    options: *const flockq_list_options,
    envelopes: *mut *mut flockq_envelopes,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(envelopes, "envelopes")?;
        let page = borrow(queue, "queue")?
            .0
            .list(&list(&self::options(options)?)?)?;
        out.give(flockq_envelopes::new(page.envelopes, page.cursor));
        Ok(())
    })
}

/// Every message with this id; ids may repeat. None is an empty list.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_get(
    queue: *const flockq_queue,
    id: flockq_bytes,
    envelopes: *mut *mut flockq_envelopes,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(envelopes, "envelopes")?;
        out.give(flockq_envelopes::new(
            borrow(queue, "queue")?.0.get(text(id, "id")?)?,
            None,
        ));
        Ok(())
    })
}

/// How many messages there are, in whatever state.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_len(
    queue: *const flockq_queue,
    len: *mut u64,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(len, "len")?;
        out.put(borrow(queue, "queue")?.0.len()?);
        Ok(())
    })
}

/// How the queue stands.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_stats(
    queue: *const flockq_queue,
    stats: *mut flockq_stats,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(stats, "stats")?;
        out.put(flockq_stats::from(borrow(queue, "queue")?.0.stats()?));
        Ok(())
    })
}

/// Removes every message with one of these ids, leased or not. `removed` (may be NULL) becomes how many.
///
/// FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO: nothing was removed. FLOCKQ_STATUS_OUTCOME_UNKNOWN.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_remove(
    queue: *const flockq_queue,
    ids: *const flockq_bytes,
    count: usize,
    removed: *mut u64,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let gone = borrow(queue, "queue")?
            .0
            .remove(&texts(ids, count, "an id")?)?;
        if let Ok(out) = Out::new(removed, "removed") {
            out.put(gone);
        }
        Ok(())
    })
}

/// Removes every message in one state (a flockq_state), or with FLOCKQ_STATE_ANY every message. `removed` (may be NULL)
/// becomes how many.
///
/// FLOCKQ_STATUS_INVALID_ARGUMENT: an unknown state. Other statuses as for flockq_queue_remove().
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_purge(
    queue: *const flockq_queue,
    in_state: u32,
    removed: *mut u64,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let gone = borrow(queue, "queue")?.0.purge(state(in_state)?)?;
        if let Ok(out) = Out::new(removed, "removed") {
            out.put(gone);
        }
        Ok(())
    })
}

/// Changes every message with this id where it is, in one commit. Their age, attempts and leases stay: whoever works on one
/// has what it was when he took it, and settles it all the same. A message on its way to another queue is left. `updated`
/// (may be NULL) becomes how many there are.
///
/// FLOCKQ_STATUS_INVALID_ARGUMENT: the options name nothing, an unknown priority. FLOCKQ_STATUS_INVALID_JSON,
/// FLOCKQ_STATUS_TOO_LARGE: the payload. FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO: nothing was
/// changed. FLOCKQ_STATUS_OUTCOME_UNKNOWN.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_update_message(
    queue: *const flockq_queue,
    id: flockq_bytes,
    options: *const flockq_update_options,
    updated: *mut u64,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let update = update(&self::options(options)?)?;
        let found = borrow(queue, "queue")?
            .0
            .update_message(text(id, "id")?, update)?;
        if let Ok(out) = Out::new(updated, "updated") {
            out.put(found);
        }
        Ok(())
    })
}

/// Moves messages to the queue called `target`, each exactly once wherever a process dies. Those under a lease are left. `ids`
/// (may be NULL) becomes their ids, to be freed by flockq_texts_free().
///
/// FLOCKQ_STATUS_INVALID_ARGUMENT: no name of another queue, an unknown state. FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO: the
/// messages stay where they were. FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_INTERRUPTED: a move that was begun is ended by the next
/// process that uses one of the queues. FLOCKQ_STATUS_OUTCOME_UNKNOWN, FLOCKQ_STATUS_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_move_to(
    queue: *const flockq_queue,
    target: flockq_bytes,
    options: *const flockq_filter_options,
    ids: *mut *mut flockq_texts,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let filter = filter(&self::options(options)?)?;
        let queue = &borrow(queue, "queue")?.0;
        let moved = queue.move_to(text(target, "target")?, &filter)?;
        if let Ok(out) = Out::new(ids, "ids") {
            out.give(flockq_texts(moved));
        }
        Ok(())
    })
}

/// Sends messages back to the queues that they came from, ready at once and with all attempts before them; their history of
/// errors stays. With a non-zero `dry_run` it only says what it would do. `ids` and `targets` (may be NULL) become their ids and the
/// queues they go to, in the same order, each to be freed by flockq_texts_free().
///
/// FLOCKQ_STATUS_NOT_FOUND: a message does not say where it came from, and not exactly one queue has this one as its
/// dead_letter_queue; nothing was changed. Other statuses as for flockq_queue_move_to().
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_redrive(
    queue: *const flockq_queue,
    options: *const flockq_filter_options,
    dry_run: u32,
    ids: *mut *mut flockq_texts,
    targets: *mut *mut flockq_texts,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let filter = filter(&self::options(options)?)?;
        let redriven = borrow(queue, "queue")?.0.redrive(&filter, dry_run != 0)?;
        let (moved, homes) = redriven.into_iter().map(|one| (one.id, one.to)).unzip();
        if let Ok(out) = Out::new(ids, "ids") {
            out.give(flockq_texts(moved));
        }
        if let Ok(out) = Out::new(targets, "targets") {
            out.give(flockq_texts(homes));
        }
        Ok(())
    })
}

/// Makes everything committed so far durable, whatever the durability of the commits was.
///
/// FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_CLOSED. FLOCKQ_STATUS_LOCK_TIMEOUT: somebody else keeps the lock, or
/// another program removed its file meanwhile; nothing was made durable. FLOCKQ_STATUS_OUTCOME_UNKNOWN: a sync failed, and a
/// power cut may take back what was committed.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_sync(
    queue: *const flockq_queue,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || borrow(queue, "queue")?.0.sync())
}

/// Folds the journal into the queue's file. Nothing to do for a plain queue.
///
/// FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_CLOSED. FLOCKQ_STATUS_LOCK_TIMEOUT: somebody else keeps the lock, or
/// is making a checkpoint. FLOCKQ_STATUS_OUTCOME_UNKNOWN: a sync failed, and a power cut may take back what was committed.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_checkpoint(
    queue: *const flockq_queue,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || borrow(queue, "queue")?.0.checkpoint())
}

/// How the queue commits: a flockq_mode.
///
/// FLOCKQ_STATUS_IO, FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_mode(
    queue: *const flockq_queue,
    found: *mut flockq_mode,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(found, "found")?;
        out.put(match borrow(queue, "queue")?.0.mode()? {
            Mode::Plain => flockq_mode::Plain,
            Mode::Journal => flockq_mode::Journal,
        });
        Ok(())
    })
}

/// Gives the queue a journal, or folds it and takes it away; `to` is a flockq_mode. Its messages and their leases stay.
///
/// FLOCKQ_STATUS_INVALID_ARGUMENT: no such mode. FLOCKQ_STATUS_IO, FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT,
/// FLOCKQ_STATUS_CLOSED. FLOCKQ_STATUS_OUTCOME_UNKNOWN: it may have been converted; do it again.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_convert(
    queue: *const flockq_queue,
    to: u32,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let to = mode(to)?.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                "the mode is 0; it can be FLOCKQ_MODE_PLAIN or FLOCKQ_MODE_JOURNAL",
            )
        })?;
        borrow(queue, "queue")?.0.convert(to)
    })
}

/// Checks every byte of the queue's files. `report` is one JSON object, to be freed by flockq_text_free(): "queue", "mode",
/// "messages", "replaced" (how often another program has replaced the file of a journalled queue), "damage" (an array of
/// objects with "path", "offset" and "rule"; empty when the queue is sound), "notes" and "kept". Damage is no error.
///
/// FLOCKQ_STATUS_IO, FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_VERSION, FLOCKQ_STATUS_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_check(
    queue: *const flockq_queue,
    report: *mut *mut flockq_text,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(report, "report")?;
        out.give(flockq_text(borrow(queue, "queue")?.0.check()?.to_json()));
        Ok(())
    })
}

/// Saves what can be saved of a damaged queue, message by message, and keeps the damaged files beside it, as
/// NAME.json.damaged-N and NAME.json.journal.damaged-N. `report` is as for flockq_queue_check(): "damage" is what could not
/// be saved, "kept" names the kept files. Nothing is done to a sound queue. A message may be delivered again whose ack was
/// in what is lost.
///
/// FLOCKQ_STATUS_IO, FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_VERSION, FLOCKQ_STATUS_CLOSED. FLOCKQ_STATUS_INTERRUPTED: another
/// program removed the lock file meanwhile; nothing was changed. FLOCKQ_STATUS_OUTCOME_UNKNOWN: it may have been repaired; do it again.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_repair(
    queue: *const flockq_queue,
    report: *mut *mut flockq_text,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(report, "report")?;
        out.give(flockq_text(borrow(queue, "queue")?.0.repair()?.to_json()));
        Ok(())
    })
}

/// Ends the waits in progress on this handle with FLOCKQ_STATUS_INTERRUPTED; when there is none, the next one. From any
/// thread; not from a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_interrupt(queue: *const flockq_queue) {
    look(queue, (), |queue| queue.0.interrupt());
}

/// Gives back the leases taken through this handle and not yet settled. Detached leases go on. Waits in progress end with
/// FLOCKQ_STATUS_CLOSED, and so does every later use; closing again does nothing. It still has to be freed.
///
/// FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_OUTCOME_UNKNOWN: closed, but leases may run on to
/// their deadline.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_queue_close(
    queue: *const flockq_queue,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || borrow(queue, "queue")?.0.close())
}
