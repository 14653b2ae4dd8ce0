//! The scenarios of `tests/conformance/`, run by the driver of each language.

#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Driver;

/// An answer to bad input comes at once.
const AT_ONCE: Duration = Duration::from_secs(10);

struct Run<'a> {
    driver: Driver,
    directory: PathBuf,
    captured: HashMap<String, Value>,
    scenario: &'a str,
}

#[test]
fn every_language_behaves_as_the_scenarios_say() {
    // Only what a scenario converts or makes in a directory of its own has a journal then.
    assert!(run_all("plain") < 8 * support::LANGUAGES.len());
}

#[test]
fn every_language_behaves_the_same_with_a_journal() {
    assert!(run_all("journal") >= 40);
}

/// Runs all scenarios; how many had a journal at their end. `mode` is that of the queues that they make; files that are
/// there already stay plain.
fn run_all(mode: &str) -> usize {
    let mut files: Vec<PathBuf> = fs::read_dir(support::root().join("tests/conformance"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    let languages = support::languages();
    // Most of it is waiting, and none sees another's files.
    let counts: Vec<(usize, usize)> = thread::scope(|scope| {
        let run = |language| {
            let files = &files;
            scope.spawn(move || run_in(language, mode, files))
        };
        let runs: Vec<_> = languages.into_iter().map(run).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let ran: usize = counts.iter().map(|(ran, _)| ran).sum();
    support::measured(&format!("{ran} scenarios"));
    assert!(ran >= 40);
    counts.iter().map(|(_, journalled)| journalled).sum()
}

/// How many scenarios there were, and how many had a journal at their end.
fn run_in(language: &'static str, mode: &str, files: &[PathBuf]) -> (usize, usize) {
    let (mut ran, mut journalled) = (0, 0);
    for file in files {
        let scenarios: Vec<Value> = serde_json::from_slice(&fs::read(file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for scenario in &scenarios {
            journalled += usize::from(run(language, mode, scenario));
            ran += 1;
        }
    }
    (ran, journalled)
}

/// Whether a queue had a journal at the end.
fn run(language: &'static str, mode: &str, scenario: &Value) -> bool {
    let name = scenario["name"].as_str().expect("a scenario has a name");
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("spool");
    fs::create_dir(&directory).unwrap();
    let mut mounted = None;
    if let Some(size) = scenario["tmpfs"].as_str() {
        mounted = Mount::new(&directory, size);
        if mounted.is_none() {
            support::left_out(&format!("{name}: this user may not mount a tmpfs here"));
            return false;
        }
    }
    for (file, text) in scenario["files"].as_object().into_iter().flatten() {
        write(&directory.join(file), text);
    }
    let config = directory.join("flockq.json");
    if !config.exists() {
        // What a small disk does to a journal is another thing, and has scenarios of its own.
        let mode = if mounted.is_some() { "plain" } else { mode };
        let text = json!({"version": 1, "default": {"mode": mode}});
        fs::write(config, text.to_string()).unwrap();
    }
    let mut run = Run {
        driver: Driver::start(language),
        directory: directory.clone(),
        captured: HashMap::new(),
        scenario: name,
    };
    for step in scenario["steps"].as_array().expect("a scenario has steps") {
        run.step(step);
    }
    drop(run);
    let names = fs::read_dir(&directory).into_iter().flatten().flatten();
    let journalled = names
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "journal")
        })
        .count();
    drop(mounted);
    journalled > 0
}

impl Run<'_> {
    fn step(&mut self, step: &Value) {
        let place = |file: &str| self.directory.join(file);
        if let Some(request) = step.get("do") {
            return self.request(&request.clone(), step);
        }
        let (what, file) = [
            "write",
            "remove",
            "symlink",
            "fifo",
            "mkdir",
            "fill",
            "read_only",
            "file",
            "sleep_ms",
            "names",
        ]
        .iter()
        .find_map(|what| step.get(what).map(|file| (*what, file)))
        .unwrap_or_else(|| panic!("{}: what is {step}?", self.scenario));
        let path = place(file.as_str().unwrap_or_default());
        match what {
            "write" => write(&path, &step["text"]),
            "remove" => fs::remove_file(path).unwrap(),
            "symlink" => std::os::unix::fs::symlink(step["to"].as_str().unwrap(), path).unwrap(),
            "fifo" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            "mkdir" => fs::create_dir_all(path).unwrap(),
            "fill" => fill(&path),
            "read_only" => assert!(
                Command::new("mount")
                    .args(["-o", "remount,ro"])
                    .arg(&self.directory)
                    .status()
                    .unwrap()
                    .success()
            ),
            "sleep_ms" => std::thread::sleep(Duration::from_millis(file.as_u64().unwrap())),
            "names" => {
                let mut found: Vec<String> = fs::read_dir(&self.directory)
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect();
                found.sort();
                let mut expected: Vec<String> = serde_json::from_value(file.clone()).unwrap();
                // What is there because of the mode.
                let is_beside = |name: &String| name.ends_with(".journal") || name == "flockq.json";
                found.retain(|name| !is_beside(name));
                expected.retain(|name| !is_beside(name));
                assert_eq!(
                    found, expected,
                    "{} {}",
                    self.driver.language, self.scenario
                );
            }
            _ => {
                // What is in the journal is folded first.
                if path.with_extension("json.journal").exists() {
                    let spool = flockq::Spool::open(path.parent().unwrap()).unwrap();
                    let queue = path.file_stem().unwrap().to_str().unwrap();
                    spool.queue(queue).unwrap().checkpoint().unwrap();
                }
                let found = fs::read_to_string(&path).unwrap();
                if let Some(expected) = step["is"].as_str() {
                    assert_eq!(
                        found, expected,
                        "{} {}",
                        self.driver.language, self.scenario
                    );
                }
                for part in step["contains"].as_array().into_iter().flatten() {
                    assert!(
                        found.contains(part.as_str().unwrap()),
                        "{} {}: {part} is not in {found}",
                        self.driver.language,
                        self.scenario
                    );
                }
            }
        }
    }

    fn request(&mut self, request: &Value, step: &Value) {
        let request = self.filled_in(request);
        let before = step.get("error").map(|_| content(&self.directory));
        let started = Instant::now();
        let reply = self.driver.ask(&request);
        let took = started.elapsed();
        let context = format!(
            "{}: {}: {} -> {}",
            self.driver.language,
            self.scenario,
            short(&request),
            short(&reply)
        );
        if let Some(expected) = step.get("error") {
            let kinds: Vec<&Value> = expected
                .as_array()
                .map_or(vec![expected], |kinds| kinds.iter().collect());
            assert!(
                kinds.contains(&&reply["error"]),
                "expected {expected}: {context}"
            );
            let message = reply["message"].as_str().unwrap();
            assert!(
                !message.is_empty() && !message.contains('\n') && message.len() < 600,
                "{context}"
            );
            for part in step["message"].as_array().into_iter().flatten() {
                assert!(
                    message.contains(part.as_str().unwrap()),
                    "{part} is not in the message: {context}"
                );
            }
            assert!(took < AT_ONCE, "took {took:?}: {context}");
            // A nack whose message cannot be moved has given it back all the same.
            assert!(
                step["changes"] == true || before.unwrap() == content(&self.directory),
                "a failed request changed a file: {context}"
            );
        } else {
            assert!(reply.get("error").is_none(), "{context}");
            if let Some(pattern) = step.get("ok") {
                let pattern = self.filled_in(pattern);
                assert!(
                    matches(&pattern, &reply["ok"]),
                    "expected {pattern}: {context}"
                );
            }
            let told = reply["ok"].to_string();
            for part in step["contains"].as_array().into_iter().flatten() {
                let part = part.as_str().unwrap();
                assert!(told.contains(part), "{part} is not told: {context}");
            }
        }
        for (name, pointer) in step["save"].as_object().into_iter().flatten() {
            let value = reply["ok"]
                .pointer(pointer.as_str().unwrap())
                .unwrap_or_else(|| panic!("no {pointer}: {context}"));
            self.captured.insert(name.clone(), value.clone());
        }
    }

    /// Replaces "$name" by what was saved, "$dir" by the spool, {"$repeat": [text, n]} by a long text.
    fn filled_in(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match text
                .strip_prefix('$')
                .and_then(|name| self.captured.get(name))
            {
                Some(saved) => saved.clone(),
                None => Value::String(text.replace("$dir", self.directory.to_str().unwrap())),
            },
            Value::Array(items) => items.iter().map(|item| self.filled_in(item)).collect(),
            Value::Object(fields) => match fields
                .get("$repeat")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
            {
                Some([before, text, count, after]) => {
                    let middle = text
                        .as_str()
                        .unwrap()
                        .repeat(usize::try_from(count.as_u64().unwrap()).unwrap());
                    Value::String(format!(
                        "{}{middle}{}",
                        before.as_str().unwrap(),
                        after.as_str().unwrap()
                    ))
                }
                _ => fields
                    .iter()
                    .map(|(name, value)| (name.clone(), self.filled_in(value)))
                    .collect(),
            },
            other => other.clone(),
        }
    }
}

/// Whether a reply fits: "$any" fits everything, "$string" every non-empty text, objects only what the pattern names.
fn matches(pattern: &Value, found: &Value) -> bool {
    match (pattern, found) {
        (Value::String(marker), _) if marker == "$any" => true,
        (Value::String(marker), Value::String(text)) if marker == "$string" => !text.is_empty(),
        (Value::Object(pattern), Value::Object(found)) => pattern
            .iter()
            .all(|(name, value)| found.get(name).is_some_and(|found| matches(value, found))),
        (Value::Array(pattern), Value::Array(found)) => {
            pattern.len() == found.len()
                && pattern
                    .iter()
                    .zip(found)
                    .all(|(pattern, found)| matches(pattern, found))
        }
        _ => pattern == found,
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(400).collect()
}

/// A text as it is, or {"hex": …}, or {"$repeat": […]}.
fn write(path: &Path, text: &Value) {
    let bytes: Vec<u8> = match text {
        Value::String(text) => text.clone().into_bytes(),
        text => match (text["zeros"].as_u64(), text["nested"].as_u64()) {
            (Some(zeros), _) => vec![0; usize::try_from(zeros).unwrap()],
            (_, Some(depth)) => {
                let depth = usize::try_from(depth).unwrap();
                format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
            }
            _ => panic!("what is {text}?"),
        },
    };
    fs::write(path, bytes).unwrap();
}

/// The files of a directory and what they hold; what is no regular file only by name.
fn content(directory: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .filter(|entry| !entry.file_type().unwrap().is_dir())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                entry
                    .file_type()
                    .unwrap()
                    .is_file()
                    .then(|| fs::read(entry.path()).unwrap()),
            )
        })
        .collect()
}

/// A small file system of its own, so that it can be full or read-only.
struct Mount(PathBuf);

impl Mount {
    /// None: the system does not allow it.
    fn new(directory: &Path, size: &str) -> Option<Self> {
        let how = format!("size={size},mode=755");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &how, "tmpfs"])
            .arg(directory)
            .output();
        mount
            .is_ok_and(|mount| mount.status.success())
            .then(|| Self(directory.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Fills the file system that the file is on.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[b'x'; 512]).is_ok() {}
}
