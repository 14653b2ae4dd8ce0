//! One operation on a disk that refuses writes or flushes meanwhile; what other processes do then; and what is there after
//! a power cut.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::chance::Chance;
use super::image::{self, FileSystem, Mounted};
use super::ledger::{Act, Ledger};
use super::log::{Failing, Log};
use super::recorder::Recorder;
use super::spool;
use super::states::State;
use crate::support::{self, Driver};

/// What is done while the disk fails.
pub const OPERATIONS: [&str; 5] = ["send", "ack", "move_to", "convert", "checkpoint"];

const QUEUE: &str = spool::QUEUES[0];

/// The processes, and what they were told.
struct Scene<'a> {
    log: &'a Log,
    ledger: Ledger,
    place: &'a Path,
    /// A message that is leased to the first process.
    receipt: Value,
    /// The length of the log of the disk then.
    failed_at: usize,
}

/// Whether the file system outlived it; an error if a promise was broken.
pub fn run(
    file_system: FileSystem,
    failing: Failing,
    mode: &str,
    operation: &str,
    chance: &mut Chance,
) -> Result<bool, String> {
    let directory = support::in_memory();
    let path = |name: &str| directory.path().join(name);
    let (base, live, place) = (path("base"), path("live"), path("place"));
    file_system.make(&base)?;
    spool::prepare(Mounted::mount(file_system, &base, &place)?.place(), mode);
    image::copy(&base, &live)?;
    let recorder = Recorder::start(&live).map_err(|error| error.to_string())?;
    let mounted = Mounted::mount(file_system, &recorder.device(), &place)?;
    let mut scene = Scene {
        log: &recorder.log,
        ledger: Ledger::default(),
        place: &place,
        receipt: Value::Null,
        failed_at: 0,
    };
    let is_alive = scene.play(failing, mode, operation)?;
    let entries = recorder.log.take();
    let failed_at = scene.failed_at;
    let ledger = scene.ledger;
    drop(mounted);
    drop(recorder);
    let cuts = if support::proves() { 12 } else { 2 };
    for _ in 0..cuts {
        let state = State::since(&entries, failed_at, chance);
        let image = path("state");
        state.write(&entries, &base, &image)?;
        let mounted = Mounted::mount(file_system, &image, &place)?;
        spool::examine(mounted.place(), &ledger.expected(state.at), "next", false)
            .map_err(|why| format!("{state:?}: {why}"))?;
    }
    Ok(is_alive)
}

impl Scene<'_> {
    fn play(&mut self, failing: Failing, mode: &str, operation: &str) -> Result<bool, String> {
        let mut writer = spool::open(self.place, "full")?;
        let mut before = spool::open(self.place, "full")?;
        for number in 0..5 {
            self.send(&mut writer, &format!("first-{number}"))?;
        }
        let receive = json!({"op": "receive", "queue": QUEUE, "lease_ms": 3_600_000});
        let delivery = spool::ask(&mut writer, &receive)?;
        self.receipt = delivery["receipt"].clone();
        let leased = delivery["id"].as_str().unwrap().to_owned();
        // It has read what is there, and has the files open.
        spool::list(&mut before)?;
        let generation = self.generation();
        self.fail(&mut writer, failing, operation, &leased)?;
        // Healthy again: one process that was there before, one that comes now, and the one that was told.
        let Ok(mut after) = spool::open(self.place, "full") else {
            return Ok(false);
        };
        // A process that has the file open may be told once more by the system that it failed; it says so, and goes on.
        let _ = self.send(&mut before, "before-0");
        let _ = self.send(&mut writer, "writer-0");
        let processes = [
            ("after", &mut after),
            ("before", &mut before),
            ("writer", &mut writer),
        ];
        let mut refused = Vec::new();
        for (name, driver) in processes {
            refused.extend(self.send(driver, &format!("{name}-1")).err());
            refused.extend(self.send(driver, &format!("{name}-2")).err());
        }
        let is_alive = self.is_alive(&mut after);
        let has_new_generation = self.generation() > generation;
        for mut driver in [writer, before, after] {
            driver.kill();
        }
        if is_alive && !refused.is_empty() {
            return Err(format!("the disk is well again, and still: {refused:?}"));
        }
        // A journal that failed to be made durable is never built on. (What makes new files had not touched it.)
        let is_commit = !["convert", "checkpoint"].contains(&operation);
        if is_alive && mode == "journal" && is_commit && !has_new_generation {
            return Err("the generation whose sync failed was built on".to_owned());
        }
        Ok(is_alive)
    }

    /// Does the operation while the disk fails; it must not be confirmed.
    fn fail(
        &mut self,
        writer: &mut Driver,
        failing: Failing,
        operation: &str,
        leased: &str,
    ) -> Result<(), String> {
        let is_journalled = self.generation() > 0;
        let other_mode = support::MODES[usize::from(!is_journalled)];
        let take = Act::Take { is_durable: true };
        let request = match operation {
            "send" => {
                json!({"op": "send", "queue": QUEUE, "id": "failed", "payload": spool::payload("failed")})
            }
            "ack" => json!({"op": "ack", "queue": QUEUE, "receipts": [self.receipt]}),
            "move_to" => {
                json!({"op": "move_to", "queue": QUEUE, "to": spool::QUEUES[1], "ids": ["first-3"]})
            }
            "convert" => json!({"op": "convert", "queue": QUEUE, "to": other_mode}),
            other => json!({"op": other, "queue": QUEUE}),
        };
        let asked = self.log.len();
        self.failed_at = asked;
        self.log.fail(failing, true);
        writer.request(&request);
        let reply = writer.reply().ok_or("the process died")?;
        self.log.fail(failing, false);
        match operation {
            "send" => self.ledger.note("failed", Act::Send, QUEUE, asked, None),
            "ack" => self.ledger.note(leased, take, QUEUE, asked, None),
            "move_to" => {
                let to = spool::QUEUES[1];
                self.ledger.note("first-3", Act::Move, to, asked, None);
            }
            _ => {}
        }
        let is_told = ["OutcomeUnknown", "Io"].map(|kind| reply["error"] == json!(kind));
        if is_told.contains(&true) {
            Ok(())
        } else {
            Err(format!("told {reply}"))
        }
    }

    fn send(&self, driver: &mut Driver, id: &str) -> Result<(), String> {
        let asked = self.log.len();
        let sent = spool::send(driver, QUEUE, id);
        let told = sent.is_ok().then(|| self.log.len());
        self.ledger.note(id, Act::Send, QUEUE, asked, told);
        sent.map(drop)
    }

    /// Whether a file can still be written, and made durable.
    fn is_alive(&self, driver: &mut Driver) -> bool {
        let path = self.place.join("probe");
        let probe = json!({"op": "write_atomic", "path": path, "text": "1"});
        spool::ask(driver, &probe).is_ok()
    }

    /// Of the journal, as another process reads it; 0 where there is none.
    fn generation(&self) -> u64 {
        let journal = spool::directory(self.place).join("inbound.json.journal");
        let head = Command::new("head").args(["-n", "2"]).arg(journal).output();
        let text = String::from_utf8_lossy(&head.unwrap().stdout).into_owned();
        let base = text.lines().nth(1).unwrap_or_default();
        let base: Value = serde_json::from_str(base).unwrap_or_default();
        base["generation"].as_u64().unwrap_or(0)
    }
}
