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
    /// Standard input or output.
    Stream(io::Error),
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

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Stream(error)
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
    let ended = run(arguments).and_then(|outcome| {
        io::stdout()
            .flush()
            .map(|()| outcome)
            .map_err(Failure::from)
    });
    match ended {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Nothing) => ExitCode::from(3),
        Ok(Outcome::Partly) => ExitCode::from(1),
        Ok(Outcome::Passed(code)) => ExitCode::from(code),
        // Whoever read the output has had enough.
        Err(Failure::Stream(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let (text, code) = match failure {
                Failure::Queue(error) => (error.to_string(), code_of(error.kind())),
                Failure::Stream(error) => (error.to_string(), 1),
                Failure::Untold(error) => {
                    let text = format!("done, but what came of it could not be printed: {error}");
                    (text, 1)
                }
                Failure::Other(text) => (text, 1),
                Failure::Usage(text) => (text, 2),
            };
            complain(&text);
            ExitCode::from(code)
        }
    }
}

/// One line on standard error; that it cannot be written cannot be told.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "flockq: {text}");
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
