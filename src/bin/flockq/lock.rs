//! Running a command while holding the lock of a file.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flockq::{FileLock, LockKind, LockWait};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{Failure, Outcome, child};

pub(crate) fn run(
    file: &Path,
    shared: bool,
    timeout: Duration,
    command: &[OsString],
) -> Result<Outcome, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::Usage(
            "there is no command to run; give it behind --".to_owned(),
        ));
    };
    let kind = if shared {
        LockKind::Shared
    } else {
        LockKind::Exclusive
    };
    let wait = if timeout.is_zero() {
        LockWait::NoWait
    } else {
        LockWait::For(timeout)
    };
    let lock = FileLock::acquire(file, kind, wait)?;
    // The descriptor closes on exec, so that the lock is this process's alone: it is held until the command has ended,
    // and ends with this process whatever the command leaves running.
    let signals = Signals::new(child::heeded(&[SIGINT, SIGQUIT, SIGTERM, SIGHUP]))?;
    let handing_on = child::ready(|child| hand_on(signals, child))?;
    let child = Command::new(program).args(arguments).spawn();
    let mut child = child.map_err(|error| {
        Failure::Usage(format!("cannot run {}: {error}", program.to_string_lossy()))
    })?;
    // It waits for nothing else.
    let _ = handing_on.send(child.id());
    let status = child.wait()?;
    lock.release();
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(Outcome::Passed(u8::try_from(code).unwrap_or(1)))
}

/// This process must outlive the command, to hold the lock and to pass the exit code on. A Ctrl-C reaches the command
/// from the terminal; a termination comes to this process alone and is handed on.
fn hand_on(mut signals: Signals, child: u32) {
    for signal in signals.forever() {
        let handed = match signal {
            SIGTERM => Signal::TERM,
            SIGHUP => Signal::HUP,
            _ => continue,
        };
        if let Some(pid) = i32::try_from(child).ok().and_then(Pid::from_raw) {
            // The command may just have ended by itself.
            let _ = kill_process(pid, handed);
        }
    }
}
