//! One queue: its files, who else writes them, its lock, and messages that keep failing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Severity::{Note, Problem, Risk};
use super::{Findings, word};
use crate::config::Mode;
use crate::envelope::Envelope;
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::QueueName;
use crate::format::time::parse;
use crate::queue::{List, Queue, Stats};
use crate::spool::Spool;

/// A message that was delivered so often, in a queue that says nothing else, keeps failing.
const OFTEN: u64 = 5;
/// Nobody should wait for a lock for longer than this.
const LONG: Duration = Duration::from_secs(5);
/// A message cannot have been sent this far in the future.
const AHEAD_S: i64 = 300;
/// So many messages are looked at, at a time.
const PAGE: usize = 1000;

pub(super) fn look(spool: &Spool, name: &str, findings: &mut Findings) {
    let looked = spool
        .seen(name)
        .and_then(|queue| look_at(spool, &queue, findings));
    if let Err(error) = looked {
        let holder = who_has(spool, name);
        failed(name, &error, &holder, findings);
    }
}

/// The command that shows who has a queue's lock.
fn who_has(spool: &Spool, name: &str) -> String {
    let locks = word(&spool.shared().config.lock_directory);
    format!("fuser -v {locks}/{name}.json.lock")
}

fn failed(name: &str, error: &Error, holder: &str, findings: &mut Findings) {
    let command = match error.kind() {
        ErrorKind::Corrupt => format!("flockq repair {name}"),
        ErrorKind::Io => format!("ls -l {name}.json*"),
        ErrorKind::LockTimeout => holder.to_owned(),
        _ => String::new(),
    };
    findings.add(Problem, name, error.to_string(), &command);
}

fn look_at(spool: &Spool, queue: &Queue, findings: &mut Findings) -> Result<()> {
    let name = queue.name();
    let report = queue.check()?;
    for found in &report.damage {
        let place = found
            .offset
            .map_or_else(String::new, |offset| format!(" at byte {offset}"));
        let text = format!("{}{place} is damaged: {}", found.path.display(), found.rule);
        findings.add(Problem, name, text, &format!("flockq repair {name}"));
    }
    for note in &report.notes {
        findings.add(Note, name, note, "");
    }
    if !report.is_sound() {
        return Ok(());
    }
    let stats = queue.stats()?;
    foreign_writes(name, report.mode, &stats, findings);
    lock(name, &stats, &who_has(spool, name), findings);
    messages(spool, queue, findings)
}

fn foreign_writes(name: &str, mode: Mode, stats: &Stats, findings: &mut Findings) {
    let times = stats.foreign_writes;
    match mode {
        _ if times == 0 => {}
        Mode::Journal => {
            let text = format!(
                "another program has replaced the file of this journalled queue {times} time(s); nothing was lost, .gastown/replaced has both versions; queues that are shared with such programs should be plain"
            );
            findings.add(
                Risk,
                name,
                text,
                &format!("flockq convert {name} --to plain"),
            );
        }
        Mode::Plain => {
            let text = format!(
                "programs without the library have written the file {times} time(s) or more; they know no leases, and each has to take the lock around load, change and save together"
            );
            findings.add(Note, name, text, "");
        }
    }
}

fn lock(name: &str, stats: &Stats, holder: &str, findings: &mut Findings) {
    let lock = &stats.lock;
    if lock.replaced > 0 {
        let text = format!(
            "another program has removed the lock file {} time(s); what such a program writes can overwrite messages and be overwritten: it must leave the file in place",
            lock.replaced
        );
        findings.add(Risk, name, text, "");
    }
    if lock.timed_out > 0 {
        let text = format!(
            "{} operation(s) gave up waiting for the lock: some program holds it for long",
            lock.timed_out
        );
        findings.add(Risk, name, text, holder);
    } else if lock.wait_max >= LONG {
        let text = format!("somebody waited {} s for the lock", lock.wait_max.as_secs());
        findings.add(Note, name, text, holder);
    }
}

/// What the messages of a queue show.
#[derive(Default)]
struct Seen {
    failing: u64,
    last_error: Option<String>,
    ahead: u64,
    /// Those that wait for a queue which does not look here, by its name.
    forgotten: BTreeMap<String, u64>,
}

fn messages(spool: &Spool, queue: &Queue, findings: &mut Findings) -> Result<()> {
    let name = queue.name();
    let policy = queue.handle.policy()?;
    let config = queue.handle.config()?;
    let is_forgotten = |envelope: &Envelope, origin: &str| {
        let waits = envelope.error().is_some() && envelope.not_before().is_some();
        let home = config.policy(origin);
        let comes_here = [&home.retry_queue, &home.dead_letter_queue];
        let is_this = |target: &QueueName| target.as_str() == name;
        waits && origin != name && !comes_here.into_iter().flatten().any(is_this)
    };
    let latest = queue.handle.spool.store.system().wall().as_second() + AHEAD_S;
    let often = policy.attempts.unwrap_or(OFTEN);
    let mut seen = Seen::default();
    let mut list = List::new().limit(PAGE);
    loop {
        let page = queue.list(&list)?;
        for envelope in &page.envelopes {
            let sent = envelope.queued_at().and_then(parse);
            seen.ahead += u64::from(sent.is_some_and(|sent| sent.as_second() > latest));
            if let Some(origin) = envelope
                .origin()
                .filter(|from| is_forgotten(envelope, from))
            {
                *seen.forgotten.entry(origin.to_owned()).or_default() += 1;
            }
            if envelope.attempts() >= often {
                seen.failing += 1;
                seen.last_error = envelope.error().map(str::to_owned).or(seen.last_error);
            }
        }
        let Some(cursor) = page.cursor else { break };
        list = List::new().limit(PAGE).cursor(cursor);
    }
    if seen.ahead > 0 {
        let text = format!(
            "{} message(s) were sent at a time that is in the future: the clock has been set back",
            seen.ahead
        );
        findings.add(Risk, name, text, "timedatectl");
    }
    for (origin, count) in seen.forgotten {
        let text = format!(
            "{count} message(s) wait here to be tried again in queue {origin}, whose retry_queue this is not any more: nothing brings them back"
        );
        findings.add(
            Risk,
            name,
            text,
            &format!("flockq redrive {name} --dry-run"),
        );
    }
    let sources = config.given_up_to(&queue.handle.name, spool.shared().queues()?);
    let takes_what_failed = !sources.is_empty();
    if seen.failing == 0 {
        return Ok(());
    }
    let error = seen.last_error.map_or_else(String::new, |error| {
        let shown: String = error.chars().take(200).collect();
        format!("; one of the errors: {shown}")
    });
    if takes_what_failed {
        let text = format!("{} message(s) were given up{error}", seen.failing);
        findings.add(
            Note,
            name,
            text,
            &format!("flockq redrive {name} --dry-run"),
        );
    } else if policy.dead_letter_queue.is_none() {
        let text = format!(
            "{} message(s) have been delivered {often} times or more, and there is no dead_letter_queue: they will be tried for ever{error}",
            seen.failing
        );
        let command = format!(
            "flockq config set {name}.attempts {often} && flockq config set {name}.dead_letter_queue dead-letter"
        );
        findings.add(Risk, name, text, &command);
    } else {
        let text = format!(
            "{} message(s) are at their last attempt{error}",
            seen.failing
        );
        findings.add(Note, name, text, &format!("flockq list {name}"));
    }
    Ok(())
}
