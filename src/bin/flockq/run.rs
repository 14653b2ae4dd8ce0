//! Giving each message of a queue to a command.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use flockq::{Delivery, Nack, Queue, Spool, Work};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{Failure, Outcome, child};

/// The part of a line on standard error that becomes the reason of a nack.
const REASON: usize = 500;
/// So long what a command has said is waited for when it has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

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
    // A handle each: an interrupt that comes before a worker has begun waits for it there.
    let queues: Vec<Queue> = (0..workers.max(1))
        .map(|_| spool.queue(name))
        .collect::<flockq::Result<_>>()?;
    let mut signals = Signals::new(child::heeded(&[SIGINT, SIGTERM, SIGHUP]))?;
    let (handle, waiters) = (signals.handle(), queues.clone());
    let listen = move || {
        for _ in signals.forever() {
            waiters.iter().for_each(Queue::interrupt);
        }
    };
    let listener = thread::Builder::new()
        .spawn(listen)
        .map_err(child::no_thread)?;
    let mut how = Work::new();
    if let Some(lease) = lease {
        how = how.lease(lease);
    }
    // What ends one worker ends all: somebody has to look.
    let end_all = || queues.iter().for_each(Queue::interrupt);
    let cannot = Mutex::new(None);
    let work = |queue: &Queue| {
        let done = queue.work(&how, |delivery| {
            match hand_over(queue, delivery, program, arguments) {
                Ok(()) => Ok(()),
                Err(Failed::Command(text)) => Err(text),
                Err(Failed::Start(text)) => {
                    *cannot.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                    end_all();
                    // No message's fault: it is given back.
                    let _ = delivery.nack(&Nack::new());
                    Ok(())
                }
            }
        });
        if done.is_err() {
            end_all();
        }
        done.map_err(Failure::from)
    };
    let ended: Vec<Result<(), Failure>> = thread::scope(|scope| {
        let started: Vec<_> = queues
            .iter()
            .map(|queue| thread::Builder::new().spawn_scoped(scope, || work(queue)))
            .collect();
        if started.iter().any(Result::is_err) {
            end_all();
        }
        let ends = started.into_iter().map(|started| {
            let ended = started.map_err(child::no_thread)?.join();
            let panicked =
                "a worker has panicked, and its message was given back; please report it";
            ended.unwrap_or_else(|_| Err(Failure::Stream(io::Error::other(panicked))))
        });
        ends.collect()
    });
    handle.close();
    let _ = listener.join();
    spool.close()?;
    ended.into_iter().collect::<Result<(), Failure>>()?;
    match cannot.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(text) => Err(Failure::Usage(text)),
        None => Ok(Outcome::Done),
    }
}

/// Why a message was not handled.
enum Failed {
    /// The command has failed.
    Command(String),
    /// There is none that could be run.
    Start(String),
}

/// One message: the payload on standard input, what is known of it in the environment. Over when the command has ended, whatever it
/// leaves running.
fn hand_over(
    queue: &Queue,
    delivery: &Delivery,
    program: &OsString,
    arguments: &[OsString],
) -> Result<(), Failed> {
    let failed = |error: io::Error| {
        let text = format!("cannot run {}: {error}", program.to_string_lossy());
        // An id that is no value for the environment, or too long a one, is the message's fault.
        match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::ArgumentListTooLong => {
                Failed::Command(text)
            }
            _ => Failed::Start(text),
        }
    };
    let payload = delivery.payload().to_vec();
    // A command that does not read its input has its reasons.
    let feed = child::ready(move |mut input: ChildStdin| drop(input.write_all(&payload)));
    let (last, told) = (Arc::new(Mutex::new(None)), mpsc::channel());
    let said = Arc::clone(&last);
    let listen = child::ready(move |errors: ChildStderr| {
        pass_on(BufReader::new(errors), &said);
        let _ = told.0.send(());
    });
    let (feed, listen) = (feed.map_err(failed)?, listen.map_err(failed)?);
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
    // Both wait for nothing else.
    let _ = child.stdin.take().map(|input| feed.send(input));
    let _ = child.stderr.take().map(|errors| listen.send(errors));
    let status = child.wait().map_err(failed)?;
    // What it has left running may keep its standard error open.
    let _ = told.1.recv_timeout(LAST_WORDS);
    if status.success() {
        return Ok(());
    }
    let how = status.code().map_or_else(
        || format!("ended by signal {}", status.signal().unwrap_or(0)),
        |code| format!("exit code {code}"),
    );
    let said = last.lock().unwrap_or_else(PoisonError::into_inner).take();
    Err(Failed::Command(said.unwrap_or(how)))
}

/// Hands standard error on, and keeps its last line that says something.
fn pass_on(mut errors: impl BufRead, last: &Mutex<Option<String>>) {
    let mut line = Vec::new();
    while errors
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        let _ = io::stderr().write_all(&line);
        let said = line.trim_ascii();
        if !said.is_empty() {
            let part = said.get(..REASON).unwrap_or(said);
            let text = String::from_utf8_lossy(part).into_owned();
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        }
        line.clear();
    }
}
