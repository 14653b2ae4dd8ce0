//! How the queues stand: a table for people, or JSON.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use flockq::{Spool, Stats};
use serde_json::{Map, Value, json};

use crate::{Failure, Outcome};

pub(crate) fn run(
    directory: &Path,
    queue: Option<&str>,
    as_json: bool,
) -> Result<Outcome, Failure> {
    let spool = Spool::open(directory)?;
    let names = match queue {
        Some(name) => vec![name.to_owned()],
        None => spool.queues()?,
    };
    let mut all = Vec::with_capacity(names.len());
    let mut wrong = Vec::new();
    // One damaged file does not hide how the others stand.
    for name in names {
        match spool.queue(&name)?.stats() {
            Ok(stats) => all.push((name, stats)),
            Err(error) => wrong.push(error),
        }
    }
    if all.is_empty() && !wrong.is_empty() {
        return Err(wrong.swap_remove(0).into());
    }
    let mut out = io::stdout().lock();
    if as_json {
        let object: Map<String, Value> = all
            .iter()
            .map(|(name, stats)| (name.clone(), object(stats)))
            .collect();
        writeln!(out, "{}", Value::Object(object))?;
    } else {
        let width = all
            .iter()
            .map(|(name, _)| name.len())
            .chain([5])
            .max()
            .unwrap_or(5);
        writeln!(
            out,
            "{:width$} {:>9} {:>9} {:>9} {:>9} {:>11} {:>9}",
            "queue", "messages", "ready", "delayed", "leased", "bytes", "oldest"
        )?;
        for (name, stats) in &all {
            let oldest = stats.oldest_age.map_or_else(|| "-".to_owned(), age);
            let Stats {
                messages,
                ready,
                delayed,
                leased,
                bytes,
                ..
            } = stats;
            writeln!(
                out,
                "{name:width$} {messages:>9} {ready:>9} {delayed:>9} {leased:>9} {bytes:>11} {oldest:>9}"
            )?;
        }
    }
    Ok(crate::told(&wrong))
}

/// For Prometheus: printed, or written to a file.
pub(crate) fn metrics(directory: &Path, output: Option<&Path>) -> Result<Outcome, Failure> {
    let spool = Spool::open(directory)?;
    match output {
        Some(path) => spool.write_metrics(path)?,
        None => io::stdout().lock().write_all(spool.metrics()?.as_bytes())?,
    }
    Ok(Outcome::Done)
}

fn object(stats: &Stats) -> Value {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let counters: Map<String, Value> = stats
        .counters
        .named()
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count.into()))
        .collect();
    let lock = &stats.lock;
    json!({
        "messages": stats.messages, "ready": stats.ready, "delayed": stats.delayed, "leased": stats.leased, "bytes": stats.bytes,
        "oldest_age_ms": stats.oldest_age.map(ms),
        "counters": counters, "foreign_writes": stats.foreign_writes, "checkpoints": stats.checkpoints,
        "lock": {
            "acquired": lock.acquired, "contended": lock.contended, "timed_out": lock.timed_out, "replaced": lock.replaced,
            "wait_us": us(lock.wait), "wait_max_us": us(lock.wait_max), "waits": lock.waits,
        },
    })
}

/// An age in its largest two units.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86400, seconds % 86400 / 3600),
    }
}
