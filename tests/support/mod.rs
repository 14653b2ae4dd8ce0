//! Drivers of every language, as child processes that answer JSON lines. `tests/conformance/README.md`
//! has the requests.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "shared by the test binaries and the demo")]
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// The languages that have a driver.
pub const LANGUAGES: [&str; 4] = ["c", "go", "python", "rust"];

/// How a queue can commit.
pub const MODES: [&str; 2] = ["plain", "journal"];

/// A directory whose new queues commit in this mode.
pub fn spool(mode: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let config = json!({"version": 1, "default": {"mode": mode}}).to_string();
    std::fs::write(directory.path().join("flockq.json"), config).unwrap();
    directory
}

/// The root of the project.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a missing part is a failure.
pub fn require_all() -> bool {
    std::env::var_os("FLOCKQ_REQUIRE_ALL").is_some_and(|value| value == "1")
}

/// A file's text.
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// A language's driver, if it was built.
pub fn program(language: &str) -> Option<PathBuf> {
    let target = root().join("target");
    let program = match language {
        "rust" => {
            // Beside this program: target/debug/deps/a_test or target/debug/examples/demo -> target/debug/examples/driver.
            let this = std::env::current_exe().ok()?;
            this.parent()?.parent()?.join("examples/driver")
        }
        "c" => target.join("drivers/c"),
        "go" => target.join("drivers/go"),
        "python" => root().join(".venv/bin/python"),
        other => panic!("no language {other}"),
    };
    program.exists().then_some(program)
}

/// The command of a language's driver, if it was built.
fn command(language: &str) -> Option<Command> {
    let mut command = Command::new(program(language)?);
    if language == "python" {
        command.arg(root().join("tests/drivers/driver.py"));
    }
    Some(command)
}

/// The languages whose drivers are there. A missing one is said loudly, or is a failure where all are required.
pub fn languages() -> Vec<&'static str> {
    let mut there = Vec::new();
    for language in LANGUAGES {
        if command(language).is_some() {
            there.push(language);
        } else {
            left_out(&format!(
                "the {language} driver was not built; run make build"
            ));
        }
    }
    assert!(!there.is_empty());
    there
}

/// A driver that runs.
pub struct Driver {
    pub language: &'static str,
    child: Child,
    requests: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

impl Driver {
    pub fn start(language: &'static str) -> Self {
        Self::start_in(language, &[])
    }

    /// One with more in its environment.
    pub fn start_in(language: &'static str, environment: &[(String, String)]) -> Self {
        let mut child = command(language)
            .unwrap()
            .envs(environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = child.stdin.take();
        let replies = BufReader::new(child.stdout.take().unwrap());
        Self {
            language,
            child,
            requests,
            replies,
        }
    }

    /// A driver with a spool open.
    pub fn open(language: &'static str, directory: &Path, sync: &str) -> Self {
        let mut driver = Self::start(language);
        driver.ok(&json!({"op": "open", "dir": directory, "sync": sync}));
        driver
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request without waiting for its reply.
    pub fn request(&mut self, request: &Value) {
        let requests = self.requests.as_mut().unwrap();
        let _ = writeln!(requests, "{request}");
        let _ = requests.flush();
    }

    /// The reply to the oldest request; none when the driver died.
    pub fn reply(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.replies.read_line(&mut line) {
            // Half a line is the end of one that was killed while it wrote.
            Ok(_) if line.ends_with('\n') => Some(
                serde_json::from_str(&line)
                    .unwrap_or_else(|error| panic!("{}: {error}: {line}", self.language)),
            ),
            _ => None,
        }
    }

    pub fn ask(&mut self, request: &Value) -> Value {
        self.request(request);
        self.reply()
            .unwrap_or_else(|| panic!("the {} driver died of {request}", self.language))
    }

    /// The result of a request that must succeed.
    pub fn ok(&mut self, request: &Value) -> Value {
        let mut reply = self.ask(request);
        assert!(
            reply.get("error").is_none(),
            "{}: {request}: {reply}",
            self.language
        );
        reply["ok"].take()
    }

    /// How a process ended that answers no more.
    pub fn end(&mut self) -> std::process::ExitStatus {
        drop(self.requests.take());
        self.child.wait().unwrap()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What the library that fakes the time leaves of a killed process keeps the next one of this number from having it.
        for left in ["faketime_shm_", "sem.faketime_sem_"] {
            let _ = std::fs::remove_file(format!("/dev/shm/{left}{}", self.pid()));
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.requests.take());
        // Most end by themselves when their input does; one that waits for a message does not.
        for _ in 0..50 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.kill();
    }
}

/// Where the library is that fakes the time; `None`, said loudly, where it is not installed.
pub fn faketime() -> Option<String> {
    static LIBRARY: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    LIBRARY.get_or_init(find_faketime).clone()
}

fn find_faketime() -> Option<String> {
    let found = Command::new("faketime")
        .args(["-m", "-f", "+0", "sh", "-c", "echo $LD_PRELOAD"])
        .output();
    let path = found
        .ok()
        .map(|found| String::from_utf8_lossy(&found.stdout).trim().to_owned());
    if path.as_ref().is_some_and(|path| !path.is_empty()) {
        return path;
    }
    left_out("faketime is missing (apt-get install faketime)");
    None
}

/// An environment in which the wall clock is ahead or behind by what the file says, now and later; the clock that counts
/// from the boot stays as it is.
pub fn shifted(library: &str, file: &Path) -> Vec<(String, String)> {
    let environment = [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    environment.map(own).into()
}

/// A copy of the sample queue files.
pub fn samples(directory: &Path) {
    for name in ["inbound", "outbound", "dead-letter"] {
        let file = format!("{name}.json");
        std::fs::copy(
            root().join("tests/fixtures/mail-queues").join(&file),
            directory.join(&file),
        )
        .unwrap();
    }
}

/// A copy of a directory, with everything that is known of its files, in place of what is there.
pub fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Whether everything is to be gone through, and not a part that is quick.
pub fn proves() -> bool {
    std::env::var_os("FLOCKQ_PROVE").is_some_and(|value| value == "1")
}

/// Tells how much was gone through, by which test, for the report.
pub fn proved(what: &str, count: usize) {
    measured(&format!("{count} {what}"));
}

/// Tells what a test has measured.
pub fn measured(what: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    tell(&format!("PROVED {what} [{test}]"));
}

/// Says that something was left out, and why; a failure where everything is required.
pub fn left_out(why: &str) {
    assert!(!require_all(), "{why}");
    tell(&format!("LEFT OUT: {why}"));
}

/// Past the test harness, which keeps what is printed by a test that passes; in one piece.
fn tell(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// A directory in memory where there is such a place: what is killed and failed there is not slowed down by a disk.
pub fn in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}
