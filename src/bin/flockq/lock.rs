//! Running a command while holding the lock of a file.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flockq::{FileLock, LockKind, LockWait};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

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
    child::hear_of_ends().map_err(Failure::system)?;
    let heeded = child::heeded(&[SIGINT, SIGQUIT, SIGTERM, SIGHUP]);
    let signals = SignalsInfo::new(heeded).map_err(Failure::system)?;
    let handing_on = child::ready(|child| hand_on(signals, child)).map_err(Failure::system)?;
    let child = Command::new(program).args(arguments).spawn();
    let mut child = child.map_err(|error| child::cannot_run(program, &error))?;
    // It waits for nothing else.
    let _ = handing_on.send(child.id());
    let status = child.wait().map_err(Failure::system)?;
    lock.release();
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(Outcome::Passed(u8::try_from(code).unwrap_or(1)))
}

/// This process must outlive the command, to hold the lock and to pass the exit code on. A Ctrl-C at the terminal reaches
/// the command from there; what somebody sends to this process comes to it alone and is handed on.
fn hand_on(mut signals: SignalsInfo<WithRawSiginfo>, child: u32) {
    let Some(child) = i32::try_from(child).ok().and_then(Pid::from_raw) else {
        return;
    };
    for signal in signals.forever() {
        let is_typed = matches!(signal.si_signo, SIGINT | SIGQUIT) && !is_sent(signal.si_code);
        let handed = Signal::from_named_raw(signal.si_signo).filter(|_| !is_typed);
        if let Some(handed) = handed {
            // The command may just have ended by itself.
            let _ = kill_process(child, handed);
        }
    }
}

/// Whether a process has sent the signal: the codes of those that come from the kernel, as a terminal's do, are above zero.
fn is_sent(code: i32) -> bool {
    code <= 0
}
