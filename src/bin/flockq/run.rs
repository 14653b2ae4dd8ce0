//! Giving each message of a queue to a command.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use flockq::{Delivery, Nack, Queue, Spool, Work};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::words::Words;
use crate::{Failure, Outcome, child};

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
    // Each start would count as an attempt, also where something starts this again and again.
    child::look_for(program)?;
    let spool = Spool::open(directory)?;
    // A handle each: an interrupt that comes before a worker has begun waits for it there.
    let queues: Vec<Queue> = (0..workers.max(1))
        .map(|_| spool.queue(name))
        .collect::<flockq::Result<_>>()?;
    child::hear_of_ends().map_err(Failure::system)?;
    let heeded = child::heeded(&[SIGINT, SIGTERM, SIGHUP]);
    let mut signals = Signals::new(heeded).map_err(Failure::system)?;
    let (handle, waiters) = (signals.handle(), queues.clone());
    let listen = move || {
        for _ in signals.forever() {
            waiters.iter().for_each(Queue::interrupt);
        }
    };
    let listener = thread::Builder::new()
        .spawn(listen)
        .map_err(|error| Failure::system(child::no_thread(error)))?;
    let mut how = Work::new();
    if let Some(lease) = lease {
        how = how.lease(lease);
    }
    // What ends one worker ends all: somebody has to look.
    let end_all = || queues.iter().for_each(Queue::interrupt);
    let cannot = Mutex::new(None);
    let work = |queue: &Queue| {
        let done = queue.work(&how, |delivery| {
            let words = Words::new(queues.len() == 1);
            match hand_over(&spool, queue, delivery, (program, arguments), &words) {
                Ok(()) => Ok(()),
                Err(Failed::Command(text)) => Err(text),
                Err(Failed::Start(failure)) => {
                    *cannot.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                    end_all();
                    // No message's fault: it is given back. One that cannot be is not done either.
                    delivery
                        .nack(&Nack::new())
                        .map_err(|error| error.to_string())
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
            let started = started.map_err(|error| Failure::system(child::no_thread(error)));
            let panicked =
                "a worker has panicked, and its message was given back; please report it";
            let ended = started?.join();
            ended.unwrap_or_else(|_| Err(Failure::Other(panicked.to_owned())))
        });
        ends.collect()
    });
    handle.close();
    let _ = listener.join();
    let closed = spool.close();
    if let Some(failure) = cannot.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(failure);
    }
    ended.into_iter().collect::<Result<(), Failure>>()?;
    closed?;
    Ok(Outcome::Done)
}

/// Why a message was not handled.
enum Failed {
    /// The command has failed.
    Command(String),
    /// It could not be run.
    Start(Failure),
}

/// One message: the payload on standard input, what is known of it in the environment. Over when the command has ended, whatever it
/// leaves running.
fn hand_over(
    spool: &Spool,
    queue: &Queue,
    delivery: &Delivery,
    (program, arguments): (&OsString, &[OsString]),
    words: &Words,
) -> Result<(), Failed> {
    let failed = |error: io::Error| match error.kind() {
        // An id that is no value for the environment, or too long a one, is the message's fault.
        io::ErrorKind::InvalidInput | io::ErrorKind::ArgumentListTooLong => {
            Failed::Command(format!("cannot run {}: {error}", program.to_string_lossy()))
        }
        _ => Failed::Start(child::cannot_run(program, &error)),
    };
    let payload = delivery.payload().to_vec();
    // A command that does not read its input has its reasons.
    let feed = child::ready(move |mut input: ChildStdin| drop(input.write_all(&payload)));
    let (told, heard) = mpsc::channel();
    let said = words.clone();
    let listen = child::ready(move |errors: ChildStderr| {
        said.hand_on(errors);
        let _ = told.send(());
    });
    let (feed, listen) = (feed.map_err(failed)?, listen.map_err(failed)?);
    let mut child = Command::new(program)
        .args(arguments)
        .env("FLOCKQ_DIR", spool.path())
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
    let _ = heard.recv_timeout(LAST_WORDS);
    if status.success() {
        return Ok(());
    }
    let how = status.code().map_or_else(
        || format!("ended by signal {}", status.signal().unwrap_or(0)),
        |code| format!("exit code {code}"),
    );
    Err(Failed::Command(words.last_line().unwrap_or(how)))
}
