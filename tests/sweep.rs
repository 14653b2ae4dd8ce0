//! Every operation, cut short at every system call: killed before it, or told that it failed. What is there afterwards is what
//! was there before or what the operation leads to, and what was reported as done is done.
//!
//! FLOCKQ_PROVE=1 makes all of it; without it every kill before a call that changes something is made, and a part of the rest.

#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use flockq::{List, Message, Nack, Receive, Spool};
use serde_json::json;

/// What an operation asks of the system, but for memory.
const CALLS: &str = "openat,openat2,read,pread64,write,pwrite64,fsync,fdatasync,renameat,renameat2,unlinkat,linkat,flock,fcntl,ftruncate,mkdirat,fchmod,fchown,newfstatat,fstat,statx,fstatfs,getdents64,fgetxattr,fsetxattr";
/// What of it changes something that another process sees.
const CHANGES: [&str; 10] = [
    "pwrite64",
    "write",
    "fsync",
    "fdatasync",
    "renameat",
    "renameat2",
    "unlinkat",
    "linkat",
    "mkdirat",
    "ftruncate",
];
const ERRORS: [&str; 9] = [
    "EIO", "ENOSPC", "EDQUOT", "EINTR", "EAGAIN", "ENOMEM", "EMFILE", "EACCES", "EROFS",
];
const QUEUES: [&str; 3] = ["inbound", "outbound", "dead-letter"];

/// An operation: what there is before it, and the command line.
struct Case {
    name: &'static str,
    prepare: fn(&Spool) -> flockq::Result<()>,
    /// `RECEIPT` stands for the receipt of a message that was received.
    command: &'static [&'static str],
}

const NOTHING: fn(&Spool) -> flockq::Result<()> = |_| Ok(());
const ONE: fn(&Spool) -> flockq::Result<()> = |spool| {
    let first = Message::new(&json!({"id": "m1"}));
    spool.queue("inbound")?.send(first).map(drop)
};
const FAILED: fn(&Spool) -> flockq::Result<()> = |spool| {
    spool.set_config("inbound.attempts", "1")?;
    let inbound = spool.queue("inbound")?;
    inbound.send(Message::new(&json!({"id": "m1"})))?;
    let delivery = inbound.receive(Receive::new())?.unwrap();
    delivery.nack(&Nack::new().error("no session"))
};

const CASES: &[Case] = &[
    Case {
        name: "the first send",
        prepare: NOTHING,
        command: &["send", "inbound", r#"{"id":"m2"}"#],
    },
    Case {
        name: "send",
        prepare: ONE,
        command: &["send", "inbound", r#"{"id":"m2"}"#],
    },
    Case {
        name: "send with an id",
        prepare: ONE,
        command: &["send", "inbound", "2", "--id", "m2", "--dedup"],
    },
    Case {
        name: "receive",
        prepare: ONE,
        command: &["receive", "inbound"],
    },
    Case {
        name: "pop",
        prepare: ONE,
        command: &["pop", "inbound"],
    },
    Case {
        name: "ack",
        prepare: ONE,
        command: &["ack", "inbound", "RECEIPT"],
    },
    Case {
        name: "nack",
        prepare: ONE,
        command: &["nack", "inbound", "RECEIPT", "--delay", "1h"],
    },
    Case {
        name: "retry",
        prepare: ONE,
        command: &["nack", "inbound", "RECEIPT", "--error", "no session"],
    },
    Case {
        name: "redrive",
        prepare: FAILED,
        command: &["redrive", "dead-letter"],
    },
    Case {
        name: "extend",
        prepare: ONE,
        command: &["extend", "inbound", "RECEIPT", "--lease", "1h"],
    },
    Case {
        name: "update",
        prepare: ONE,
        command: &["update", "inbound", "m1", "{\"n\":2}", "--priority", "high"],
    },
    Case {
        name: "remove",
        prepare: ONE,
        command: &["remove", "inbound", "m1"],
    },
    Case {
        name: "purge",
        prepare: ONE,
        command: &["purge", "inbound"],
    },
    Case {
        name: "checkpoint",
        prepare: ONE,
        command: &["checkpoint", "inbound"],
    },
    Case {
        name: "to a journal",
        prepare: ONE,
        command: &["convert", "inbound", "--to", "journal"],
    },
    Case {
        name: "to a plain file",
        prepare: ONE,
        command: &["convert", "inbound", "--to", "plain"],
    },
    Case {
        name: "config",
        prepare: ONE,
        command: &["config", "set", "inbound.backoff", "9s"],
    },
];

fn flockq(before: &[String], directory: &Path, arguments: &[String]) -> Output {
    let mut words = before.iter().cloned().chain([
        env!("CARGO_BIN_EXE_flockq").to_owned(),
        "--dir".to_owned(),
        directory.to_str().unwrap().to_owned(),
    ]);
    Command::new(words.next().unwrap())
        .args(words)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What there is: for each message its queue, how often it was delivered, and whether it is delayed.
fn state(directory: &Path) -> flockq::Result<Vec<String>> {
    let spool = Spool::open(directory)?;
    let mut found = Vec::new();
    // A move that was cut short is ended by whoever looks first.
    for _ in 0..2 {
        found.clear();
        for name in QUEUES {
            for envelope in spool.queue(name)?.list(&List::new())?.envelopes {
                let (id, attempts) = (envelope.id().unwrap_or_default(), envelope.attempts());
                let is_delayed = envelope.not_before().is_some();
                let (priority, payload) = (envelope.priority(), envelope.payload().len());
                found.push(format!(
                    "{name} {id} {attempts} {is_delayed} {priority} {payload}"
                ));
            }
        }
    }
    let backoff = spool.config()?.contains("\"9s\"");
    found.push(format!("configured: {backoff}"));
    found.sort();
    Ok(found)
}

/// The queues and the messages in them, however they stand.
fn messages(found: &[String]) -> Vec<Vec<&str>> {
    let words = found.iter().map(|line| line.split(' ').take(2).collect());
    words.collect()
}

/// What the spool holds before the operation, and the operation.
struct Prepared {
    template: PathBuf,
    command: Vec<String>,
    before: Vec<String>,
    after: Vec<String>,
    /// Each system call from the first that looks at the spool on: its name, and which one of that name it is.
    points: Vec<(String, usize)>,
}

fn prepare(case: &Case, mode: &str, temporary: &Path) -> Prepared {
    let template = temporary.join("template");
    fs::create_dir(&template).unwrap();
    let config = json!({"version": 1, "default": {"mode": mode}}).to_string();
    fs::write(template.join("flockq.json"), config).unwrap();
    let spool = Spool::mail(&template).unwrap();
    (case.prepare)(&spool).unwrap();
    let mut command: Vec<String> = case.command.iter().map(ToString::to_string).collect();
    if let Some(place) = command.iter().position(|word| word == "RECEIPT") {
        let inbound = spool.queue("inbound").unwrap();
        let delivery = inbound.receive(Receive::new().detached()).unwrap().unwrap();
        delivery.receipt().clone_into(&mut command[place]);
    }
    drop(spool);
    let before = state(&template).unwrap();
    let log = temporary.join("log");
    let directory = temporary.join("spool");
    support::copy(&template, &directory);
    let strace = words(&format!(
        "strace -f -qq -o {} -e trace={CALLS}",
        log.display()
    ));
    let done = flockq(&strace, &directory, &command);
    assert!(done.status.success(), "{}: {done:?}", case.name);
    let after = state(&directory).unwrap();
    Prepared {
        points: points(&support::read(&log), &directory),
        template,
        command,
        before,
        after,
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn points(log: &str, directory: &Path) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut points = Vec::new();
    let mut is_begun = false;
    for line in log.lines() {
        let call = line.split_once(' ').unwrap().1.trim_start();
        let Some((name, rest)) = call.split_once('(') else {
            continue;
        };
        let count = counts.entry(name).or_default();
        *count += 1;
        is_begun |= rest.contains(directory.to_str().unwrap());
        // What is printed is no part of the operation.
        let is_printed = name == "write" && (rest.starts_with("1,") || rest.starts_with("2,"));
        if is_begun && !is_printed {
            points.push((name.to_owned(), *count));
        }
    }
    points
}

/// What came of an injection.
struct Injected {
    is_killed: bool,
    /// The call was reached: not each run makes the same calls.
    is_reached: bool,
}

/// Runs the operation with something injected, and looks at what is there then.
fn inject(
    prepared: &Prepared,
    directory: &Path,
    call: &str,
    what: &str,
) -> Result<Injected, String> {
    support::copy(&prepared.template, directory);
    let log = directory.with_extension("injected");
    let strace = words(&format!(
        "timeout 100 strace -f -qq -o {} -e trace={call} -e inject={call}:{what}",
        log.display()
    ));
    let ended = flockq(&strace, directory, &prepared.command);
    let (code, error) = (ended.status.code(), String::from_utf8_lossy(&ended.stderr));
    let told = |text: String| format!("{text}\nexit {code:?}: {error}");
    if code == Some(124) {
        return Err(told("it hangs".to_owned()));
    }
    // Where standard error cannot be written either, its exit code tells of a panic.
    let is_error = what.starts_with("error");
    if error.contains("panicked") || (is_error && !matches!(code, Some(0..=4))) {
        return Err(told("it panicked, or was killed".to_owned()));
    }
    let found = state(directory).map_err(|error| told(error.to_string()))?;
    let is_after = found == prepared.after;
    // A message that cannot be moved has been given back in its place, and the error says so.
    let is_told = ["given back, and kept", "the messages stay"]
        .iter()
        .any(|text| error.contains(text));
    // Standard error cannot be written where every write fails.
    let is_mute = error.is_empty() && call == "write" && is_error;
    let is_kept =
        code != Some(0) && (is_told || is_mute) && messages(&found) == messages(&prepared.before);
    if !is_after && !is_kept && found != prepared.before {
        return Err(told(format!("{found:?} is neither before nor after")));
    }
    let is_killed = code == Some(137) || ended.status.signal().is_some();
    if code == Some(0) && !is_after {
        return Err(told("it said that it was done, and it is not".to_owned()));
    }
    let is_unknown = [
        "may not outlive",
        "may have been made",
        "whether that was made is not known",
        "could not be printed",
        "goes on with it",
        "the configuration was changed",
    ];
    let is_unknown = is_mute || is_unknown.iter().any(|text| error.contains(text));
    let has_failed = code.is_some_and(|code| code != 0) && !is_killed;
    let is_change = prepared.before != prepared.after;
    if has_failed && is_after && is_change && !is_unknown {
        return Err(told("it said that it failed, and it is done".to_owned()));
    }
    if what.starts_with("error=EINTR") && (code != Some(0) || !is_after) {
        return Err(told("it did not go on when it was interrupted".to_owned()));
    }
    afterwards(directory).map_err(told)?;
    Ok(Injected {
        is_killed,
        is_reached: support::read(&log).contains("(INJECTED)"),
    })
}

/// Every rule of the format holds, the queue goes on, and nothing is left lying about.
fn afterwards(directory: &Path) -> Result<(), String> {
    let spool = Spool::open(directory).map_err(|error| error.to_string())?;
    let go_on = || -> flockq::Result<()> {
        for name in spool.queues()? {
            let report = spool.queue(&name)?.check()?;
            assert!(report.is_sound(), "{report:?}");
        }
        for name in QUEUES {
            let queue = spool.queue(name)?;
            queue.send(Message::new(&json!(0)).id("next"))?;
            assert_eq!(queue.get("next")?.len(), 1);
            assert_eq!(queue.remove(&["next"])?, 1);
            queue.checkpoint()?;
        }
        Ok(())
    };
    go_on().map_err(|error| error.to_string())?;
    let names = fs::read_dir(directory).unwrap();
    let left = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.ends_with(".tmp") || name.ends_with(".part"));
    match left {
        // A temporary file of the configuration goes with the next change of it; nobody reads it.
        Some(name) if !name.contains("flockq.json") => Err(format!("{name} is left")),
        _ => Ok(()),
    }
}

/// Does every case in both modes, some at the same time; how many points there were.
fn sweep(each: impl Fn(&Case, &str, &Prepared, &Path) -> usize + Sync) -> usize {
    if Command::new("strace").arg("-V").output().is_err() {
        support::left_out("strace is missing (apt-get install strace)");
        return usize::MAX;
    }
    let all: Vec<(&Case, &str)> = CASES
        .iter()
        .flat_map(|case| support::MODES.map(|mode| (case, mode)))
        .collect();
    let (next, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((case, mode)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let temporary = support::in_memory();
                    let prepared = prepare(case, mode, temporary.path());
                    let directory = temporary.path().join("spool");
                    let count = each(case, mode, &prepared, &directory);
                    sum.fetch_add(count, Ordering::Relaxed);
                }
            });
        }
    });
    sum.into_inner()
}

#[test]
fn an_operation_that_is_killed_at_any_system_call_has_happened_or_not() {
    let turn = AtomicUsize::new(0);
    let kills = sweep(|case, mode, prepared, directory| {
        let mut kills = 0;
        for (call, number) in &prepared.points {
            let is_part = turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(16);
            if !CHANGES.contains(&call.as_str()) && !is_part && !support::proves() {
                continue;
            }
            let what = format!("signal=KILL:when={number}");
            match inject(prepared, directory, call, &what) {
                Ok(injected) => kills += usize::from(injected.is_killed),
                Err(why) => panic!("{} ({mode}), killed at {call} {number}: {why}", case.name),
            }
        }
        kills
    });
    support::proved("kills at a system call", kills);
    assert!(kills > 500, "{kills}");
}

#[test]
fn an_operation_of_which_any_system_call_fails_says_what_happened() {
    let part = if support::proves() { 1 } else { 71 };
    let turn = AtomicUsize::new(0);
    let failures = sweep(|case, mode, prepared, directory| {
        let mut failures = 0;
        for (call, number) in &prepared.points {
            for error in ERRORS {
                // Once, and from then on. A call that is interrupted for ever is no system.
                let from_then_on = format!("{number}+");
                let whens = [number.to_string(), from_then_on];
                let whens = if error == "EINTR" {
                    &whens[..1]
                } else {
                    &whens[..]
                };
                for when in whens {
                    if !turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(part) {
                        continue;
                    }
                    // Somebody who has the lock for ever is waited for.
                    if call == "flock" && error == "EAGAIN" && when.ends_with('+') {
                        continue;
                    }
                    let what = format!("error={error}:when={when}");
                    match inject(prepared, directory, call, &what) {
                        Ok(injected) => failures += usize::from(injected.is_reached),
                        Err(why) => panic!("{} ({mode}), {call} {what}: {why}", case.name),
                    }
                }
            }
        }
        failures
    });
    support::proved("failures of a system call", failures);
    assert!(failures > 300, "{failures}");
}
