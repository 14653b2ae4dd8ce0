//! When everybody has gone: what is there, and that all of it can be taken.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::QUEUES;
use super::checker::End;
use super::crew::Crew;
use super::history::{Act, MILLISECOND, Way, now};
use super::session::Session;
use crate::support;

/// So long it may take, on whatever machine.
const LIMIT: u64 = 180_000 * MILLISECOND;

/// Takes everything. What comes to nothing is in the history.
pub fn drain(crew: &Crew, environment: &[(String, String)]) -> End {
    let seat = crew.seats.len() - 1;
    let session = Session::start(crew, seat, "rust", environment, "off");
    let wrong = |what: String| crew.history.note_now(usize::MAX, Act::Wrong(what));
    let mut end = End {
        at: now(),
        places: Vec::new(),
        counter: support::read(&crew.counter).trim().parse().unwrap(),
    };
    let Some(mut session) = session else {
        wrong("the spool cannot be opened any more".to_owned());
        return end;
    };
    let Some(()) = take_all(&mut session, &mut end, &wrong) else {
        wrong("who takes what is left died of it".to_owned());
        crew.signal(seat, Signal::KILL);
        session.mourn();
        return end;
    };
    session.dismiss();
    for left in left_behind(&crew.directory) {
        wrong(format!("{left} was left behind"));
    }
    // Nobody else writes here: what is taken for another program's array was flockq's own.
    let log = crew.directory.join(".gastown/replaced/log.jsonl");
    for line in std::fs::read_to_string(log).unwrap_or_default().lines() {
        wrong(format!("taken for another program's: {line}"));
    }
    end
}

fn take_all(session: &mut Session<'_>, end: &mut End, wrong: &dyn Fn(String)) -> Option<()> {
    // The first look brings moves to their end that were cut short.
    for _ in 0..2 {
        end.places.clear();
        for queue in QUEUES {
            list(session, queue, &mut end.places)?;
        }
    }
    let since = now();
    loop {
        let mut left = 0;
        for queue in QUEUES {
            let given = session.receive(queue, 100, 3_600_000, 20)?;
            for one in &given {
                session.settle(queue, one, Way::Ack, &Value::Null)?;
            }
            let len = session.ask(&json!({"op": "len", "queue": queue}), |_| Act::Other)?;
            left += len.ok().and_then(|len| len.as_u64()).unwrap_or(1);
        }
        if left == 0 {
            break;
        }
        if now() - since > LIMIT {
            wrong(format!("{left} messages cannot be taken"));
            break;
        }
    }
    for queue in QUEUES {
        // Who changes something, and who folds, removes what the dead have left.
        for op in [
            json!({"op": "send", "queue": queue, "payload": "0"}),
            json!({"op": "checkpoint", "queue": queue}),
            json!({"op": "pop", "queue": queue}),
        ] {
            session.ask(&op, |_| Act::Other)?.ok();
        }
        let report = session.ask(&json!({"op": "check", "queue": queue}), |_| Act::Other)?;
        let report = report.unwrap_or_default();
        if report["damage"] != json!([]) {
            wrong(format!("{queue}: {report}"));
        }
    }
    Some(())
}

fn list(
    session: &mut Session<'_>,
    queue: &'static str,
    places: &mut Vec<(String, String)>,
) -> Option<()> {
    let mut cursor = Value::Null;
    loop {
        let mut request = json!({"op": "list", "queue": queue, "limit": 500});
        if !cursor.is_null() {
            request["cursor"] = cursor;
        }
        let mut page = session.ask(&request, |_| Act::Other)?.unwrap_or_default();
        for item in page["items"].as_array().into_iter().flatten() {
            places.push((item["id"].as_str().unwrap().to_owned(), queue.to_owned()));
        }
        cursor = page["cursor"].take();
        if cursor.is_null() {
            return Some(());
        }
    }
}

/// Temporary files.
fn left_behind(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().flatten();
    names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            let is_temporary = |end: &&str| name.ends_with(*end);
            // The spool's own configuration is not written by those who change queues.
            [".tmp", ".part"].iter().any(is_temporary) && !name.starts_with(".flockq")
        })
        .collect()
}
