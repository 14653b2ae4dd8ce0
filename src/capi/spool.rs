//! Spools.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::guard::{Out, borrow, bytes, free, guard, look, optional_text, options, text};
use super::options::{interrupt_check, lock_wait, sync};
use super::{
    flockq_bytes, flockq_error, flockq_init_options, flockq_queue, flockq_spool_options,
    flockq_status, flockq_text,
};
use crate::{Advice, Error, ErrorKind, Init, Result, Spool};

/// A directory of queues. Opened by flockq_spool_open(), freed by flockq_spool_free(). Use it from any thread.
#[derive(Debug)]
pub struct flockq_spool(Spool);

/// A list of texts. Freed by flockq_texts_free().
#[derive(Debug)]
pub struct flockq_texts(pub(super) Vec<String>);

/// A path: bytes as the system has them, not empty, without NUL.
pub(super) fn path(given: flockq_bytes, what: &str) -> Result<PathBuf> {
    let given = bytes(given, what)?;
    if given.is_empty() || given.contains(&0) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{what} is empty or holds a NUL byte"),
        ));
    }
    Ok(Path::new(OsStr::from_bytes(given)).to_owned())
}

/// Opens the spool in `directory`.
///
/// FLOCKQ_STATUS_NOT_FOUND: there is no such directory. FLOCKQ_STATUS_UNSAFE_FILESYSTEM: locks are not known to exclude
/// there. FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_VERSION: its flockq.json cannot be used. FLOCKQ_STATUS_IO: the system refused.
/// FLOCKQ_STATUS_INVALID_ARGUMENT: no path, an unknown durability.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_open(
    directory: flockq_bytes,
    options: *const flockq_spool_options,
    spool: *mut *mut flockq_spool,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(spool, "spool")?;
        let options: flockq_spool_options = self::options(options)?;
        let mut builder = Spool::builder(path(directory, "directory")?)
            .create(options.create != 0)
            .allow_unverified_fs(options.allow_unverified_fs != 0)
            .lock_wait(lock_wait(options.lock_wait_ms));
        if let Some(sync) = sync(options.sync)? {
            builder = builder.sync(sync);
        }
        if let Some(check) = interrupt_check(options.interrupt_check, options.interrupt_context) {
            builder = builder.interrupt_check(check);
        }
        out.give(flockq_spool(builder.open()?));
        Ok(())
    })
}

/// Sets the policy of a mail daemon for the queues "inbound", "outbound" and "dead-letter", as far as flockq.json says
/// nothing else: three attempts, five minutes between them, in "outbound"; then "dead-letter".
///
/// Statuses as for flockq_spool_set_config().
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_adopt_mail(
    spool: *const flockq_spool,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || borrow(spool, "spool")?.0.adopt_mail())
}

/// The configuration as JSON, to be freed by flockq_text_free(): what is said, and for "default" also what holds where
/// nothing is said.
///
/// FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_VERSION, FLOCKQ_STATUS_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_config(
    spool: *const flockq_spool,
    json: *mut *mut flockq_text,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(json, "json")?;
        out.give(flockq_text(borrow(spool, "spool")?.0.config()?));
        Ok(())
    })
}

/// Sets one setting, such as "inbound.backoff" to "10s", for every process: those that run see it at their next operation.
/// The value "null" takes the setting away.
///
/// FLOCKQ_STATUS_INVALID_ARGUMENT names the key, the value and what is allowed. FLOCKQ_STATUS_IO, FLOCKQ_STATUS_LOCK_TIMEOUT,
/// FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_CLOSED; where it was set and not every process that runs could be told, the message of the
/// error says so. FLOCKQ_STATUS_OUTCOME_UNKNOWN: it is set, but may not outlive a power cut.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_set_config(
    spool: *const flockq_spool,
    setting: flockq_bytes,
    value: flockq_bytes,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let (setting, value) = (text(setting, "setting")?, text(value, "value")?);
        borrow(spool, "spool")?.0.set_config(setting, value)
    })
}

/// The figures of all queues in the text format that Prometheus reads, to be freed by flockq_text_free().
///
/// FLOCKQ_STATUS_IO, FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_metrics(
    spool: *const flockq_spool,
    metrics: *mut *mut flockq_text,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(metrics, "metrics")?;
        out.give(flockq_text(borrow(spool, "spool")?.0.metrics()?));
        Ok(())
    })
}

/// Writes the figures of all queues to a file, which is replaced as a whole: for node_exporter's textfile collector, whose files end with ".prom".
///
/// Statuses as for flockq_spool_metrics() and flockq_write_atomic().
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_write_metrics(
    spool: *const flockq_spool,
    file: flockq_bytes,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        borrow(spool, "spool")?.0.write_metrics(path(file, "file")?)
    })
}

/// Looks at the directory and at every queue, and says what is wrong or risky, the worst first: a JSON array of objects with
/// "severity" ("problem", "risk" or "note"), "about", "text" and "command" (what mends it, or null), to be freed by
/// flockq_text_free(). It changes nothing in the queues.
///
/// FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED; what is wrong with a queue is no error.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_doctor(
    spool: *const flockq_spool,
    json: *mut *mut flockq_text,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(json, "json")?;
        let all = borrow(spool, "spool")?.0.doctor()?;
        out.give(flockq_text(Advice::to_json(&all)));
        Ok(())
    })
}

/// Sets a spool up: makes the directory and its lock directory, and writes flockq.json. Queue files that are there
/// are not touched. Doing it again with the same choice changes nothing.
///
/// FLOCKQ_STATUS_ALREADY_EXISTS: it is set up with another choice. FLOCKQ_STATUS_INVALID_ARGUMENT: a lock directory outside
/// the spool, no path. FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_VERSION: the flockq.json that is there. FLOCKQ_STATUS_LOCK_TIMEOUT: somebody
/// keeps its lock. FLOCKQ_STATUS_OUTCOME_UNKNOWN: it is set up, but that may not outlive a power cut. FLOCKQ_STATUS_IO,
/// FLOCKQ_STATUS_UNSAFE_FILESYSTEM as for flockq_spool_open().
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_init(
    directory: flockq_bytes,
    options: *const flockq_init_options,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let options: flockq_init_options = self::options(options)?;
        let mut init = Init::new().plain(options.plain != 0);
        if let Some(directory) = optional_text(options.lock_dir, "lock_dir")? {
            init = init.lock_dir(directory);
        }
        if let Some(sync) = sync(options.sync)? {
            init = init.sync(sync);
        }
        Spool::init(path(directory, "directory")?, &init)
    })
}

/// The queue called `name`. Checks the name and touches no file: a queue without a file is empty.
///
/// FLOCKQ_STATUS_INVALID_ARGUMENT: it cannot be the name of a queue. FLOCKQ_STATUS_CLOSED: the spool was closed.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_queue(
    spool: *const flockq_spool,
    name: flockq_bytes,
    queue: *mut *mut flockq_queue,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(queue, "queue")?;
        out.give(flockq_queue(
            borrow(spool, "spool")?.0.queue(text(name, "name")?)?,
        ));
        Ok(())
    })
}

/// The names of the queues that have a file, in order.
///
/// FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_queues(
    spool: *const flockq_spool,
    names: *mut *mut flockq_texts,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        let out = Out::new(names, "names")?;
        out.give(flockq_texts(borrow(spool, "spool")?.0.queues()?));
        Ok(())
    })
}

/// The directory, absolute. Borrowed from `spool`.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_path(spool: *const flockq_spool) -> flockq_bytes {
    look(spool, flockq_bytes::NONE, |spool| {
        flockq_bytes::of(spool.0.path().as_os_str().as_bytes())
    })
}

/// Closes every queue opened through this spool, which gives their leases back. Using it or them afterwards is
/// FLOCKQ_STATUS_CLOSED; closing again does nothing. The handles still have to be freed.
///
/// The first failure is returned, after all queues have been tried; statuses as for flockq_queue_close().
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_close(
    spool: *const flockq_spool,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || borrow(spool, "spool")?.0.close())
}

/// Frees the handle; NULL does nothing. Queues opened through it stay usable. Leases are not given back: that is
/// flockq_spool_close().
#[unsafe(no_mangle)]
pub extern "C" fn flockq_spool_free(spool: *mut flockq_spool) {
    free(spool);
}

/// How many texts there are.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_texts_size(texts: *const flockq_texts) -> usize {
    look(texts, 0, |texts| texts.0.len())
}

/// The text at `index`, counted from 0; no bytes beyond the end. Borrowed from `texts`.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_texts_get(texts: *const flockq_texts, index: usize) -> flockq_bytes {
    look(texts, flockq_bytes::NONE, |texts| {
        flockq_bytes::of_option(texts.0.get(index).map(String::as_str))
    })
}

/// Frees the list; NULL does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_texts_free(texts: *mut flockq_texts) {
    free(texts);
}

/// Replaces the file at `file` with `content`: readers and crashes see the old content or the new. When it returns,
/// the new content is on stable storage. Mode, owner and access control list of an existing file are kept. No lock is taken.
///
/// FLOCKQ_STATUS_IO: nothing was changed. FLOCKQ_STATUS_NOT_FOUND: its directory. FLOCKQ_STATUS_INVALID_ARGUMENT: no path, or a name of
/// more than 200 bytes or not in UTF-8. FLOCKQ_STATUS_OUTCOME_UNKNOWN: changed, but perhaps not durable.
#[unsafe(no_mangle)]
pub extern "C" fn flockq_write_atomic(
    file: flockq_bytes,
    content: flockq_bytes,
    error: *mut *mut flockq_error,
) -> flockq_status {
    guard(error, || {
        crate::write_atomic(path(file, "file")?, bytes(content, "content")?)
    })
}
