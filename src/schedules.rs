//! Many schedules of few threads, chosen by shuttle, on the file system in memory: `scripts/schedules.sh`.
//!
//! No sleep but that on the page of a lock ends by itself here: a signal that is lost is a deadlock, which shuttle reports.
//! So these say more than that the library goes on: they say that it does not need its heartbeats to.

#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "helpers outside of test functions"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicBool, AtomicUsize};
use shuttle::thread::{self, JoinHandle};

use crate::store::fault::FaultStore;
use crate::store::fault::waiting::{OVERSLEPT, SLEEPS};
use crate::store::gate::{Gate, Refused, Tie};
use crate::store::patience::{LockWait, Patience};
use crate::{Cancel, ErrorKind, Nack, Queue, Receive, Spool, Sync};

const JOURNAL: &str = "inbound.json.journal";

/// So many schedules of each kind.
fn count() -> usize {
    let asked = std::env::var("FLOCKQ_SCHEDULES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(1000)
}

/// Tries schedules with few changes of who goes first, and some with many.
fn schedules(what: &str, depth: usize, test: fn()) {
    let config = || {
        let mut config = shuttle::Config::new();
        config.stack_size = 512 * 1024;
        config
    };
    let (few, many) = (count(), count() / 4);
    shuttle::Runner::new(PctScheduler::new(depth, few), config()).run(test);
    shuttle::Runner::new(RandomScheduler::new(many), config()).run(test);
    eprintln!("PROVED {} schedules of {what}", few + many);
}

/// The queue as a process of its own sees it.
fn queue(store: &FaultStore, sync: Sync) -> Queue {
    let spool = Spool::builder("unused")
        .sync(sync)
        .open_on(Arc::new(store.another_process()));
    spool.unwrap().queue("inbound").unwrap()
}

fn waiting() -> Receive {
    Receive::new().wait_forever().detached()
}

fn all(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn the_gate_lets_threads_in_one_at_a_time_in_the_order_they_came() {
    schedules("the gate", 4, || {
        let gate = Arc::new(Gate::default());
        let (inside, entered) = (AtomicBool::new(false), AtomicUsize::new(0));
        let shared = Arc::new((inside, entered));
        let patient = (0..3).map(|_| {
            let (gate, shared) = (Arc::clone(&gate), Arc::clone(&shared));
            thread::spawn(move || {
                let patience = Patience::new(LockWait::Forever, None);
                for _ in 0..2 {
                    let ahead = gate.came();
                    let (pass, _) = gate.enter(Tie::Thread, &patience).unwrap();
                    assert!(!shared.0.swap(true, Ordering::SeqCst));
                    // Whoever came before this one was let in, or went away, before it.
                    assert!(gate.went() > ahead);
                    let again = gate.enter(Tie::Thread, &patience);
                    assert!(matches!(again, Err(Refused::WouldDeadlock)));
                    assert!(shared.0.swap(false, Ordering::SeqCst));
                    gate.leave(&pass);
                    shared.1.fetch_add(1, Ordering::SeqCst);
                }
            })
        });
        let patient: Vec<_> = patient.collect();
        // These leave the line: at once, and when their caller says so.
        let checks: [fn() -> Patience; 2] = [
            || Patience::new(LockWait::NoWait, None),
            || Patience::new(LockWait::Forever, Some(Arc::new(|| true))),
        ];
        let others = checks.map(|patience| {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                if let Ok((pass, _)) = gate.enter(Tie::Thread, &patience()) {
                    gate.leave(&pass);
                }
            })
        });
        all(patient.into_iter().chain(others));
        assert_eq!(shared.1.load(Ordering::SeqCst), 6);
    });
}

#[test]
fn no_receiver_sleeps_beside_a_message_and_each_message_comes_once() {
    schedules("receivers and senders of four processes", 3, || {
        let store = FaultStore::new();
        let received = Arc::new(Mutex::new(Vec::new()));
        let receivers = (0..2).map(|_| {
            let (queue, received) = (queue(&store, Sync::Off), Arc::clone(&received));
            thread::spawn(move || {
                for _ in 0..2 {
                    let delivery = queue.receive(waiting()).unwrap().unwrap();
                    received.lock().unwrap().push(delivery.id().to_owned());
                    delivery.ack().unwrap();
                }
            })
        });
        let receivers: Vec<_> = receivers.collect();
        let senders = (0..2).map(|sender| {
            let queue = queue(&store, Sync::Off);
            thread::spawn(move || {
                for number in 0..2 {
                    queue.send(&json!(sender * 10 + number)).unwrap();
                }
            })
        });
        all(senders.collect::<Vec<_>>().into_iter().chain(receivers));
        let received = received.lock().unwrap();
        let different: BTreeSet<_> = received.iter().collect();
        assert_eq!((received.len(), different.len()), (4, 4));
    });
    let (sleeps, overslept) = (&SLEEPS, &OVERSLEPT);
    let (sleeps, overslept) = (
        sleeps.load(Ordering::Relaxed),
        overslept.load(Ordering::Relaxed),
    );
    eprintln!("PROVED {sleeps} waits for a lock, of which {overslept} looked again by themselves");
}

#[test]
fn threads_that_share_a_handle_lose_nothing() {
    schedules("threads of one handle", 3, || {
        let store = FaultStore::new();
        let queue = queue(&store, Sync::Off);
        let receivers = (0..2).map(|_| {
            let queue = queue.clone();
            thread::spawn(move || {
                let delivery = queue.receive(waiting()).unwrap().unwrap();
                delivery.ack().unwrap();
            })
        });
        let receivers: Vec<_> = receivers.collect();
        let sending = queue.clone();
        let sender = thread::spawn(move || {
            for number in 0..2 {
                sending.send(&json!(number)).unwrap();
            }
        });
        all(receivers.into_iter().chain([sender]));
        assert!(queue.len().unwrap() == 0);
    });
}

#[test]
fn an_interrupt_ends_a_worker_whenever_it_comes() {
    schedules("a worker that is interrupted", 3, || {
        let store = FaultStore::new();
        let queue = queue(&store, Sync::Off);
        let (working, sending, ending) = (queue.clone(), queue.clone(), queue.clone());
        let worker = thread::spawn(move || {
            let ended = loop {
                match working.receive(waiting()) {
                    Ok(Some(delivery)) => delivery.ack().unwrap(),
                    Ok(None) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(ended.kind(), ErrorKind::Interrupted);
        });
        let sender = thread::spawn(move || drop(sending.send(&json!(1)).unwrap()));
        let interrupter = thread::spawn(move || ending.interrupt());
        all([worker, sender, interrupter]);
    });
}

#[test]
fn a_cancel_ends_its_wait_whenever_it_comes_and_no_other() {
    schedules("a wait that is cancelled", 3, || {
        let store = FaultStore::new();
        let queue = queue(&store, Sync::Off);
        let cancel = Cancel::new();
        let (leaving, staying, sending) = (queue.clone(), queue.clone(), queue.clone());
        let how = waiting().cancel(&cancel);
        let leaver = thread::spawn(move || match leaving.receive(how) {
            Ok(delivery) => delivery.unwrap().nack(&Nack::new()).unwrap(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
        });
        let stayer = thread::spawn(move || {
            let delivery = staying.receive(waiting()).unwrap().unwrap();
            delivery.ack().unwrap();
        });
        let sender = thread::spawn(move || drop(sending.send(&json!(1)).unwrap()));
        let canceller = thread::spawn(move || cancel.cancel());
        all([leaver, stayer, sender, canceller]);
        assert!(queue.len().unwrap() == 0);
    });
}

#[test]
fn closing_a_handle_ends_every_wait_on_it_and_says_so() {
    schedules("a handle that is closed", 3, || {
        let store = FaultStore::new();
        let queue = queue(&store, Sync::Off);
        let receivers = (0..2).map(|_| {
            let queue = queue.clone();
            thread::spawn(move || {
                let ended = loop {
                    match queue.receive(Receive::new().wait_forever()) {
                        Ok(_) => {}
                        Err(error) => break error,
                    }
                };
                assert_eq!(ended.kind(), ErrorKind::Closed);
            })
        });
        let receivers: Vec<_> = receivers.collect();
        let (sending, closing) = (queue.clone(), queue.clone());
        let sender = thread::spawn(move || {
            if let Err(error) = sending.send(&json!(1)) {
                assert_eq!(error.kind(), ErrorKind::Closed);
            }
        });
        let closer = thread::spawn(move || closing.close().unwrap());
        all(receivers.into_iter().chain([sender, closer]));
        let there = self::queue(&store, Sync::Off).stats().unwrap();
        assert_eq!(there.leased, 0, "a lease was not given back");
        crate::store::consumer::forget();
    });
}

#[test]
fn a_sender_that_waits_for_room_hears_of_it() {
    schedules("a sender that waits for room", 3, || {
        let store = FaultStore::new();
        let full = json!({"version": 1, "default": {"max_messages": 1}}).to_string();
        store.put("flockq.json", full.as_bytes());
        let (sending, taking) = (queue(&store, Sync::Off), queue(&store, Sync::Off));
        sending.send(&json!(0)).unwrap();
        let sender = thread::spawn(move || {
            for number in 1..3 {
                let message = crate::Message::new(&json!(number)).wait_forever();
                sending.send(message).unwrap();
            }
        });
        let taker = thread::spawn(move || {
            for _ in 0..3 {
                let delivery = taking.receive(waiting()).unwrap().unwrap();
                delivery.ack().unwrap();
            }
        });
        all([sender, taker]);
    });
}

#[test]
fn a_send_that_returned_is_durable_whichever_thread_synced_it() {
    schedules("threads that sync one journal", 3, || sends(None));
}

#[test]
fn a_send_that_returned_is_durable_although_another_thread_s_sync_failed() {
    schedules("a sync that fails", 3, || sends(Some(libc::EIO)));
}

/// Three threads send; what was told to be done would be there after a power cut. One effect may fail.
fn sends(errno: Option<i32>) {
    let store = FaultStore::new();
    let queue = queue(&store, Sync::Full);
    queue
        .send(crate::Message::new(&json!(0)).id("first"))
        .unwrap();
    if let Some(errno) = errno {
        // Each commit writes once; the syncs come among them.
        store.fail_sync(
            shuttle::rand::Rng::gen_range(&mut shuttle::rand::thread_rng(), 0..3),
            errno,
        );
    }
    let senders = (0..3).map(|sender| {
        let (queue, store) = (queue.clone(), store.clone());
        thread::spawn(move || {
            let id = format!("from-{sender}");
            let sent = queue.send(crate::Message::new(&json!(sender)).id(&id));
            let known = |name: &str| String::from_utf8_lossy(&store.durable(name)).contains(&id);
            match sent {
                Ok(_) => assert!(
                    known(JOURNAL) || known("inbound.json"),
                    "{id} is not durable"
                ),
                Err(error) => assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}"),
            }
        })
    });
    all(senders.collect::<Vec<_>>());
}
