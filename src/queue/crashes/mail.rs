//! Longer workloads of a mail spool: every message that was confirmed is in exactly one of the queues.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::{proved, proves, seed};
use crate::store::fault::crash::mix;
use crate::store::fault::{Cut, FaultStore};
use crate::{ErrorKind, Filter, List, Nack, Receive, Result, Spool, Sync};

const QUEUES: [&str; 4] = ["inbound", "outbound", "dead-letter", "archive"];
const FIVE_MINUTES_MS: u64 = 5 * 60 * 1000;
const STEPS: u64 = 16;

/// How often a message may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Once,
    /// A send or an ack of which nobody knows the outcome, or that is under way.
    AtMostOnce,
    Never,
}

type Messages = BTreeMap<String, There>;

fn spool(store: &FaultStore) -> Spool {
    let builder = Spool::builder("unused").sync(Sync::Full);
    builder.open_on(Arc::new(store.another_process())).unwrap()
}

/// A step of the life of messages. What is on its way from one state to another is noted before, what is certain after it.
fn step(spool: &Spool, number: u64, chance: u64, messages: &mut Messages) -> Result<()> {
    let inbound = spool.queue("inbound")?;
    let filter = Filter::new().limit(1);
    let mut certain = |id: &str, done: Result<()>, there: There| {
        let is_unknown = |error: &crate::Error| error.kind() == ErrorKind::OutcomeUnknown;
        match &done {
            Ok(()) => drop(messages.insert(id.to_owned(), there)),
            Err(error) if is_unknown(error) => {
                messages.insert(id.to_owned(), There::AtMostOnce);
            }
            Err(_) => {}
        }
        done
    };
    match chance % 8 {
        0..3 => {
            let id = format!("m{number}");
            let sent = inbound.send(&json!({ "id": id })).map(drop);
            certain(&id, sent, There::Once)
        }
        3..5 => match inbound.receive(Receive::new().detached())? {
            Some(delivery) => delivery.nack(&Nack::new().error("no session")),
            None => Ok(()),
        },
        5 => match inbound.receive(Receive::new().detached())? {
            Some(delivery) => certain(delivery.id(), delivery.ack(), There::Never),
            None => Ok(()),
        },
        6 => inbound.move_to("archive", &filter).map(drop),
        _ => spool
            .queue("dead-letter")?
            .redrive(&filter, false)
            .map(drop),
    }
}

fn places(spool: &Spool) -> Result<Vec<(String, bool)>> {
    let mut found = Vec::new();
    for name in QUEUES {
        for envelope in spool.queue(name)?.list(&List::new())?.envelopes {
            let text = String::from_utf8_lossy(envelope.text()).into_owned();
            let id = envelope.id().unwrap_or_default().to_owned();
            found.push((id, text.contains("\"move\":")));
        }
    }
    Ok(found)
}

fn require(spool: &Spool, messages: &Messages, why: &dyn Fn() -> String) {
    // Whoever looks first brings moves to their end.
    let looked = places(spool).and_then(|_| places(spool));
    let found = looked.unwrap_or_else(|error| panic!("{error}: {}", why()));
    for (id, there) in messages {
        let count = found.iter().filter(|(found, _)| found == id).count();
        let is_right = match there {
            There::Once => count == 1,
            There::AtMostOnce => count <= 1,
            There::Never => count == 0,
        };
        assert!(
            is_right,
            "{id} {there:?}, and {count} of it in {found:?}: {}",
            why()
        );
    }
    let is_moving = found.iter().any(|(_, is_moving)| *is_moving);
    assert!(!is_moving, "a move has not ended: {found:?}: {}", why());
}

/// What may be there while an operation is under way that leads from the one to the other.
fn either(before: &Messages, after: &Messages) -> Messages {
    let mut either = after.clone();
    for (id, there) in &mut either {
        if before.get(id) != Some(there) {
            *there = There::AtMostOnce;
        }
    }
    either
}

fn workload(seed: u64, cuts: &mut usize) {
    let store = FaultStore::new();
    store.put("flockq.json", br#"{"version":1}"#);
    for (number, name) in (0..).zip(QUEUES) {
        if mix(seed, number).is_multiple_of(3) {
            store.put(&format!("{name}.json"), b"[]\n");
        }
    }
    spool(&store).adopt_mail().unwrap();
    store.watch_the_order();
    let processes = [spool(&store), spool(&store)];
    let mut messages = Messages::new();
    let mut told = Vec::new();
    for number in 0..STEPS {
        let chance = mix(seed, 100 + number);
        store.pass(if (chance >> 4).is_multiple_of(2) {
            FIVE_MINUTES_MS
        } else {
            1
        });
        let process = &processes[usize::from((chance >> 5).is_multiple_of(2))];
        let before = messages.clone();
        if chance.is_multiple_of(4) {
            store.fail(usize::try_from(chance >> 20).unwrap() % 24, libc::EIO);
        }
        store.record();
        let done = step(process, number, chance >> 32, &mut messages);
        let moments = store.recorded();
        store.heal();
        told.push(format!("{number} {} {done:?}", (chance >> 32) % 8));
        let why = || format!("FLOCKQ_SEED={seed} {told:#?}");
        let during = either(&before, &messages);
        for (which, drawn) in [(0, chance), (1, mix(chance, 1)), (2, 0)] {
            let at = usize::try_from(drawn % moments.len() as u64).unwrap();
            let (moment, allowed) = match which {
                2 => (moments.len() - 1, &messages),
                _ => (at, &during),
            };
            let cut = Cut::Chance(mix(drawn, 7));
            let image = moments[moment].crash(cut);
            image.pass(10 * FIVE_MINUTES_MS);
            let effect = &moments[moment].effect;
            let why = || format!("{}, before {effect} {cut:?}", why());
            *cuts += 1;
            let recovering = spool(&image);
            image.record();
            require(&recovering, allowed, &why);
            let again = image.recorded();
            let second = &again[usize::try_from(mix(drawn, 9) % again.len() as u64).unwrap()];
            let image = second.crash(cut);
            let why = || format!("{}, then before {}", why(), second.effect);
            *cuts += 1;
            require(&spool(&image), allowed, &why);
        }
    }
    assert_eq!(store.broken(), [""; 0], "FLOCKQ_SEED={seed} {told:#?}");
    store.die(0);
}

#[test]
fn whatever_fails_in_a_mail_spool_each_message_is_in_one_queue_after_power_cuts() {
    let mut cuts = 0;
    let count = if proves() { 800 } else { 30 };
    for number in 0..count {
        workload(seed() + number, &mut cuts);
    }
    proved("power cuts of mail spools", cuts);
}
