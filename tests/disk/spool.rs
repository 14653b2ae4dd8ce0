//! The spool on the disk, and a look at it through a process of its own, as after a reboot.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::ledger::{Expectation, judge};
use crate::support::Driver;

pub const QUEUES: [&str; 2] = ["inbound", "archive"];

/// Where the spool is on a disk that is mounted there.
pub fn directory(place: &Path) -> PathBuf {
    place.join("spool")
}

/// A spool without messages: the mode of the queue that is yet to be made; the other one is a plain file.
pub fn prepare(place: &Path, mode: &str) {
    let directory = directory(place);
    std::fs::create_dir(&directory).unwrap();
    let config = json!({"version": 1, "default": {"mode": mode}}).to_string();
    std::fs::write(directory.join("flockq.json"), config).unwrap();
    std::fs::write(directory.join("archive.json"), "[]").unwrap();
}

/// What a message says: up to some blocks of the disk, and nothing by chance.
pub fn payload(id: &str) -> String {
    let number: usize = id.bytes().map(usize::from).sum();
    let size = match number % 8 {
        _ if id == "failed" => 9000,
        0 => 9000,
        1..3 => 3000,
        _ => number % 400,
    };
    json!({"id": id, "text": "mail ".repeat(size / 5)}).to_string()
}

/// A process with the spool open.
pub fn open(place: &Path, sync: &str) -> Result<Driver, String> {
    let mut driver = Driver::start("rust");
    let open = json!({"op": "open", "dir": directory(place), "sync": sync});
    ask(&mut driver, &open)?;
    Ok(driver)
}

/// The result of a request, or the error in words.
pub fn ask(driver: &mut Driver, request: &Value) -> Result<Value, String> {
    driver.request(request);
    let Some(mut reply) = driver.reply() else {
        return Err(format!("the process died of {request}"));
    };
    match reply.get("error") {
        None => Ok(reply["ok"].take()),
        Some(_) => Err(format!("{reply}")),
    }
}

pub fn send(driver: &mut Driver, queue: &str, id: &str) -> Result<Value, String> {
    let send = json!({"op": "send", "queue": queue, "id": id, "payload": payload(id)});
    ask(driver, &send)
}

/// Every id with its queue.
pub fn list(driver: &mut Driver) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    // A move that was cut short is brought to its end by whoever looks first, perhaps at the other queue.
    for _ in 0..2 {
        found.clear();
        for queue in QUEUES {
            let mut cursor = Value::Null;
            loop {
                let list = json!({"op": "list", "queue": queue, "cursor": cursor});
                let page = ask(driver, &list)?;
                for item in page["items"].as_array().unwrap() {
                    let id = item["id"].as_str().unwrap_or_default();
                    if item["payload"] != json!(payload(id)) {
                        return Err(format!("{id} in {queue} has another payload"));
                    }
                    found.push((id.to_owned(), queue.to_owned()));
                }
                cursor = page["cursor"].clone();
                if cursor.is_null() {
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// Every byte is as it should be.
fn check(driver: &mut Driver) -> Result<(), String> {
    let queues = ask(driver, &json!({"op": "queues"}))?;
    for queue in queues.as_array().unwrap() {
        let report = ask(driver, &json!({"op": "check", "queue": queue}))?;
        if report["damage"] != json!([]) {
            return Err(format!("damage: {report}"));
        }
    }
    Ok(())
}

/// Looks at what a power cut left: what is expected is there, a second process sees the same, and the queues go on.
/// What is sent then is called NAME-QUEUE.
pub fn examine(
    place: &Path,
    expectation: &Expectation,
    name: &str,
    is_closed: bool,
) -> Result<(), String> {
    let mut first = open(place, "normal")?;
    check(&mut first)?;
    let found = list(&mut first)?;
    let wrong = judge(expectation, &found);
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    // A process that ends well folds its queues.
    if !is_closed {
        first.kill();
    }
    drop(first);
    let mut second = open(place, "normal")?;
    let again = list(&mut second)?;
    if again != found {
        return Err(format!("first {found:?}, then {again:?}"));
    }
    for queue in QUEUES {
        send(&mut second, queue, &format!("{name}-{queue}"))?;
    }
    check(&mut second)?;
    let more = list(&mut second)?;
    second.kill();
    if more.len() != found.len() + QUEUES.len() {
        return Err(format!("{found:?} and two more are {more:?}"));
    }
    Ok(())
}
