//! Many processes on one queue: kills at random, and who gets the lock.

#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::HashSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use support::Driver;

/// Sends until it is killed; every confirmed id must be there afterwards.
fn send_until_killed(language: &'static str, directory: &Path, number: usize) -> Vec<String> {
    let mut driver = Driver::open(language, directory, "off");
    let mut confirmed = Vec::new();
    let life = Instant::now() + Duration::from_millis(40 + 37 * (number as u64 % 11));
    for sequence in 0.. {
        let id = format!("{language}-{number}-{sequence}");
        driver.request(
            &json!({"op": "send", "queue": "inbound", "payload": json!({"id": id}).to_string()}),
        );
        if Instant::now() > life {
            // In the middle of a send: it may or may not have happened.
            thread::sleep(Duration::from_micros(number as u64 * 131 % 900));
            driver.kill();
            return confirmed;
        }
        assert_eq!(driver.reply().unwrap()["ok"], json!(id));
        confirmed.push(id);
    }
    confirmed
}

#[test]
fn what_a_killed_sender_was_told_is_sent_is_there() {
    support::MODES.into_iter().for_each(kill_senders);
}

fn kill_senders(mode: &str) {
    let directory = support::spool(mode);
    let languages = support::languages();
    let confirmed: Vec<String> = thread::scope(|scope| {
        let senders: Vec<_> = (0..24)
            .map(|number| {
                let (language, directory) = (languages[number % languages.len()], directory.path());
                if number % 8 == 7 {
                    thread::sleep(Duration::from_millis(150));
                }
                scope.spawn(move || send_until_killed(language, directory, number))
            })
            .collect();
        senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect()
    });
    let queue = flockq::Spool::open(directory.path())
        .unwrap()
        .queue("inbound")
        .unwrap();
    let there: HashSet<String> = queue
        .load()
        .unwrap()
        .iter()
        .map(|element| {
            serde_json::from_str::<serde_json::Value>(element.get()).unwrap()["message"]["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let lost: Vec<_> = confirmed.iter().filter(|id| !there.contains(*id)).collect();
    support::measured(&format!(
        "{mode}: {} confirmed, {} there",
        confirmed.len(),
        there.len()
    ));
    assert!(confirmed.len() > 100 && lost.is_empty(), "lost {lost:?}");
    queue.send(&1).unwrap();
    let names = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let temporary: Vec<_> = names.filter(|name| name.ends_with(".tmp")).collect();
    assert!(temporary.is_empty(), "left behind: {temporary:?}");
}
