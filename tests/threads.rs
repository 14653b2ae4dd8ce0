//! Many threads on the same handles, all operations at once, while handles are closed, dropped and interrupted: nothing is lost,
//! nothing comes twice, nothing hangs.
//!
//! 3 seconds for both modes; a minute with FLOCKQ_PROVE=1. Under ThreadSanitizer too: scripts/sanitizers.sh.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers outside of test functions"
)]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use flockq::{
    Delivery, Error, ErrorKind, Filter, List, Message, Nack, Queue, Receive, Spool, Sync, Work,
};
use serde_json::json;

/// Names of the queues between which messages go.
const QUEUES: [&str; 3] = ["inbound", "outbound", "dead-letter"];
/// After so long without an end the test has hung.
const HUNG: Duration = Duration::from_secs(120);

/// What the threads have been told.
#[derive(Default)]
struct Ledger {
    /// How often a message that was sent was done.
    messages: Mutex<HashMap<String, usize>>,
    next: AtomicUsize,
    is_over: AtomicBool,
}

impl Ledger {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// A message with an id of its own, in the ledger before it is sent.
    fn message(&self) -> Message {
        let id = format!("m{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.messages.lock().unwrap().insert(id.clone(), 0);
        Message::new(&json!({ "id": id })).id(id)
    }

    fn done(&self, id: &str) {
        *self.messages.lock().unwrap().get_mut(id).unwrap() += 1;
    }

    /// Acks, unless somebody has closed the handle meanwhile, which gave the message back.
    fn ack(&self, delivery: &Delivery) {
        match delivery.ack() {
            Ok(()) => self.done(delivery.id()),
            Err(error) => allowed(&error, &[ErrorKind::Closed, ErrorKind::StaleReceipt]),
        }
    }
}

fn allowed(error: &Error, kinds: &[ErrorKind]) {
    assert!(kinds.contains(&error.kind()), "{error}");
}

fn send(queue: &Queue, ledger: &Ledger) {
    while ledger.goes_on() {
        queue.send(ledger.message()).unwrap();
        let batch: Vec<Message> = (0..3).map(|_| ledger.message()).collect();
        queue.send_many(batch).unwrap();
        // Those who take are slower than those who send.
        while ledger.goes_on() && queue.len().unwrap() > 50 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn receive(queue: &Queue, ledger: &Ledger) {
    let how = Receive::new().wait(Duration::from_millis(300));
    while ledger.goes_on() {
        match queue.receive_many(2, how.clone()) {
            Ok(taken) => taken.iter().for_each(|delivery| ledger.ack(delivery)),
            Err(error) => allowed(&error, &[ErrorKind::Interrupted]),
        }
    }
}

/// Fails at every second message, and works on until it is interrupted.
fn fail(queue: &Queue, ledger: &Ledger) {
    let mut count = 0;
    while ledger.goes_on() {
        let worked = queue.work(&Work::new(), |delivery| {
            count += 1;
            if count % 2 == 0 {
                // Acked here: a keeper extends the lease, and what the loop does then is stale.
                ledger.ack(delivery);
                return Ok(());
            }
            Err("no session".to_owned())
        });
        worked.unwrap();
    }
}

fn pop(queue: &Queue, ledger: &Ledger) {
    while ledger.goes_on() {
        if let Some(popped) = queue.pop().unwrap() {
            ledger.done(popped.id().unwrap());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn settle(queue: &Queue, ledger: &Ledger) {
    while ledger.goes_on() {
        for delivery in queue.receive_many(3, Receive::new()).unwrap() {
            delivery.extend(Duration::from_secs(60)).unwrap();
            delivery.nack(&Nack::new()).unwrap();
        }
        thread::sleep(Duration::from_millis(3));
    }
}

fn move_about(spool: &Spool, ledger: &Ledger) {
    let [inbound, outbound, dead] = QUEUES.map(|name| spool.queue(name).unwrap());
    while ledger.goes_on() {
        let some = Filter::new().limit(3);
        inbound.move_to("outbound", &some).unwrap();
        outbound.move_to("inbound", &some).unwrap();
        dead.redrive(&some, false).unwrap();
        thread::sleep(Duration::from_millis(5));
    }
}

fn look(spool: &Spool, queue: &Queue, ledger: &Ledger) {
    while ledger.goes_on() {
        queue.stats().unwrap();
        queue.peek(3).unwrap();
        queue.list(&List::new().limit(5)).unwrap();
        queue.load().unwrap();
        queue.checkpoint().unwrap();
        queue.sync().unwrap();
        assert!(
            spool
                .stats()
                .unwrap()
                .iter()
                .all(|(_, stats)| stats.is_ok())
        );
        thread::sleep(Duration::from_millis(7));
    }
}

/// Handles that are closed, or dropped, while another thread waits on them or works with what it got.
fn come_and_go(spool: &Spool, ledger: &Ledger) {
    let mut turn = 0;
    while ledger.goes_on() {
        turn += 1;
        let queue = spool.queue("inbound").unwrap();
        thread::scope(|scope| {
            let waiting = queue.clone();
            scope.spawn(move || {
                for _ in 0..3 {
                    match waiting.receive(Receive::new().wait(Duration::from_millis(20))) {
                        // What is left is given back when the handle closes.
                        Ok(Some(delivery)) if turn % 4 != 0 => ledger.ack(&delivery),
                        Ok(_) => {}
                        Err(error) => allowed(&error, &[ErrorKind::Closed]),
                    }
                }
                if turn % 4 == 0 {
                    waiting.close().unwrap();
                }
            });
            thread::sleep(Duration::from_micros(turn * 97 % 5000));
            if turn % 2 == 0 {
                queue.close().unwrap();
            }
            drop(queue);
        });
    }
}

fn interrupt(queues: &[&Queue], ledger: &Ledger) {
    while ledger.goes_on() {
        queues.iter().for_each(|queue| queue.interrupt());
        thread::sleep(Duration::from_millis(9));
    }
}

/// What is there in the end, with nobody about.
fn drain(spool: &Spool, ledger: &Ledger) {
    for name in QUEUES {
        let queue = spool.queue(name).unwrap();
        let stats = queue.stats().unwrap();
        assert_eq!(stats.leased, 0, "{name}: a lease was not given back");
        for envelope in queue.list(&List::new().limit(100_000)).unwrap().envelopes {
            ledger.done(envelope.id().unwrap());
        }
    }
}

fn all_at_once(mode: &str, sync: Sync, time: Duration) -> usize {
    let directory = support::spool(mode);
    let spool = Spool::builder(directory.path()).sync(sync).open().unwrap();
    spool.adopt_mail().unwrap();
    spool.set_config("inbound.backoff", "5ms").unwrap();
    let ledger = Ledger::default();
    let shared = spool.queue("inbound").unwrap();
    let failing = spool.queue("inbound").unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| send(&shared, &ledger));
            scope.spawn(|| receive(&shared, &ledger));
        }
        scope.spawn(|| fail(&failing, &ledger));
        scope.spawn(|| pop(&shared, &ledger));
        scope.spawn(|| settle(&shared, &ledger));
        scope.spawn(|| move_about(&spool, &ledger));
        scope.spawn(|| look(&spool, &shared, &ledger));
        scope.spawn(|| come_and_go(&spool, &ledger));
        scope.spawn(|| interrupt(&[&shared, &failing], &ledger));
        thread::sleep(time);
        ledger.is_over.store(true, Ordering::Relaxed);
        // Whoever waits for ever ends now, and whoever comes back to wait ends then.
        failing.interrupt();
    });
    drain(&spool, &ledger);
    let messages = ledger.messages.into_inner().unwrap();
    let wrong: Vec<_> = messages.iter().filter(|(_, done)| **done != 1).collect();
    assert!(wrong.is_empty(), "{mode}: lost or twice: {wrong:?}");
    messages.len()
}

#[test]
fn all_operations_of_many_threads_on_the_same_handles_lose_and_repeat_nothing() {
    let seconds = if support::proves() { 15 } else { 1 };
    let (tell, told) = mpsc::channel();
    let began = Instant::now();
    let test = thread::spawn(move || {
        for mode in support::MODES {
            for sync in [Sync::Full, Sync::Off] {
                let time = Duration::from_millis(seconds * 750);
                let count = all_at_once(mode, sync, time);
                support::proved(&format!("messages among threads ({mode}, {sync:?})"), count);
            }
        }
        tell.send(()).unwrap();
    });
    let has_hung = told.recv_timeout(HUNG) == Err(mpsc::RecvTimeoutError::Timeout);
    assert!(!has_hung, "it hangs since {:?}", began.elapsed());
    test.join().unwrap();
}

/// Somebody tidies up old files, again and again.
#[test]
#[expect(clippy::disallowed_methods, reason = "it tidies up as others do")]
fn consumers_whose_files_are_removed_take_no_descriptors() {
    let directory = support::spool("journal");
    let consumers = directory.path().join(".gastown/consumers");
    let queue = Spool::open(directory.path()).unwrap();
    let queue = queue.queue("inbound").unwrap();
    for number in 0..4 {
        queue.send(&json!(number)).unwrap();
        queue
            .receive(Receive::new())
            .unwrap()
            .unwrap()
            .ack()
            .unwrap();
        for file in std::fs::read_dir(&consumers).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        // So often it is looked for.
        thread::sleep(Duration::from_millis(1100));
    }
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = open.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    let count = targets.filter(|file| file.starts_with(&consumers)).count();
    assert!(count <= 2, "{count}");
}
