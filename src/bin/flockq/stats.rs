//! How the queues stand: a table for people, or JSON.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use flockq::{Spool, Stats};
use serde_json::{Map, Value, json};

use crate::{Failure, Outcome, print};

pub(crate) fn run(
    directory: &Path,
    queue: Option<&str>,
    as_json: bool,
) -> Result<Outcome, Failure> {
    let spool = Spool::open(directory)?;
    let found = match queue {
        Some(name) => {
            let stats = spool.queue(name).and_then(|queue| queue.stats());
            vec![(name.to_owned(), stats)]
        }
        None => spool.stats()?,
    };
    let mut all = Vec::with_capacity(found.len());
    let mut wrong = Vec::new();
    for (name, stats) in found {
        match stats {
            Ok(stats) => all.push((name, stats)),
            Err(error) => wrong.push(error),
        }
    }
    // What was asked for could not be looked at: there is nothing to be printed.
    if !all.is_empty() || queue.is_none() {
        let text = if as_json { json(&all) } else { table(&all) };
        print::verdict(&text)?;
    }
    crate::told_of(queue, wrong)
}

fn json(all: &[(String, Stats)]) -> String {
    let object: Map<String, Value> = all
        .iter()
        .map(|(name, stats)| (name.clone(), object(stats)))
        .collect();
    format!("{}\n", Value::Object(object))
}

fn table(all: &[(String, Stats)]) -> String {
    let width = all
        .iter()
        .map(|(name, _)| name.len())
        .chain([5])
        .max()
        .unwrap_or(5);
    let mut text = format!(
        "{:width$} {:>9} {:>9} {:>9} {:>9} {:>11} {:>9}\n",
        "queue", "messages", "ready", "delayed", "leased", "bytes", "oldest"
    );
    for (name, stats) in all {
        let oldest = stats.oldest_age.map_or_else(|| "-".to_owned(), age);
        let Stats {
            messages,
            ready,
            delayed,
            leased,
            bytes,
            ..
        } = stats;
        let _ = writeln!(
            text,
            "{name:width$} {messages:>9} {ready:>9} {delayed:>9} {leased:>9} {bytes:>11} {oldest:>9}"
        );
    }
    text
}

/// For Prometheus: printed, or written to a file.
pub(crate) fn metrics(directory: &Path, output: Option<&Path>) -> Result<Outcome, Failure> {
    let spool = Spool::open(directory)?;
    match output {
        Some(path) => spool.write_metrics(path)?,
        None => print::verdict(&spool.metrics()?)?,
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
