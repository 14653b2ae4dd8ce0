//! Checking and repairing: lines for people, or JSON.

use std::io::{self, Write};
use std::path::Path;

use flockq::{Report, Spool};

use crate::{Failure, Outcome};

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
    let mut out = io::stdout().lock();
    for name in names {
        let report = spool.queue(&name)?.check()?;
        print(&mut out, &report, as_json)?;
        if !report.is_sound() {
            outcome = Outcome::Partly;
        }
    }
    Ok(outcome)
}

pub(crate) fn repair(directory: &Path, queue: &str, as_json: bool) -> Result<Outcome, Failure> {
    let report = Spool::open(directory)?.queue(queue)?.repair()?;
    print(&mut io::stdout().lock(), &report, as_json)?;
    Ok(if report.is_sound() {
        Outcome::Done
    } else {
        Outcome::Partly
    })
}

fn print(out: &mut impl Write, report: &Report, as_json: bool) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{}", report.to_json());
    }
    let state = match (report.is_sound(), report.kept.is_empty()) {
        (true, true) => "sound",
        (true, false) => "repaired, nothing is lost",
        (false, true) => "DAMAGED",
        (false, false) => "repaired, with losses",
    };
    writeln!(
        out,
        "{}: {state} ({}, {} messages)",
        report.queue, report.mode, report.messages
    )?;
    for found in &report.damage {
        let place = found
            .offset
            .map_or_else(String::new, |offset| format!(" at byte {offset}"));
        writeln!(out, "  {}{place}: {}", found.path.display(), found.rule)?;
    }
    for note in &report.notes {
        writeln!(out, "  note: {note}")?;
    }
    if report.replaced > 0 {
        let times = report.replaced;
        writeln!(
            out,
            "  note: another program has replaced the file {times} time(s); see .gastown/replaced"
        )?;
    }
    for kept in &report.kept {
        writeln!(out, "  kept: {}", kept.display())?;
    }
    Ok(())
}
