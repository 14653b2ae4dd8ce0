//! Waiting: each message of a journalled queue wakes a receiver, at once and not at the next heartbeat; and what makes room
//! in a full queue wakes a sender.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers outside of test functions"
)]

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use flockq::{
    Cancel, ErrorKind, FileLock, LockKind, LockWait, Message, Nack, Queue, Receive, Spool,
};
use serde_json::json;

/// Much less than the heartbeat of a second.
const AT_ONCE: Duration = Duration::from_millis(500);

fn queue(directory: &std::path::Path) -> Queue {
    Spool::open(directory).unwrap().queue("inbound").unwrap()
}

/// A thread that keeps the lock of a queue's file until this goes.
struct Holder(Option<(Sender<()>, thread::JoinHandle<()>)>);

impl Holder {
    fn of(file: PathBuf) -> Self {
        let (tell, told) = channel();
        let (stop, stopped) = channel::<()>();
        let thread = thread::spawn(move || {
            let wait = LockWait::default();
            let _lock = FileLock::acquire(file, LockKind::Exclusive, wait).unwrap();
            tell.send(()).unwrap();
            let _ = stopped.recv();
        });
        told.recv().unwrap();
        Self(Some((stop, thread)))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            thread.join().unwrap();
        }
    }
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

#[test]
fn a_cancel_ends_its_own_wait_and_no_other_of_the_handle() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    let wait = |cancel: &Cancel| {
        let (queue, how) = (queue.clone(), Receive::new().wait_forever().cancel(cancel));
        thread::spawn(move || queue.receive(how))
    };
    let (one, other) = (Cancel::new(), Cancel::new());
    let (ends, goes_on) = (wait(&one), wait(&other));
    // Until both of them sleep.
    thread::sleep(Duration::from_millis(200));
    one.cancel();
    let ended = ends.join().unwrap().unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::Interrupted);
    queue.send(&json!(1)).unwrap();
    let delivery = goes_on.join().unwrap().unwrap().unwrap();
    assert_eq!(delivery.attempts(), 1);
    delivery.nack(&Nack::new()).unwrap();
    // Before it begins, and although there is something.
    let ended = wait(&one).join().unwrap().unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::Interrupted);
    assert!(wait(&other).join().unwrap().unwrap().is_some());
}

/// A queue with room for two messages, full.
fn full(mode: &str) -> (tempfile::TempDir, Queue) {
    let directory = support::spool(mode);
    let spool = Spool::open(directory.path()).unwrap();
    spool.set_config("inbound.max_messages", "2").unwrap();
    let queue = spool.queue("inbound").unwrap();
    queue.send_many(&[json!(1), json!(2)]).unwrap();
    (directory, queue)
}

#[test]
fn a_sender_that_waits_for_room_goes_on_when_there_is_some() {
    for mode in support::MODES {
        let (_directory, queue) = full(mode);
        let refused = queue.send(&json!(3)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Full);
        let (tell, told) = channel();
        let waiting = queue.clone();
        let sender = thread::spawn(move || {
            for number in 3..6 {
                let message = Message::new(&json!(number)).wait(Duration::from_secs(30));
                waiting.send(message).unwrap();
                tell.send(number).unwrap();
            }
        });
        for number in 3..6 {
            // Nothing is sent as long as nothing is taken.
            assert!(told.recv_timeout(Duration::from_millis(60)).is_err());
            assert!(queue.pop().unwrap().is_some());
            assert_eq!(told.recv_timeout(Duration::from_secs(20)).unwrap(), number);
            assert_eq!(queue.len().unwrap(), 2);
        }
        sender.join().unwrap();
    }
}

/// An editor under `flockq lock`, for instance.
#[test]
fn a_message_is_there_although_somebody_keeps_the_lock_of_the_retry_queue() {
    let directory = tempfile::tempdir().unwrap();
    Spool::init(directory.path(), &flockq::Init::new()).unwrap();
    let spool = Spool::open(directory.path()).unwrap();
    spool.adopt_mail().unwrap();
    let (inbound, outbound) = (
        spool.queue("inbound").unwrap(),
        spool.queue("outbound").unwrap(),
    );
    let due = r#"{"message":{"id":"due"},"from":"inbound"}"#;
    let due = serde_json::value::RawValue::from_string(due.to_owned()).unwrap();
    outbound.save(&[due]).unwrap();
    inbound.send(&json!({"id": "here"})).unwrap();
    let holder = Holder::of(directory.path().join("outbound.json"));
    let since = Instant::now();
    let here = inbound.receive(Receive::new()).unwrap().unwrap();
    assert_eq!(here.id(), "here");
    // A third of what a lock is waited for.
    assert!(since.elapsed() < Duration::from_secs(10));
    drop(holder);
    let how = Receive::new().wait(Duration::from_secs(20));
    assert_eq!(inbound.receive(how).unwrap().unwrap().id(), "due");
}

/// A dead letter is none of the business of who only receives, or gives back what is to be tried again.
#[test]
fn nobody_waits_for_the_lock_of_a_queue_that_he_has_no_message_for() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::mail(directory.path()).unwrap();
    let inbound = spool.queue("inbound").unwrap();
    let dead = spool.queue("dead-letter").unwrap();
    dead.send(&json!(1)).unwrap();
    let used_up = r#"{"message":{"id":"used up"},"attempts":3}"#;
    let used_up = serde_json::value::RawValue::from_string(used_up.to_owned()).unwrap();
    inbound.save(&[used_up]).unwrap();
    inbound.send(&json!({"id": "fresh"})).unwrap();
    let holder = Holder::of(directory.path().join("dead-letter.json"));
    let since = Instant::now();
    let fresh = inbound.receive(Receive::new()).unwrap().unwrap();
    assert_eq!(fresh.id(), "fresh");
    fresh.nack(&Nack::new().error("not yet")).unwrap();
    // A third of what a lock is waited for.
    assert!(since.elapsed() < Duration::from_secs(10));
    drop(holder);
}

#[test]
fn a_receiver_that_sleeps_learns_of_what_is_to_be_tried_again_soon() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::mail(directory.path()).unwrap();
    spool.set_config("inbound.backoff", "100ms").unwrap();
    spool.set_config("inbound.attempts", "1000").unwrap();
    let inbound = spool.queue("inbound").unwrap();
    let prepare = || {
        inbound.send(&json!(1)).unwrap();
        inbound.receive(Receive::new()).unwrap().unwrap()
    };
    heard_at_once(&inbound, 1, AT_ONCE, prepare, |delivery| {
        delivery.nack(&Nack::new().error("not yet")).unwrap();
    });
}

/// Whoever ends it waits until it has ended.
#[test]
fn a_keeper_ends_soon_although_somebody_keeps_the_lock() {
    let directory = support::spool("journal");
    let spool = Spool::builder(directory.path()).lock_wait(LockWait::Forever);
    let queue = spool.open().unwrap().queue("inbound").unwrap();
    queue.send(&json!(1)).unwrap();
    let lease = Duration::from_millis(300);
    let delivery = queue.receive(Receive::new().lease(lease)).unwrap().unwrap();
    let keeper = queue.keep(delivery.receipt(), Some(lease)).unwrap();
    let holder = Holder::of(directory.path().join("inbound.json"));
    // Until it waits for the lock.
    thread::sleep(lease);
    let (tell, told) = channel();
    let end = thread::spawn(move || {
        drop(keeper);
        let _ = tell.send(());
    });
    let ended = told.recv_timeout(Duration::from_secs(20));
    drop(holder);
    end.join().unwrap();
    assert_eq!(ended, Ok(()));
}

/// One of them works when it comes, and the other one waits.
#[test]
fn an_interrupt_ends_every_worker_of_a_handle() {
    let directory = support::spool("journal");
    let queue = queue(directory.path());
    queue.send(&json!(1)).unwrap();
    let (tell, told) = channel();
    let (go_on, going_on) = channel::<()>();
    let going_on = std::sync::Mutex::new(going_on);
    thread::scope(|scope| {
        let (queue, going_on) = (&queue, &going_on);
        for _ in 0..2 {
            let tell = tell.clone();
            scope.spawn(move || {
                let worked = queue.work(&flockq::Work::new(), |_| {
                    tell.send("works").unwrap();
                    let _ = going_on.lock().unwrap().recv();
                    Ok(())
                });
                worked.unwrap();
                tell.send("ended").unwrap();
            });
        }
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok("works"));
        // Until the other one sleeps.
        thread::sleep(Duration::from_millis(200));
        queue.interrupt();
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok("ended"));
        drop(go_on);
        let last = told.recv_timeout(Duration::from_secs(20));
        // So that a test that fails ends.
        queue.interrupt();
        assert_eq!(last, Ok("ended"));
    });
}

/// Whoever ends a worker by a check of its own, as a signal handler does.
#[test]
fn what_a_worker_has_done_is_acked_although_it_is_to_end() {
    for mode in support::MODES {
        let directory = support::spool(mode);
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let builder = Spool::builder(directory.path());
        let builder = builder.interrupt_check(move || asked.load(Ordering::SeqCst));
        let queue = builder.open().unwrap().queue("inbound").unwrap();
        queue.send(&json!(1)).unwrap();
        let other = queue.clone();
        let mut holder = None;
        let worked = queue.work(&flockq::Work::new(), |_| {
            let (tell, told) = channel();
            let other = other.clone();
            holder = Some(thread::spawn(move || {
                other
                    .update(|_| {
                        tell.send(()).unwrap();
                        thread::sleep(Duration::from_millis(100));
                    })
                    .unwrap();
            }));
            told.recv().unwrap();
            stop.store(true, Ordering::SeqCst);
            Ok(())
        });
        holder.unwrap().join().unwrap();
        worked.unwrap();
        assert_eq!(queue.len().unwrap(), 0, "{mode}");
    }
}

#[test]
fn a_limit_that_is_raised_makes_room() {
    for mode in support::MODES {
        let (directory, queue) = full(mode);
        let waiting = queue.clone();
        let sender = thread::spawn(move || {
            waiting.send_many((3..5).map(|number| Message::new(&json!(number)).wait_forever()))
        });
        thread::sleep(Duration::from_millis(60));
        let spool = Spool::open(directory.path()).unwrap();
        spool.set_config("inbound.max_messages", "4").unwrap();
        assert_eq!(sender.join().unwrap().unwrap().len(), 2);
        assert_eq!(queue.len().unwrap(), 4);
    }
}

#[test]
fn a_wait_for_room_ends_when_it_is_interrupted_or_the_queue_is_closed() {
    let (_directory, queue) = full("journal");
    for expected in [ErrorKind::Interrupted, ErrorKind::Closed] {
        let waiting = queue.clone();
        let sender = thread::spawn(move || waiting.send(Message::new(&json!(3)).wait_forever()));
        thread::sleep(Duration::from_millis(100));
        match expected {
            ErrorKind::Closed => queue.close().unwrap(),
            _ => queue.interrupt(),
        }
        assert_eq!(sender.join().unwrap().unwrap_err().kind(), expected);
    }
}
