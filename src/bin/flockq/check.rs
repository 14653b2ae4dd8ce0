//! Checking and repairing: lines for people, or JSON.

use std::fmt::Write;
use std::path::Path;

use flockq::{Report, Spool};

use crate::{Failure, Outcome, print};

pub(crate) fn check(
    directory: &Path,
    queue: Option<&str>,
    as_json: bool,
) -> Result<Outcome, Failure> {
    let spool = Spool::open(directory)?;
    let names = match queue {
        Some(name) => vec![name.to_owned()],
        None => spool.queues()?,
    };
    let mut outcome = Outcome::Done;
    let mut wrong = Vec::new();
    // One queue that cannot be looked at does not hide how the others are.
    for name in names {
        match spool.queue(&name).and_then(|queue| queue.check()) {
            Ok(report) => {
                print::verdict(&lines(&report, as_json))?;
                if !report.is_sound() {
                    outcome = Outcome::Partly;
                }
            }
            Err(error) => wrong.push(error),
        }
    }
    Ok(match crate::told_of(queue, wrong)? {
        Outcome::Done => outcome,
        partly => partly,
    })
}

pub(crate) fn repair(directory: &Path, queue: &str, as_json: bool) -> Result<Outcome, Failure> {
    let report = Spool::open(directory)?.queue(queue)?.repair()?;
    print::done(lines(&report, as_json).trim_end())?;
    Ok(if report.is_sound() {
        Outcome::Done
    } else {
        Outcome::Partly
    })
}

fn lines(report: &Report, as_json: bool) -> String {
    if as_json {
        return format!("{}\n", report.to_json());
    }
    let state = match (report.is_sound(), report.kept.is_empty()) {
        (true, true) => "sound",
        (true, false) => "repaired, nothing is lost",
        (false, true) => "DAMAGED",
        (false, false) => "repaired, with losses",
    };
    let mut text = format!(
        "{}: {state} ({}, {} messages)\n",
        report.queue, report.mode, report.messages
    );
    for found in &report.damage {
        let place = found
            .offset
            .map_or_else(String::new, |offset| format!(" at byte {offset}"));
        let _ = writeln!(text, "  {}{place}: {}", found.path.display(), found.rule);
    }
    for note in &report.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    if report.replaced > 0 {
        let times = report.replaced;
        let _ = writeln!(
            text,
            "  note: another program has replaced the file {times} time(s); see .gastown/replaced"
        );
    }
    for kept in &report.kept {
        let _ = writeln!(text, "  kept: {}", kept.display());
    }
    text
}
