//! Looks at a directory and says in plain words what is wrong or risky, with the command that mends it.

mod place;
mod queues;

use std::fmt;

use crate::error::Result;
use crate::spool::Spool;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Something does not work, or messages are lost.
    Problem,
    /// Something can go wrong.
    Risk,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The name, the same in every language.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Problem => "problem",
            Severity::Risk => "risk",
            Severity::Note => "note",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that a spool's owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advice {
    /// How bad it is.
    pub severity: Severity,
    /// The queue, the file or the directory.
    pub about: String,
    /// What was found, in one line.
    pub text: String,
    /// A command of the shell, to be run in the directory, that mends it or shows more.
    pub command: Option<String>,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Advice>);

impl Findings {
    fn add(&mut self, severity: Severity, about: &str, text: impl Into<String>, command: &str) {
        // It may hold what a hostile file says.
        let one_line = |text: String| text.replace(char::is_control, " ");
        self.0.push(Advice {
            severity,
            about: one_line(about.to_owned()),
            text: one_line(text.into()),
            // A command of which a part was replaced would be another one.
            command: (!command.is_empty() && !command.contains(char::is_control))
                .then(|| command.to_owned()),
        });
    }
}

/// A path as a word of a command, whatever is in it.
fn word(path: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "._-/".contains(char);
    if path.chars().all(is_plain) && !path.starts_with('-') {
        return path.to_owned();
    }
    format!("./'{}'", path.replace('\'', "'\\''"))
}

impl Advice {
    /// Several as a JSON array of objects, whose keys are the names of the fields.
    #[must_use]
    pub fn to_json(all: &[Self]) -> String {
        let objects = all.iter().map(|advice| {
            serde_json::json!({
                "severity": advice.severity.name(), "about": advice.about, "text": advice.text, "command": advice.command,
            })
        });
        objects.collect::<serde_json::Value>().to_string()
    }
}

impl Spool {
    /// Looks at the directory and at every queue, and says what is wrong or risky, the worst first; nothing is an empty list.
    /// Reads every byte of the queues' files, and changes nothing in them; it makes a file, to see whether locks exclude, and
    /// removes it.
    ///
    /// It also looks at a spool on a file system that is refused otherwise; open it with `allow_unverified_fs` for that.
    pub fn doctor(&self) -> Result<Vec<Advice>> {
        self.shared().require_open()?;
        let mut findings = Findings::default();
        place::look(self, &mut findings);
        for name in self.queues()? {
            queues::look(self, &name, &mut findings);
        }
        let Findings(mut all) = findings;
        all.sort_by_key(|advice| advice.severity);
        Ok(all)
    }
}
