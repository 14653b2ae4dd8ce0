//! The command line in a directory of its own.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "shared by the test binaries")]
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What a command left behind.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Ran {
    /// It went well; what it printed.
    pub fn ok(self) -> String {
        assert_eq!((self.code, self.error.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// It went well; every line that it printed, as JSON.
    pub fn lines(self) -> Vec<Value> {
        let lines = self.ok();
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The arguments were refused by their grammar, with a manual of several lines.
    pub fn failed_usage(self) {
        assert_eq!((self.code, self.out.as_str()), (2, ""), "{}", self.error);
        assert!(self.error.contains("--help"), "{}", self.error);
    }

    /// It failed with this code, printed nothing, and said in one line why.
    pub fn failed(self, code: i32, why: &str) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.error);
        assert!(self.error.starts_with("flockq: "), "{}", self.error);
        assert!(self.error.contains(why), "{}", self.error);
        assert_eq!(self.error.lines().count(), 1, "{}", self.error);
    }
}

pub struct Shell(TempDir);

impl Shell {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flockq"));
        command.args(arguments).env("FLOCKQ_DIR", self.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.feed(arguments, b"")
    }

    pub fn feed(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input is free to end before it was written.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    pub fn receive(&self) -> Value {
        self.run(&["receive", "inbound"]).lines().remove(0)
    }
}

pub fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap()
}
