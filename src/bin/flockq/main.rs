//! The command line: queues from the shell. It translates arguments and prints; the library decides.

mod arguments;
mod check;
mod child;
mod doctor;
mod lock;
mod print;
mod queue;
mod run;
mod stats;
mod take;
mod words;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use flockq::{Error, ErrorKind};

use arguments::{Arguments, Command};

/// How a command ended, when it did not fail.
pub(crate) enum Outcome {
    Done,
    /// Nothing there: no message came, no such id.
    Nothing,
    /// Some of it failed, and the lines have been printed.
    Partly,
    /// The exit code of the command that ran under the lock.
    Passed(u8),
}

/// Why a command failed.
pub(crate) enum Failure {
    Queue(Error),
    /// Standard input.
    Input(io::Error),
    /// Standard output.
    Output(io::Error),
    /// It was done, and then what came of it could not be printed.
    Untold(io::Error),
    /// Anything else, as it is to be told.
    Other(String),
    Usage(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Queue(error)
    }
}

impl Failure {
    /// What the system has refused, but for the standard streams.
    pub(crate) fn system(error: io::Error) -> Self {
        Failure::Other(error.to_string())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Nothing) => ExitCode::from(3),
        Ok(Outcome::Partly) => ExitCode::from(1),
        Ok(Outcome::Passed(code)) => ExitCode::from(code),
        // Whoever read the output has had enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let (text, code) = match failure {
                Failure::Queue(error) => (error.to_string(), code_of(error.kind())),
                Failure::Input(error) => (format!("standard input: {error}"), 1),
                Failure::Output(error) => (format!("standard output: {error}"), 1),
                Failure::Untold(error) => {
                    let text = "done, but what came of it could not be printed: standard output";
                    (format!("{text}: {error}"), 1)
                }
                Failure::Other(text) => (text, 1),
                Failure::Usage(text) => (text, 2),
            };
            complain(&text);
            ExitCode::from(code)
        }
    }
}

/// One line on standard error, in one write; that it cannot be written cannot be told.
fn complain(text: &str) {
    let _ = io::stderr().write_all(format!("flockq: {text}\n").as_bytes());
}

/// One line on standard error for each part that failed.
pub(crate) fn told<'a>(errors: impl IntoIterator<Item = &'a Error>) -> Outcome {
    let mut all = Outcome::Done;
    for error in errors {
        complain(&error.to_string());
        all = Outcome::Partly;
    }
    all
}

/// The same for queues. Where one was asked for by name, its error is the command's.
pub(crate) fn told_of(named: Option<&str>, mut errors: Vec<Error>) -> Result<Outcome, Failure> {
    match errors.pop() {
        Some(error) if named.is_some() => Err(error.into()),
        last => {
            errors.extend(last);
            Ok(told(&errors))
        }
    }
}

fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidArgument => 2,
        ErrorKind::LockTimeout => 4,
        _ => 1,
    }
}

fn run(arguments: Arguments) -> Result<Outcome, Failure> {
    let directory = arguments.directory();
    match arguments.command {
        Command::Init {
            directory: path,
            plain,
            mail,
            lock_dir,
            sync,
        } => {
            // Not below $FLOCKQ_DIR, which says where the queues are when nobody says otherwise.
            let directory = arguments.dir.unwrap_or_default().join(&path);
            let mut init = flockq::Init::new().plain(plain);
            if let Some(lock_dir) = lock_dir {
                init = init.lock_dir(lock_dir);
            }
            if let Some(sync) = sync {
                init = init.sync(sync);
            }
            flockq::Spool::init(&directory, &init)?;
            if mail {
                flockq::Spool::open(&directory)?.adopt_mail()?;
            }
            Ok(Outcome::Done)
        }
        Command::Lock {
            file,
            shared,
            timeout,
            command,
        } => lock::run(&directory.join(&file), shared, timeout, &command),
        Command::Run {
            queue,
            workers,
            lease,
            command,
        } => run::run(&directory, &queue, workers, lease, &command),
        Command::Check { queue, json } => check::check(&directory, queue.as_deref(), json),
        Command::Repair { queue, json } => check::repair(&directory, &queue, json),
        Command::Stats {
            prometheus: true,
            output,
            ..
        } => stats::metrics(&directory, output.as_deref()),
        Command::Stats { queue, json, .. } => stats::run(&directory, queue.as_deref(), json),
        Command::Doctor { json } => doctor::run(&directory, json),
        command => queue::run(&directory, command),
    }
}
