//! The index against a naive model, and the rules of each decision.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::plan::{self, Grant, Outgoing, Taken};
use super::state::State;
use super::{Index, Now, Plan};
use crate::ErrorKind;
use crate::format::receipt::Receipt;
use crate::format::time::{Timestamp, after};

const START: &str = "2026-02-03T09:00:00Z";

fn now() -> Now {
    Now { wall: START.parse().unwrap(), boot_ms: 1_000_000, boot_id: Arc::from("b"), dead: HashSet::new() }
}

fn later(seconds: u64) -> Now {
    Now { wall: after(now().wall, Duration::from_secs(seconds)), boot_ms: now().boot_ms + seconds * 1000, ..now() }
}

fn commit<T>(index: &mut Index, plan: Plan<T>) -> T {
    let image = index.image(&plan.changes);
    index.apply(plan.changes);
    assert_eq!(index.image(&[]), image, "the image with changes is the image after them");
    let read = Index::parse(&image).unwrap();
    assert_eq!(read.array(), index.array(), "what was written is what is read");
    plan.result
}

fn outgoing(payload: &str) -> Outgoing {
    Outgoing { payload: payload.into(), id: None, fresh_id: "fresh".into(), priority: None, not_before: None, dedup: false }
}

fn filled(payloads: &[&str]) -> Index {
    let mut index = Index::empty();
    let messages: Vec<Outgoing> = payloads.iter().map(|payload| outgoing(payload)).collect();
    let plan = plan::send(&index, &messages, now().wall).unwrap();
    commit(&mut index, plan);
    index
}

fn take(index: &mut Index, now: &Now, max: usize, seconds: u64) -> Vec<Taken> {
    let grant = Grant { lease: Duration::from_secs(seconds), consumer: Some(Arc::from("c")), random: &|| 5, fresh_id: &|| "new".into() };
    let plan = plan::receive(index, now, max, &grant).unwrap();
    commit(index, plan)
}

fn receipt(taken: &Taken) -> Receipt {
    Receipt::parse(&taken.receipt).unwrap()
}

#[test]
fn priority_goes_before_age_and_age_before_place() {
    let mut index = Index::parse(
        br#"[{"message":{"id":"c"},"queued_at":"2026-02-03T09:00:02Z"}, {"message":{"id":"b"},"queued_at":"2026-02-03T09:00:01Z"},
            {"message":{"id":"d"},"queued_at":"2026-02-03T09:00:02Z"}, {"message":{"id":"low","priority":"low"},"queued_at":"2026-02-03T08:00:00Z"},
            {"message":{"id":"a","priority":"urgent"},"queued_at":"2026-02-03T09:00:03Z"}]"#,
    )
    .unwrap();
    let ids: Vec<String> = take(&mut index, &now(), 9, 60).into_iter().map(|taken| taken.id).collect();
    assert_eq!(ids, ["a", "b", "c", "d", "low"]);
}

#[test]
fn a_lease_hides_a_message_until_its_deadline_its_consumers_death_or_a_reboot() {
    let ends: [Now; 3] = [later(60), Now { dead: HashSet::from([Arc::from("c")]), ..now() }, Now { boot_id: Arc::from("b2"), boot_ms: 5, ..now() }];
    for end in ends {
        let mut index = filled(&[r#"{"id":"a"}"#]);
        let first = take(&mut index, &now(), 1, 60);
        assert_eq!(first[0].attempts, 1);
        assert!(take(&mut index, &later(59), 1, 60).is_empty());
        let again = take(&mut index, &end, 1, 60);
        assert_eq!((again.len(), again[0].attempts), (1, 2), "{end:?}");
        assert!(receipt(&again[0]).token > receipt(&first[0]).token);
        assert_eq!(plan::ack(&mut index, &end, &[receipt(&first[0])]).unwrap().result, [false], "the first receipt is stale");
    }
}

#[test]
fn a_lease_of_another_boot_that_is_read_later_is_no_lease() {
    let mut index = filled(&[r#"{"id":"a"}"#]);
    take(&mut index, &now(), 1, 1_000_000);
    let image = index.image(&[]);
    let rebooted = Now { boot_id: Arc::from("b2"), boot_ms: 5, ..now() };
    assert!(Index::parse(&image).unwrap().has_ready(&rebooted));
    assert!(!Index::parse(&image).unwrap().has_ready(&now()));
}

#[test]
fn due_times_follow_the_wall_clock_both_ways() {
    let mut index = Index::empty();
    let delayed = Outgoing { not_before: Some(later(10).wall), ..outgoing("1") };
    let plan = plan::send(&index, &[delayed], now().wall).unwrap();
    commit(&mut index, plan);
    assert!(!index.has_ready(&now()));
    assert_eq!(index.next_due(&now()), Some(Duration::from_secs(10)));
    assert!(index.has_ready(&later(10)));
    assert!(!index.has_ready(&later(9)), "the clock was set back");
    assert!(index.has_ready(&later(11)));
}

#[test]
fn a_receipt_is_good_once_for_one_delivery_of_one_message() {
    let mut index = filled(&[r#"{"id":"a"}"#, r#"{"id":"a"}"#]);
    let taken = take(&mut index, &now(), 1, 60);
    let good = receipt(&taken[0]);
    let wrong = Receipt { random: 6, ..good.clone() };
    let plan = plan::ack(&mut index, &now(), &[wrong, good.clone(), good.clone()]).unwrap();
    assert_eq!(commit(&mut index, plan), [false, true, false]);
    assert_eq!(index.len(), 1, "the other message with the same id is still there");
    assert_eq!(plan::ack(&mut index, &now(), &[good]).unwrap().result, [false]);
}

#[test]
fn a_nack_keeps_the_attempts_the_token_and_the_reason() {
    let mut index = filled(&[r#"{"id":"a"}"#]);
    let first = take(&mut index, &now(), 1, 60);
    let plan = plan::nack(&mut index, &now(), &[receipt(&first[0])], Some("no \"session\""), Some(later(5).wall)).unwrap();
    assert_eq!(commit(&mut index, plan), [true]);
    assert_eq!(index.stats(&now()).delayed, 1);
    let set_back = Now { wall: later(5).wall, boot_ms: 1, ..now() };
    let second = take(&mut index, &set_back, 1, 60);
    assert_eq!(second[0].attempts, 2);
    assert!(receipt(&second[0]).token > receipt(&first[0]).token);
    assert_eq!(second[0].element.texts().error.as_deref(), Some("no \"session\""));
}

#[test]
fn extend_moves_the_deadline_and_detach_unties_the_consumer() {
    let mut index = filled(&[r#"{"id":"a"}"#]);
    let taken = take(&mut index, &now(), 1, 10);
    let plan = plan::extend(&mut index, &later(9), &[receipt(&taken[0])], Duration::from_secs(10)).unwrap();
    assert_eq!(commit(&mut index, plan), [true]);
    assert!(!index.has_ready(&later(18)));
    assert_eq!(index.consumers(&now()), [Arc::from("c")]);
    let plan = plan::detach(&mut index, &later(10), &[receipt(&taken[0])]).unwrap();
    commit(&mut index, plan);
    assert!(index.consumers(&now()).is_empty());
    assert!(!index.has_ready(&Now { dead: HashSet::from([Arc::from("c")]), ..later(10) }));
    assert!(index.has_ready(&later(19)));
}

#[test]
fn an_id_that_is_there_is_refused_or_with_dedup_sent_once() {
    let mut index = filled(&[r#"{"id":"a"}"#]);
    let with_id = |dedup| Outgoing { id: Some("a".into()), dedup, ..outgoing("1") };
    let both = [outgoing("2"), with_id(false)];
    assert_eq!(plan::send(&index, &both, now().wall).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let plan = plan::send(&index, &[with_id(true)], now().wall).unwrap();
    assert!(plan.changes.is_empty());
    assert_eq!(plan.result, ["a"]);
    let plan = plan::send(&index, &[outgoing(r#"{"id":"a"}"#)], now().wall).unwrap();
    assert_eq!(commit(&mut index, plan), ["a"]);
    assert_eq!(index.len(), 2, "a payload's own id is not checked");
}

#[test]
fn a_message_without_an_id_gets_one_when_it_is_received() {
    let mut index = Index::parse(b"[\"bare\", {\"message\": 1}]").unwrap();
    let taken = take(&mut index, &now(), 2, 60);
    assert_eq!(taken[0].id, "new");
    assert_eq!(taken[0].element.payload(), b"\"bare\"");
    assert_eq!(index.get("new", &now()).len(), 2);
}

#[test]
fn save_keeps_live_leases_by_message_and_refuses_what_is_no_envelope() {
    let mut index = filled(&[r#"{"id":"a"}"#, r#"{"id":"b"}"#]);
    let taken = take(&mut index, &now(), 1, 60);
    let dropped: Vec<Arc<[u8]>> = [r#"{"message":{"id":"b"}}"#, r#"{"message":{"id":"a"},"attempts":1}"#].map(|text| Arc::from(text.as_bytes())).into();
    let plan = plan::save(&mut index, &now(), dropped).unwrap();
    commit(&mut index, plan);
    assert_eq!(index.stats(&now()).leased, 1);
    assert_eq!(plan::ack(&mut index, &now(), &[receipt(&taken[0])]).unwrap().result, [true]);
    let wrong: Vec<Arc<[u8]>> = vec![Arc::from(br#"{"message":1,"attempts":"x"}"#.as_slice())];
    let error = plan::save(&mut index, &now(), wrong).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("element 0"), "{error}");
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    let payloads: Vec<String> = (0..25).map(|n| format!("{{\"id\":\"{n:02}\"}}")).collect();
    let mut index = filled(&payloads.iter().map(String::as_str).collect::<Vec<_>>());
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let (views, next) = index.list(Some(State::Ready), 10, cursor.as_deref(), &now()).unwrap();
        seen.extend(views.iter().map(|view| view.element.id().unwrap().to_string()));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..25).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    assert_eq!(index.list(None, 1, Some("nonsense"), &now()).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn the_samples_come_out_byte_for_byte_whatever_is_changed_beside_them() {
    for name in ["inbound", "outbound", "dead-letter"] {
        let path = format!("{}/tests/fixtures/mail-queues/{name}.json", env!("CARGO_MANIFEST_DIR"));
        #[expect(clippy::disallowed_methods, reason = "a test reads its fixture")]
        let bytes = std::fs::read(path).unwrap();
        let mut index = Index::parse(&bytes).unwrap();
        let before = index.array();
        assert!(before.len() >= 10);
        let taken = take(&mut index, &now(), 1, 60);
        let after = index.array();
        let changed: Vec<usize> = (0..before.len()).filter(|place| before[*place] != after[*place]).collect();
        assert_eq!(changed.len(), 1);
        let payload = taken[0].element.payload();
        assert!(before[changed[0]].windows(payload.len()).any(|window| window == payload));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send(u8, bool),
    Take(usize),
    Ack(usize),
    Nack(usize, bool),
    Remove(u8),
    Pass(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..6, any::<bool>()).prop_map(|(id, delayed)| Step::Send(id, delayed)),
        (1usize..4).prop_map(Step::Take),
        (0usize..9).prop_map(Step::Ack),
        (0usize..9, any::<bool>()).prop_map(|(place, delayed)| Step::Nack(place, delayed)),
        (0u8..6).prop_map(Step::Remove),
        (1u64..40).prop_map(Step::Pass),
        Just(Step::Reopen),
    ]
}

proptest! {
    /// The model keeps a list and looks at all of it each time.
    #[test]
    fn any_sequence_of_operations_does_what_a_naive_model_does(steps in proptest::collection::vec(step(), 1..60)) {
        #[derive(Clone)]
        struct Entry { id: String, attempts: u64, not_before: Option<Timestamp>, lease: Option<(String, u64)> }
        let (mut index, mut model, mut receipts) = (Index::empty(), Vec::<Entry>::new(), Vec::<Taken>::new());
        let (mut clock, mut sent) = (0, 0);
        for step in steps {
            let now = later(clock);
            let ready = |entry: &Entry| entry.lease.as_ref().is_none_or(|(_, until)| *until <= clock) && entry.not_before.is_none_or(|due| due <= now.wall);
            match step {
                Step::Send(id, delayed) => {
                    let not_before = delayed.then(|| later(clock + 10).wall);
                    let message = Outgoing { not_before, ..outgoing(&format!("{{\"id\":\"{id}\"}}")) };
                    sent += 1;
                    let plan = plan::send(&index, &[message], after(later(0).wall, Duration::from_nanos(sent))).unwrap();
                    commit(&mut index, plan);
                    model.push(Entry { id: id.to_string(), attempts: 0, not_before, lease: None });
                }
                Step::Take(max) => {
                    let taken = take(&mut index, &now, max, 20);
                    let mut expected = Vec::new();
                    for entry in model.iter_mut().filter(|entry| ready(entry)).take(max) {
                        entry.attempts += 1;
                        entry.not_before = None;
                        expected.push((entry.id.clone(), entry.attempts));
                        entry.lease = Some((taken.get(expected.len() - 1).map(|taken| taken.receipt.clone()).unwrap_or_default(), clock + 20));
                    }
                    prop_assert_eq!(taken.iter().map(|taken| (taken.id.clone(), taken.attempts)).collect::<Vec<_>>(), expected);
                    receipts.extend(taken);
                }
                Step::Ack(place) | Step::Nack(place, _) => {
                    let Some(taken) = receipts.get(place) else { continue };
                    let at = model.iter().position(|entry| entry.lease.as_ref().is_some_and(|(receipt, until)| *receipt == taken.receipt && *until > clock));
                    let receipt = receipt(taken);
                    let plan = match step {
                        Step::Nack(_, delayed) => {
                            let not_before = delayed.then(|| later(clock + 7).wall);
                            if let Some(at) = at {
                                model[at].lease = None;
                                model[at].not_before = not_before;
                            }
                            plan::nack(&mut index, &now, &[receipt], Some("x"), not_before)
                        }
                        _ => {
                            at.map(|at| model.remove(at));
                            plan::ack(&mut index, &now, &[receipt])
                        }
                    };
                    prop_assert_eq!(commit(&mut index, plan.unwrap()), [at.is_some()]);
                }
                Step::Remove(id) => {
                    let before = model.len();
                    model.retain(|entry| entry.id != id.to_string());
                    let plan = plan::remove(&index, &[&id.to_string()]).unwrap();
                    prop_assert_eq!(commit(&mut index, plan), (before - model.len()) as u64);
                }
                Step::Pass(seconds) => clock += seconds,
                Step::Reopen => index = Index::parse(&index.image(&[])).unwrap(),
            }
            let now = later(clock);
            let ready = |entry: &&Entry| entry.lease.as_ref().is_none_or(|(_, until)| *until <= clock) && entry.not_before.is_none_or(|due| due <= now.wall);
            let stats = index.stats(&now);
            prop_assert_eq!(stats.messages, model.len() as u64);
            prop_assert_eq!(stats.ready, model.iter().filter(ready).count() as u64);
            prop_assert_eq!(stats.ready + stats.delayed + stats.leased, stats.messages);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Index::parse(&bytes);
    }
}
