//! What it takes to run a command beside this process.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

use rustix::fs::Access;
use rustix::io::Errno;
use signal_hook::consts::SIGCHLD;

use crate::Failure;

/// Starts a thread that does `job` with what it is given. So there is one before the command is started: where the system
/// refuses threads, nothing is half done.
pub(crate) fn ready<T: Send + 'static>(
    job: impl FnOnce(T) + Send + 'static,
) -> io::Result<mpsc::Sender<T>> {
    let (give, given) = mpsc::channel();
    let wait = move || {
        if let Ok(what) = given.recv() {
            job(what);
        }
    };
    thread::Builder::new().spawn(wait).map_err(no_thread)?;
    Ok(give)
}

/// Whether there is such a program, looked for as it will be when it is run; what else is wrong with it is seen then.
pub(crate) fn look_for(program: &OsStr) -> Result<(), Failure> {
    let is_program = |path: &Path| rustix::fs::access(path, Access::EXEC_OK).map_err(Into::into);
    let found = if program.as_encoded_bytes().contains(&b'/') {
        is_program(Path::new(program))
    } else {
        let Some(path) = std::env::var_os("PATH") else {
            return Ok(());
        };
        let mut tries = std::env::split_paths(&path).map(|place| is_program(&place.join(program)));
        let none = || Err(io::Error::from(Errno::NOENT));
        tries.find(io::Result::is_ok).unwrap_or_else(none)
    };
    found.map_err(|error| cannot_run(program, &error))
}

/// Why a command could not be run: one that is none is a wrong use, and what the system has not got just now is not.
pub(crate) fn cannot_run(program: &OsStr, error: &io::Error) -> Failure {
    let text = format!("cannot run {}: {error}", program.to_string_lossy());
    let wrong = [Errno::NOENT, Errno::NOTDIR, Errno::ACCESS, Errno::NOEXEC];
    if Errno::from_io_error(error).is_some_and(|error| wrong.contains(&error)) {
        Failure::Usage(text)
    } else {
        Failure::Other(text)
    }
}

/// The error where the system refuses a thread.
pub(crate) fn no_thread(error: io::Error) -> io::Error {
    let text = format!("cannot start a thread: {error}; allow this user more processes");
    io::Error::new(error.kind(), text)
}

/// The end of a command is heard of, also where whoever started this process ignores the ends of its own: the system would keep how
/// it ended to itself.
pub(crate) fn hear_of_ends() -> io::Result<()> {
    signal_hook::flag::register(SIGCHLD, Arc::default()).map(drop)
}

/// Those of the signals that were not ignored when this process was started, as `nohup` and a shell's background have it: they
/// stay ignored, here and in the command.
#[expect(
    clippy::disallowed_methods,
    reason = "it is the process that is looked at, and no spool"
)]
pub(crate) fn heeded(signals: &[i32]) -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default();
    let is_ignored = |signal: i32| mask >> (signal - 1) & 1 == 1;
    signals
        .iter()
        .copied()
        .filter(|signal| !is_ignored(*signal))
        .collect()
}
