//! Waiting receivers of a journalled queue: each message wakes somebody, at once and not at the next heartbeat.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers outside of test functions"
)]

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use flockq::{Message, Nack, Queue, Receive, Spool};
use serde_json::json;

/// Much less than the heartbeat of a second.
const AT_ONCE: Duration = Duration::from_millis(500);

fn queue(directory: &std::path::Path) -> Queue {
    Spool::open(directory).unwrap().queue("inbound").unwrap()
}

/// So many threads that wait for one message each, and when each had it.
fn waiters(queue: &Queue, count: usize) -> Receiver<Instant> {
    let (tell, told) = channel();
    for _ in 0..count {
        let (queue, tell) = (queue.clone(), tell.clone());
        thread::spawn(move || {
            let how = Receive::new().wait(Duration::from_secs(30));
            let delivery = queue.receive(how).unwrap().unwrap();
            let had = Instant::now();
            delivery.ack().unwrap();
            tell.send(had).unwrap();
        });
    }
    // Until all of them sleep.
    thread::sleep(Duration::from_millis(200));
    told
}

/// So many waiting threads hear at once of what `act` does, in one of five rounds at least: without a signal, none would.
fn heard_at_once<T>(
    queue: &Queue,
    count: usize,
    limit: Duration,
    prepare: impl Fn() -> T,
    act: impl Fn(T),
) {
    let mut slowest = Vec::new();
    for _ in 0..5 {
        let prepared = prepare();
        let told = waiters(queue, count);
        let since = Instant::now();
        act(prepared);
        let took = (0..count).map(|_| {
            let at = told.recv_timeout(Duration::from_secs(20)).unwrap();
            at.duration_since(since)
        });
        let took = took.max().unwrap();
        if took < limit {
            return;
        }
        slowest.push(took);
    }
    panic!("{slowest:?}");
}

#[test]
fn every_message_of_a_batch_wakes_a_receiver() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    let nothing = || ();
    heard_at_once(&queue, 4, AT_ONCE, nothing, |()| {
        let batch = (0..4).map(|number| Message::new(&json!(number)));
        queue.send_many(batch).unwrap();
    });
}

#[test]
fn a_receiver_that_leaves_some_wakes_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    let take = || {
        let batch = (0..4).map(|number| Message::new(&json!(number)));
        queue.send_many(batch).unwrap();
        queue.receive_many(4, Receive::new()).unwrap()
    };
    // One commit, which does not count what it made ready.
    heard_at_once(&queue, 4, AT_ONCE, take, |taken| {
        let receipts: Vec<String> = taken.iter().map(|one| one.receipt().to_owned()).collect();
        for result in queue.nack(&receipts, &Nack::new()).unwrap() {
            result.unwrap();
        }
    });
}

#[test]
fn a_receiver_that_sleeps_learns_of_a_delay_that_ends_soon() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    let soon = Duration::from_millis(300);
    let nothing = || ();
    heard_at_once(&queue, 1, soon + AT_ONCE, nothing, |()| {
        queue.send(Message::new(&json!(1)).delay(soon)).unwrap();
    });
}
