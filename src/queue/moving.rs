//! Moves that end exactly once, whatever is the last thing that happens, and the settings that say where to; on the store in memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::moves::Begun;
use crate::format::name::QueueName;
use crate::index::plan::{self, Which};
use crate::store::Store;
use crate::store::fault::{FaultStore, Unsynced};
use crate::{
    ErrorKind, Filter, List, LockWait, Message, MessageUpdate, Nack, Queue, Receive, Result, Spool,
    Sync,
};

const QUEUES: [&str; 4] = ["inbound", "outbound", "dead-letter", "archive"];
const FIVE_MINUTES_MS: u64 = 5 * 60 * 1000;

/// A mail spool in which these queues are plain and the others have journals.
fn store(plain: &[&str]) -> FaultStore {
    let store = FaultStore::new();
    store.put("flockq.json", br#"{"version":1}"#);
    for name in plain {
        store.put(&format!("{name}.json"), b"[]\n");
    }
    spool(&store).adopt_mail().unwrap();
    store
}

fn spool(store: &FaultStore) -> Spool {
    let builder = Spool::builder("unused").sync(Sync::Full);
    builder.open_on(Arc::new(store.clone())).unwrap()
}

fn text(envelope: &crate::Envelope) -> String {
    String::from_utf8_lossy(envelope.text()).into_owned()
}

/// Every message with the queue it is in, and whether it is in the middle of a move.
fn places(spool: &Spool) -> Result<Vec<(String, String, bool)>> {
    let mut all = Vec::new();
    for name in QUEUES {
        for envelope in spool.queue(name)?.list(&List::new())?.envelopes {
            let is_moving = text(&envelope).contains("\"move\"");
            let id = envelope.id().unwrap_or_default().to_owned();
            all.push((name.to_owned(), id, is_moving));
        }
    }
    Ok(all)
}

/// The life of a message: it fails three times, is given another chance and is put away.
fn step(spool: &Spool, store: &FaultStore, number: usize) -> Result<()> {
    let inbound = spool.queue("inbound")?;
    match number {
        0 => inbound.send(&json!({"id": "m1"})).map(drop),
        1..=3 => {
            store.pass(FIVE_MINUTES_MS);
            match inbound.receive(Receive::new().detached())? {
                Some(delivery) => delivery.nack(&Nack::new().error(format!("failure {number}"))),
                None => Ok(()),
            }
        }
        4 => spool
            .queue("dead-letter")?
            .redrive(&Filter::new(), false)
            .map(drop),
        _ => inbound.move_to("archive", &Filter::new()).map(drop),
    }
}

const STEPS: usize = 6;

#[test]
fn a_message_that_fails_waits_comes_back_and_is_given_up_with_its_history() {
    for plain in [&[][..], &QUEUES, &["inbound"], &["outbound", "archive"]] {
        let store = store(plain);
        let spool = spool(&store);
        let at = |queue: &str| {
            let expected = vec![(queue.to_owned(), "m1".to_owned(), false)];
            assert_eq!(places(&spool).unwrap(), expected, "{plain:?}");
        };
        let inbound = spool.queue("inbound").unwrap();
        for (number, queue) in ["inbound", "outbound", "outbound", "dead-letter"]
            .into_iter()
            .enumerate()
        {
            step(&spool, &store, number).unwrap();
            at(queue);
            // What waits elsewhere is not there to be had.
            assert!(number == 0 || inbound.receive(Receive::new()).unwrap().is_none());
        }
        let dead = spool
            .queue("dead-letter")
            .unwrap()
            .get("m1")
            .unwrap()
            .remove(0);
        assert_eq!(dead.attempts(), 3);
        assert_eq!(dead.error(), Some("failure 3"));
        for number in 1..=3 {
            assert!(
                text(&dead).contains(&format!("\"failure {number}\"")),
                "{}",
                text(&dead)
            );
        }
        assert!(
            text(&dead).contains("\"from\":\"inbound\""),
            "{}",
            text(&dead)
        );
    }
}

/// Runs the life until the store dies; whether it came to its end.
fn live(store: &FaultStore, last: usize) -> bool {
    let spool = spool(store);
    step(&spool, store, 0).unwrap();
    store.die(last);
    let done = (1..STEPS).all(|number| step(&spool, store, number).is_ok());
    std::mem::forget(spool);
    done
}

/// What was cut short has been brought to its end by whoever looked, and the message is there once. The process dies without
/// a word.
fn is_in_one_place(spool: Spool, why: &str) {
    let _ = places(&spool);
    let found = places(&spool).unwrap_or_else(|error| panic!("{why}: {error}"));
    assert!(found.len() == 1 && !found[0].2, "{why}: {found:?}");
    std::mem::forget(spool);
}

/// The disks that were looked at. From one that reads the same and would leave the same after a power cut, the same follows at
/// the same time.
#[derive(Default)]
struct Seen(HashSet<[u64; 3]>);

impl Seen {
    fn is_new(&mut self, disk: &FaultStore) -> bool {
        let durable = disk.power_cut(Unsynced::Dropped, Unsynced::Kept);
        let time = disk.system().boot_ms();
        let key = [disk.fingerprint(), durable.fingerprint(), time];
        self.0.insert(key)
    }
}

#[test]
fn whatever_effect_is_the_last_the_message_is_in_exactly_one_queue() {
    let mut deaths = 0;
    let mut seen = Seen::default();
    for plain in [&[][..], &QUEUES, &["inbound"], &["outbound", "archive"]] {
        for last in 0.. {
            let store = store(plain);
            let done = live(&store, last);
            // A process that is killed leaves everything; a power cut what was synced, and names or not.
            for (content, names) in [
                (Unsynced::Kept, Unsynced::Kept),
                (Unsynced::Dropped, Unsynced::Kept),
                (Unsynced::Dropped, Unsynced::Dropped),
                (Unsynced::Zeroed, Unsynced::Kept),
            ] {
                let why = format!("{plain:?} {last} {content:?} {names:?}");
                let cut = store.power_cut(content, names);
                if !seen.is_new(&cut) {
                    continue;
                }
                cut.pass(10 * FIVE_MINUTES_MS);
                // Whichever queue is looked at first.
                for first in ["inbound", "dead-letter"] {
                    let again = cut.power_cut(Unsynced::Kept, Unsynced::Kept);
                    let spool = spool(&again);
                    spool.queue(first).unwrap().list(&List::new()).unwrap();
                    is_in_one_place(spool, &why);
                }
            }
            deaths += 1;
            if done {
                break;
            }
        }
    }
    let disks = seen.0.len();
    assert!(deaths > 150 && disks > 500, "{deaths} {disks}");
}

#[test]
fn an_update_changes_a_message_that_was_on_its_way_where_it_has_arrived() {
    let mut arrived = 0;
    for plain in [&[][..], &QUEUES] {
        for last in 0.. {
            let store = store(plain);
            let before = spool(&store);
            step(&before, &store, 0).unwrap();
            store.die(last);
            let inbound = before.queue("inbound").unwrap();
            let moved = inbound.move_to("archive", &Filter::new()).is_ok();
            std::mem::forget((inbound, before));
            let spool = spool(&store.power_cut(Unsynced::Kept, Unsynced::Kept));
            let update = |queue: &str| {
                let update = MessageUpdate::new().payload(&json!({"changed": true}));
                spool.queue(queue)?.update_message("m1", update)
            };
            let (here, there) = (update("inbound").unwrap(), update("archive").unwrap());
            assert_eq!(here + there, 1, "{plain:?} {last}");
            arrived += there;
            let queue = spool.queue(if here == 1 { "inbound" } else { "archive" });
            let found = queue.unwrap().get("m1").unwrap().remove(0);
            assert_eq!(
                found.message::<serde_json::Value>().unwrap(),
                json!({"changed": true})
            );
            is_in_one_place(spool, &format!("{plain:?} {last}"));
            if moved {
                break;
            }
        }
    }
    assert!(arrived > 4, "{arrived}");
}

/// Every death of two, or with less time each fourth of the first ones.
fn stride() -> usize {
    let proves = std::env::var_os("FLOCKQ_PROVE").is_some_and(|value| value == "1");
    if proves { 1 } else { 4 }
}

/// Whoever goes on with what a dead process left dies too, and then the power; after each of its effects.
fn die_again(left: &FaultStore, seen: &mut Seen, last: usize) {
    for second in 0.. {
        let disk = left.copy();
        let other = spool(&disk);
        disk.die(second);
        let recovered = places(&other).and_then(|_| places(&other));
        let was_enough = disk.effects().len() <= second;
        assert!(!was_enough || recovered.is_ok(), "{last}: {recovered:?}");
        std::mem::forget(other);
        let cut = disk.power_cut(Unsynced::Dropped, Unsynced::Kept);
        if seen.is_new(&cut) {
            is_in_one_place(spool(&cut), &format!("{last} {second}"));
        }
        if was_enough {
            break;
        }
    }
}

#[test]
fn a_recovery_that_is_cut_short_is_gone_on_with() {
    let (mut begun, mut ended) = (Seen::default(), Seen::default());
    for last in (0..).step_by(stride()) {
        let store = store(&["inbound"]);
        let done = live(&store, last);
        let left = store.power_cut(Unsynced::Dropped, Unsynced::Kept);
        if begun.is_new(&left) {
            die_again(&left, &mut ended, last);
        }
        if done {
            break;
        }
    }
    let (begun, ended) = (begun.0.len(), ended.0.len());
    assert!(begun > 50 && ended > 500, "{begun} {ended}");
}

#[test]
fn what_cannot_be_moved_stays_and_says_why() {
    let store = store(&[]);
    let spool = spool(&store);
    let inbound = spool.queue("inbound").unwrap();
    inbound.send(&json!({"id": "m1"})).unwrap();
    store.put("archive.json", b"no array");
    let error = inbound.move_to("archive", &Filter::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("archive.json"), "{error}");
    store.put("outbound.json", b"no array");
    let delivery = inbound.receive(Receive::new()).unwrap().unwrap();
    let error = delivery.nack(&Nack::new().error("no session")).unwrap_err();
    assert!(error.to_string().contains("outbound.json"), "{error}");
    let found = inbound.get("m1").unwrap().remove(0);
    assert_eq!(found.error(), Some("no session"));
    assert!(found.not_before().is_some());
    assert!(!text(&found).contains("\"move\""), "{}", text(&found));
}

#[test]
fn a_message_whose_consumers_die_is_given_up_after_exactly_the_maximum() {
    let store = store(&[]);
    let spool = spool(&store);
    let inbound = spool.queue("inbound").unwrap();
    inbound.send(&json!({"id": "m1"})).unwrap();
    let lease = Duration::from_secs(1);
    for attempt in 1..=3 {
        let delivery = inbound
            .receive(Receive::new().lease(lease).detached())
            .unwrap()
            .unwrap();
        assert_eq!(delivery.attempts(), attempt);
        store.pass(2000);
    }
    assert!(inbound.receive(Receive::new()).unwrap().is_none());
    let dead = spool
        .queue("dead-letter")
        .unwrap()
        .get("m1")
        .unwrap()
        .remove(0);
    assert!(dead.error().unwrap().contains("attempt 3 had no result"));
    let redriven = spool
        .queue("dead-letter")
        .unwrap()
        .redrive(&Filter::new(), true)
        .unwrap();
    assert_eq!(
        (redriven[0].id.as_str(), redriven[0].to.as_str()),
        ("m1", "inbound")
    );
    assert!(
        inbound.receive(Receive::new()).unwrap().is_none(),
        "a dry run moves nothing"
    );
    spool
        .queue("dead-letter")
        .unwrap()
        .redrive(&Filter::new(), false)
        .unwrap();
    let again = inbound.receive(Receive::new()).unwrap().unwrap();
    assert_eq!(again.attempts(), 1);
}

#[test]
fn a_time_to_live_and_limits_hold() {
    let store = store(&[]);
    let spool = spool(&store);
    let inbound = spool.queue("inbound").unwrap();
    spool.set_config("inbound.max_messages", "2").unwrap();
    let ttl = Duration::from_secs(5);
    inbound
        .send(Message::new(&json!({"id": "m1"})).ttl(ttl))
        .unwrap();
    inbound.send(&json!({"id": "m2"})).unwrap();
    let error = inbound.send(&json!({"id": "m3"})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.to_string().contains("max_messages"), "{error}");
    store.pass(6000);
    assert_eq!(inbound.pop().unwrap().unwrap().id(), Some("m2"));
    assert!(inbound.pop().unwrap().is_none());
    let dead = spool.queue("dead-letter").unwrap();
    assert!(
        dead.get("m1").unwrap()[0]
            .error()
            .unwrap()
            .contains("time to live")
    );
    // Nothing else expires it there.
    assert_eq!(dead.pop().unwrap().unwrap().id(), Some("m1"));
    spool.set_config("inbound.expired", "drop").unwrap();
    inbound
        .send(Message::new(&json!({"id": "m4"})).ttl(ttl))
        .unwrap();
    store.pass(6000);
    assert!(inbound.receive(Receive::new()).unwrap().is_none());
    assert_eq!((inbound.len().unwrap(), dead.len().unwrap()), (0, 0));
}

#[test]
fn a_process_that_runs_sees_a_change_of_the_configuration_at_its_next_operation() {
    for plain in [&[][..], &["inbound"]] {
        let store = store(plain);
        let (here, there) = (spool(&store), spool(&store.another_process()));
        let (inbound, other) = (
            here.queue("inbound").unwrap(),
            there.queue("inbound").unwrap(),
        );
        inbound.send(&json!(1)).unwrap();
        other.send(&json!(2)).unwrap();
        here.set_config("inbound.max_payload_bytes", "3").unwrap();
        assert_eq!(
            other.send(&json!("long")).unwrap_err().kind(),
            ErrorKind::TooLarge
        );
        here.set_config("inbound.max_payload_bytes", "null")
            .unwrap();
        other.send(&json!("long")).unwrap();
    }
}

#[test]
fn one_queue_that_cannot_be_told_of_a_setting_is_no_reason_not_to_tell_the_others() {
    let store = store(&[]);
    let (here, there) = (spool(&store), spool(&store.another_process()));
    let inbound = there.queue("inbound").unwrap();
    inbound.send(&json!(1)).unwrap();
    there.queue("archive").unwrap().send(&json!(1)).unwrap();
    store.refuse(Some("archive.json.journal"));
    let told = here.set_config("inbound.max_payload_bytes", "3");
    store.refuse(None);
    assert!(told.unwrap_err().to_string().contains("not every process"));
    assert_eq!(
        inbound.send(&json!("long")).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
}

#[test]
fn a_wrong_setting_names_the_key_the_value_and_what_is_allowed() {
    let store = store(&[]);
    let spool = spool(&store);
    for (setting, value, named) in [
        ("inbound.backoff", "soon", "duration"),
        ("inbound.attempts", "0", "from 1"),
        ("inbound.colour", "red", "backoff_factor"),
        ("inbound", "3", "inbound.backoff"),
        ("inbound.retry_queue", "inbound", "another queue"),
        ("inbound.mode", "plain", "convert"),
        ("a/b.sync", "off", "name"),
    ] {
        let before = store.content("flockq.json");
        let error = spool.set_config(setting, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(store.content("flockq.json"), before);
    }
}

#[test]
fn a_copy_of_which_it_is_not_known_whether_it_is_there_comes_once() {
    for number in 0..12 {
        let store = store(&[]);
        let spool = spool(&store);
        let inbound = spool.queue("inbound").unwrap();
        inbound.send(&json!({"id": "m1"})).unwrap();
        spool
            .queue("archive")
            .unwrap()
            .send(&json!("other"))
            .unwrap();
        spool.queue("archive").unwrap().purge(None).unwrap();
        // A sync or a write fails, and what follows does not.
        store.fail(number, libc::EIO);
        let moved = inbound.move_to("archive", &Filter::new());
        store.heal();
        let _ = places(&spool);
        let found = places(&spool).unwrap_or_else(|error| panic!("{number}: {error}"));
        assert!(
            found.len() == 1 && !found[0].2,
            "{number}: {found:?} after {moved:?}"
        );
        // Whatever it is told with, it is the system's error about a file.
        if let Err(error) = moved {
            assert_eq!(error.errno(), Some(libc::EIO), "{number}: {error}");
            assert!(error.path().is_some(), "{number}: {error}");
        }
    }
}

/// The first message's copy is there, brought by another process that could not remove the message; the second one's cannot be
/// written any more.
#[test]
fn what_has_arrived_is_not_taken_back_because_something_else_cannot_arrive() {
    let mut kept = 0;
    for plain in [&["inbound", "archive"][..], &[]] {
        for number in 0..12 {
            for second in 0..24 {
                let store = store(plain);
                let process = spool(&store);
                let inbound = process.queue("inbound").unwrap();
                inbound.send(&json!({"id": "m1"})).unwrap();
                inbound.send(&json!({"id": "m2"})).unwrap();
                let begun = begin(&inbound, "m1");
                let other_store = store.another_process();
                let other = spool(&other_store).queue("inbound").unwrap();
                other_store.fail_from(number, libc::ENOSPC);
                let went_on = other.handle.finish_all(LockWait::default());
                other_store.heal();
                let _ = begin(&other, "m2");
                store.fail(second, libc::ENOSPC);
                let ended = inbound.handle.finish_begun(&begun);
                store.heal();
                // The first look brings to its end what was begun.
                let _ = places(&process);
                let mut ids: Vec<_> = places(&process).unwrap();
                ids.sort_by(|one, two| one.1.cmp(&two.1));
                assert!(
                    matches!(&ids[..], [one, two] if one.1 == "m1" && two.1 == "m2"),
                    "{plain:?} {number} {second}: {ids:?} after {went_on:?} and {ended:?}"
                );
                kept += usize::from(went_on.is_err() && ended.is_err());
            }
        }
    }
    assert!(kept > 50, "{kept}");
}

/// The first step of a move to the archive.
fn begin(queue: &Queue, id: &str) -> Begun {
    let which = Which {
        ids: Some(vec![id.to_owned()]),
        ..Which::default()
    };
    let target = QueueName::parse("archive").unwrap();
    let wait = LockWait::default();
    let marked = queue.handle.mark(wait, |index, now, _, mover| {
        plan::move_to(index, now, &which, &target, mover)
    });
    marked.unwrap().1
}

#[test]
fn however_much_is_due_for_another_queue_what_is_due_for_this_one_comes_back() {
    let store = store(&["outbound"]);
    let theirs = r#"{"message":1,"from":"other"},"#.repeat(1500);
    let file = format!(r#"[{theirs}{{"message":{{"id":"ours"}},"from":"inbound"}}]"#);
    store.put("outbound.json", file.as_bytes());
    let inbound = spool(&store).queue("inbound").unwrap();
    let found = inbound.receive(Receive::new()).unwrap();
    assert_eq!(found.unwrap().id(), "ours");
}

#[test]
fn an_empty_list_of_ids_names_no_message() {
    let store = store(&[]);
    let inbound = spool(&store).queue("inbound").unwrap();
    inbound.send(&json!({"id": "m1"})).unwrap();
    let none: [String; 0] = [];
    assert!(
        inbound
            .move_to("archive", &Filter::new().ids(none))
            .unwrap()
            .is_empty()
    );
    assert_eq!(inbound.move_to("archive", &Filter::new()).unwrap(), ["m1"]);
}

/// Each process of a mail daemon opens its spool so.
#[test]
fn a_policy_that_is_there_already_is_told_to_nobody() {
    let store = store(&[]);
    let process = spool(&store);
    process.queue("inbound").unwrap().send(&json!(1)).unwrap();
    store.forget_effects();
    spool(&store).adopt_mail().unwrap();
    let written = |effect: &String| effect.contains("inbound") && !effect.contains("lock");
    let effects: Vec<String> = store.effects().into_iter().filter(written).collect();
    assert!(effects.is_empty(), "{effects:?}");
}

#[test]
fn what_is_due_for_another_queue_is_left_where_it_waits() {
    let store = store(&[]);
    let spool = spool(&store);
    spool.set_config("default.retry_queue", "outbound").unwrap();
    let other = spool.queue("other").unwrap();
    other.send(&json!({"id": "m1"})).unwrap();
    let delivery = other.receive(Receive::new()).unwrap().unwrap();
    delivery.nack(&Nack::new().error("no session")).unwrap();
    let inbound = spool.queue("inbound").unwrap();
    let wait = Duration::from_millis(50);
    assert!(
        inbound
            .receive(Receive::new().wait(wait))
            .unwrap()
            .is_none()
    );
    assert_eq!(spool.queue("outbound").unwrap().len().unwrap(), 1);
    assert_eq!(other.receive(Receive::new()).unwrap().unwrap().id(), "m1");
}

#[test]
fn what_a_killed_process_left_unsynced_is_made_durable_before_anything_builds_on_it() {
    let (mut begun, mut ended) = (Seen::default(), Seen::default());
    for last in (0..).step_by(stride()) {
        let killed = store(&[]);
        let done = live(&killed, last);
        if begun.is_new(&killed) {
            die_again(&killed, &mut ended, last);
        }
        if done {
            break;
        }
    }
    let (begun, ended) = (begun.0.len(), ended.0.len());
    assert!(begun > 50 && ended > 500, "{begun} {ended}");
}

/// It is in the retry queue for longer than the window.
#[test]
fn what_waits_to_be_tried_again_is_not_done() {
    let store = store(&[]);
    let spool = spool(&store);
    spool.set_config("inbound.dedup_window", "5s").unwrap();
    let inbound = spool.queue("inbound").unwrap();
    let send = || {
        let message = Message::new(&json!({"id": "m1"})).dedup(true);
        inbound.send(message).unwrap();
    };
    send();
    let delivery = inbound.receive(Receive::new()).unwrap().unwrap();
    let delay = Duration::from_secs(20);
    let nack = Nack::new().error("no session").delay(delay);
    delivery.nack(&nack).unwrap();
    for _ in 0..3 {
        store.pass(8_000);
        send();
    }
    assert_eq!(inbound.len().unwrap(), 0);
    let back = inbound.receive(Receive::new()).unwrap().unwrap();
    assert_eq!((back.id(), back.attempts()), ("m1", 2));
    assert!(inbound.receive(Receive::new()).unwrap().is_none());
}

/// Of the queues that give up to it, one is named in the configuration and the others have it from `default`.
#[test]
fn a_redrive_of_what_does_not_say_where_it_came_from_asks_every_queue_that_there_is() {
    let store = store(&[]);
    let dead = |name: &str| spool(&store).queue(name).unwrap();
    store.put("flockq.json", br#"{"version":1,"default":{"attempts":3,"dead_letter_queue":"dead"},"queues":{"events":{"mode":"plain"}}}"#);
    store.put("dead.json", br#"[{"message":{"id":"m1"}}]"#);
    store.put("inbound.json", b"[]");
    let redriven = dead("dead").redrive(&Filter::new(), true).unwrap_err();
    assert_eq!(redriven.kind(), crate::ErrorKind::NotFound);
    assert!(redriven.to_string().contains("and 2 queues"), "{redriven}");
    store.put(
        "flockq.json",
        br#"{"version":1,"default":{"attempts":3,"dead_letter_queue":"dead"}}"#,
    );
    let redriven = dead("dead").redrive(&Filter::new(), true).unwrap();
    assert_eq!(redriven[0].to, "inbound");
}
