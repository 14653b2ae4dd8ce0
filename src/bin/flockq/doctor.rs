//! What is wrong or risky: lines for people, or JSON.

use std::fmt::Write;
use std::path::Path;

use flockq::{Advice, Severity, Spool};

use crate::{Failure, Outcome, print};

/// Exit code 1 when there is a problem; risks and notes are none.
pub(crate) fn run(directory: &Path, as_json: bool) -> Result<Outcome, Failure> {
    let spool = Spool::builder(directory).allow_unverified_fs(true).open()?;
    let all = spool.doctor()?;
    let mut text = String::new();
    if as_json {
        text = format!("{}\n", Advice::to_json(&all));
    } else if all.is_empty() {
        "nothing is wrong\n".clone_into(&mut text);
    }
    for advice in all.iter().filter(|_| !as_json) {
        let Advice {
            severity, about, ..
        } = advice;
        let _ = writeln!(text, "{severity}: {about}: {}", advice.text);
        if let Some(command) = &advice.command {
            let _ = writeln!(text, "    {command}");
        }
    }
    print::verdict(&text)?;
    let is_problem = |advice: &Advice| advice.severity == Severity::Problem;
    Ok(if all.iter().any(is_problem) {
        Outcome::Partly
    } else {
        Outcome::Done
    })
}
