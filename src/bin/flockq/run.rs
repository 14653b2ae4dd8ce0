//! Giving each message of a queue to a command.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use flockq::{Delivery, Queue, Spool, Work};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{Failure, Outcome};

/// The part of a line on standard error that becomes the reason of a nack.
const REASON: usize = 500;

pub(crate) fn run(
    directory: &Path,
    name: &str,
    workers: usize,
    lease: Option<Duration>,
    command: &[OsString],
) -> Result<Outcome, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::Usage(
            "there is no command to run; give it behind --".to_owned(),
        ));
    };
    let spool = Spool::open(directory)?;
    // A handle each: an interrupt ends one wait, or the next.
    let queues: Vec<Queue> = (0..workers.max(1))
        .map(|_| spool.queue(name))
        .collect::<flockq::Result<_>>()?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (handle, waiters) = (signals.handle(), queues.clone());
    let listener = thread::spawn(move || {
        for _ in signals.forever() {
            waiters.iter().for_each(Queue::interrupt);
        }
    });
    let mut how = Work::new();
    if let Some(lease) = lease {
        how = how.lease(lease);
    }
    let ended: Vec<flockq::Result<()>> = thread::scope(|scope| {
        let started: Vec<_> = queues
            .iter()
            .map(|queue| {
                let work = || {
                    let done = queue.work(&how, |delivery| {
                        hand_over(queue, delivery, program, arguments)
                    });
                    // What ends one worker ends all: somebody has to look.
                    if done.is_err() {
                        queues.iter().for_each(Queue::interrupt);
                    }
                    done
                };
                scope.spawn(work)
            })
            .collect();
        started
            .into_iter()
            .filter_map(|worker| worker.join().ok())
            .collect()
    });
    handle.close();
    let _ = listener.join();
    spool.close()?;
    ended.into_iter().collect::<flockq::Result<()>>()?;
    Ok(Outcome::Done)
}

/// One message: the payload on standard input, what is known of it in the environment. Why it failed, if it did.
fn hand_over(
    queue: &Queue,
    delivery: &Delivery,
    program: &OsString,
    arguments: &[OsString],
) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot run {}: {error}", program.to_string_lossy());
    let mut child = Command::new(program)
        .args(arguments)
        .env("FLOCKQ_QUEUE", queue.name())
        .env("FLOCKQ_ID", delivery.id())
        .env("FLOCKQ_ATTEMPTS", delivery.attempts().to_string())
        .env("FLOCKQ_RECEIPT", delivery.receipt())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        // A Ctrl-C is for this process, which lets the command finish.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let (input, errors) = (child.stdin.take(), child.stderr.take());
    let last = thread::scope(|scope| {
        if let Some(mut input) = input {
            // A command that does not read its input has its reasons.
            scope.spawn(move || input.write_all(delivery.payload()));
        }
        errors.map(|errors| pass_on(BufReader::new(errors)))
    });
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    let how = status.code().map_or_else(
        || format!("ended by signal {}", status.signal().unwrap_or(0)),
        |code| format!("exit code {code}"),
    );
    Err(last.flatten().unwrap_or(how))
}

/// Hands standard error on; its last line that says something.
fn pass_on(mut errors: impl BufRead) -> Option<String> {
    let mut last: Option<String> = None;
    let mut line = Vec::new();
    while errors
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        let _ = io::stderr().write_all(&line);
        let said = line.trim_ascii();
        if !said.is_empty() {
            let part = said.get(..REASON).unwrap_or(said);
            last = Some(String::from_utf8_lossy(part).into_owned());
        }
        line.clear();
    }
    last
}
