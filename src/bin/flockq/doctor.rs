//! What is wrong or risky: lines for people, or JSON.

use std::io::{self, Write};
use std::path::Path;

use flockq::{Advice, Severity, Spool};

use crate::{Failure, Outcome};

/// Exit code 1 when there is a problem; risks and notes are none.
pub(crate) fn run(directory: &Path, as_json: bool) -> Result<Outcome, Failure> {
    let spool = Spool::builder(directory).allow_unverified_fs(true).open()?;
    let all = spool.doctor()?;
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", Advice::to_json(&all))?;
    } else if all.is_empty() {
        writeln!(out, "nothing is wrong")?;
    }
    for advice in all.iter().filter(|_| !as_json) {
        writeln!(
            out,
            "{}: {}: {}",
            advice.severity, advice.about, advice.text
        )?;
        if let Some(command) = &advice.command {
            writeln!(out, "    {command}")?;
        }
    }
    let is_problem = |advice: &Advice| advice.severity == Severity::Problem;
    Ok(if all.iter().any(is_problem) {
        Outcome::Partly
    } else {
        Outcome::Done
    })
}
