//! The rules of each decision; `model` has random sequences of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::plan::{self, Back, Finish, Grant, Meant, Mover, Outgoing, Received, Taken};
use super::state::State;
use super::{Index, Now, Plan};
use crate::ErrorKind;
use crate::config::{Config, Policy};
use crate::format::journal::Totals;
use crate::format::name::QueueName;
use crate::format::receipt::Receipt;
use crate::format::time::after;

const START: &str = "2026-02-03T09:00:00Z";

fn now() -> Now {
    Now {
        wall: START.parse().unwrap(),
        boot_ms: 1_000_000,
        boot_id: Arc::from("b"),
        dead: HashSet::new(),
    }
}

fn later(seconds: u64) -> Now {
    Now {
        wall: after(now().wall, Duration::from_secs(seconds)),
        boot_ms: now().boot_ms + seconds * 1000,
        ..now()
    }
}

fn commit<T>(index: &mut Index, plan: Plan<T>) -> T {
    let image = index.image(&plan.changes).unwrap();
    index.apply(&plan.changes, &[]);
    assert_eq!(
        index.image(&[]).unwrap(),
        image,
        "the image with changes is the image after them"
    );
    let read = Index::parse(&image).unwrap();
    assert_eq!(
        read.array().unwrap(),
        index.array().unwrap(),
        "what was written is what is read"
    );
    plan.result
}

fn fresh_id() -> String {
    "fresh".to_owned()
}

fn outgoing(payload: &str) -> Outgoing {
    Outgoing {
        payload: payload.into(),
        id: None,
        priority: None,
        not_before: None,
        expires: None,
        dedup: false,
    }
}

/// What holds where nothing is said, in a queue that holds nothing.
pub(super) fn unlimited() -> (Policy, Totals) {
    (Config::default().policy("inbound"), Totals::default())
}

/// A nack in a queue without a policy.
pub(super) fn nack(
    index: &mut Index,
    now: &Now,
    receipts: &[Receipt],
    error: Option<&str>,
    delay: Option<Duration>,
) -> crate::Result<Plan<Vec<bool>>> {
    let back = Back {
        error,
        delay,
        policy: &unlimited().0,
        mover: &Mover {
            own: &QueueName::parse("inbound").unwrap(),
            begin: &|_| fresh_id(),
        },
        is_usable: &|_| true,
        random: &|| 0,
    };
    plan::nack(index, now, receipts, &back)
}

fn send(index: &Index, messages: &[Outgoing]) -> crate::Result<Plan<Vec<String>>> {
    let (policy, totals) = unlimited();
    let times = (now().wall, now().wall);
    plan::send(index, messages, times, &fresh_id, (&policy, totals))
}

fn filled(payloads: &[&str]) -> Index {
    let mut index = Index::empty();
    let messages: Vec<Outgoing> = payloads.iter().map(|payload| outgoing(payload)).collect();
    let plan = send(&index, &messages).unwrap();
    commit(&mut index, plan);
    index
}

fn taking(index: &mut Index, now: &Now, max: usize, seconds: u64) -> Plan<Received> {
    let grant = Grant {
        lease: Some(Duration::from_secs(seconds)),
        consumer: Some(Arc::from("c")),
        random: &|| 5,
        fresh_id: &|| "new".into(),
    };
    plan::receive(index, now, max, &grant, &unlimited().0).unwrap()
}

fn take(index: &mut Index, now: &Now, max: usize, seconds: u64) -> Vec<Taken> {
    let plan = taking(index, now, max, seconds);
    commit(index, plan).taken
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
    let ids: Vec<String> = take(&mut index, &now(), 9, 60)
        .into_iter()
        .map(|taken| taken.id)
        .collect();
    assert_eq!(ids, ["a", "b", "c", "d", "low"]);
}

#[test]
fn a_lease_hides_a_message_until_its_deadline_its_consumers_death_or_a_reboot() {
    let ends: [Now; 3] = [
        later(60),
        Now {
            dead: HashSet::from([Arc::from("c")]),
            ..now()
        },
        Now {
            boot_id: Arc::from("b2"),
            boot_ms: 5,
            ..now()
        },
    ];
    for end in ends {
        let mut index = filled(&[r#"{"id":"a"}"#]);
        let first = take(&mut index, &now(), 1, 60);
        assert_eq!(first[0].attempts, 1);
        assert!(take(&mut index, &later(59), 1, 60).is_empty());
        let again = take(&mut index, &end, 1, 60);
        assert_eq!((again.len(), again[0].attempts), (1, 2), "{end:?}");
        assert!(receipt(&again[0]).token > receipt(&first[0]).token);
        assert_eq!(
            plan::ack(&mut index, &end, &[receipt(&first[0])], &unlimited().0)
                .unwrap()
                .result,
            [false],
            "the first receipt is stale"
        );
    }
}

#[test]
fn a_lease_of_another_boot_that_is_read_later_is_no_lease() {
    let mut index = filled(&[r#"{"id":"a"}"#]);
    take(&mut index, &now(), 1, 1_000_000);
    let image = index.image(&[]).unwrap();
    let rebooted = Now {
        boot_id: Arc::from("b2"),
        boot_ms: 5,
        ..now()
    };
    assert!(Index::parse(&image).unwrap().has_ready(&rebooted));
    assert!(!Index::parse(&image).unwrap().has_ready(&now()));
}

#[test]
fn due_times_follow_the_wall_clock_both_ways() {
    let mut index = Index::empty();
    let delayed = Outgoing {
        not_before: Some(later(10).wall),
        ..outgoing("1")
    };
    let plan = send(&index, &[delayed]).unwrap();
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
    let wrong = Receipt {
        random: 6,
        ..good.clone()
    };
    let plan = plan::ack(
        &mut index,
        &now(),
        &[wrong, good.clone(), good.clone()],
        &unlimited().0,
    )
    .unwrap();
    assert_eq!(commit(&mut index, plan), [false, true, false]);
    assert_eq!(
        index.len(),
        1,
        "the other message with the same id is still there"
    );
    assert_eq!(
        plan::ack(&mut index, &now(), &[good], &unlimited().0)
            .unwrap()
            .result,
        [false]
    );
}

#[test]
fn a_nack_keeps_the_attempts_the_token_and_the_reason() {
    let mut index = filled(&[r#"{"id":"a"}"#]);
    let first = take(&mut index, &now(), 1, 60);
    let plan = nack(
        &mut index,
        &now(),
        &[receipt(&first[0])],
        Some("no \"session\""),
        Some(Duration::from_secs(5)),
    )
    .unwrap();
    assert_eq!(commit(&mut index, plan), [true]);
    assert_eq!(index.stats(&now()).delayed, 1);
    let set_back = Now {
        wall: later(5).wall,
        boot_ms: 1,
        ..now()
    };
    let second = take(&mut index, &set_back, 1, 60);
    assert_eq!(second[0].attempts, 2);
    assert!(receipt(&second[0]).token > receipt(&first[0]).token);
    assert_eq!(
        second[0].element.texts().error.as_deref(),
        Some("no \"session\"")
    );
}

#[test]
fn extend_moves_the_deadline_and_detach_unties_the_consumer() {
    let mut index = filled(&[r#"{"id":"a"}"#]);
    let taken = take(&mut index, &now(), 1, 10);
    let plan = plan::extend(
        &mut index,
        &later(9),
        &[receipt(&taken[0])],
        Duration::from_secs(10),
    )
    .unwrap();
    assert_eq!(commit(&mut index, plan), [true]);
    assert!(!index.has_ready(&later(18)));
    assert_eq!(index.consumers(&now()), [Arc::from("c")]);
    let plan = plan::detach(&mut index, &later(10), &[receipt(&taken[0])]).unwrap();
    commit(&mut index, plan);
    assert!(index.consumers(&now()).is_empty());
    assert!(!index.has_ready(&Now {
        dead: HashSet::from([Arc::from("c")]),
        ..later(10)
    }));
    assert!(index.has_ready(&later(19)));
}

#[test]
fn an_id_that_is_there_is_refused_or_with_dedup_sent_once() {
    let mut index = filled(&[r#"{"id":"a"}"#]);
    let with_id = |dedup| Outgoing {
        id: Some("a".into()),
        dedup,
        ..outgoing("1")
    };
    let both = [outgoing("2"), with_id(false)];
    assert_eq!(
        send(&index, &both).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    let plan = send(&index, &[with_id(true)]).unwrap();
    assert!(plan.changes.is_empty());
    assert_eq!(plan.result, ["a"]);
    let plan = send(&index, &[outgoing(r#"{"id":"a"}"#)]).unwrap();
    assert_eq!(commit(&mut index, plan), ["a"]);
    assert_eq!(index.len(), 2, "a payload's own id is not checked");
}

#[test]
fn a_message_without_an_id_gets_one_when_it_is_received() {
    let mut index = Index::parse(b"[\"bare\", {\"message\": 1}]").unwrap();
    let taken = take(&mut index, &now(), 2, 60);
    assert_eq!(taken[0].id, "new");
    assert_eq!(taken[0].element.payload(), b"\"bare\"");
    assert_eq!(index.get("new", &now()).unwrap().len(), 2);
}

#[test]
fn save_keeps_live_leases_by_message_and_refuses_what_is_no_envelope() {
    let mut index = filled(&[r#"{"id":"a"}"#, r#"{"id":"b"}"#]);
    let taken = take(&mut index, &now(), 1, 60);
    let dropped: Vec<Arc<[u8]>> = [
        r#"{"message":{"id":"b"}}"#,
        r#"{"message":{"id":"a"},"attempts":1}"#,
    ]
    .map(|text| Arc::from(text.as_bytes()))
    .into();
    let plan = plan::save(&mut index, &now(), dropped).unwrap();
    commit(&mut index, plan);
    assert_eq!(index.stats(&now()).leased, 1);
    assert_eq!(
        plan::ack(&mut index, &now(), &[receipt(&taken[0])], &unlimited().0)
            .unwrap()
            .result,
        [true]
    );
    let wrong: Vec<Arc<[u8]>> = vec![Arc::from(br#"{"message":1,"attempts":"x"}"#.as_slice())];
    let error = plan::save(&mut index, &now(), wrong).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("element 0"), "{error}");
}

#[test]
fn whatever_is_read_can_be_received_and_read_again() {
    let deep = |levels: usize| format!("[{}{}]", "[".repeat(levels), "]".repeat(levels));
    let mut index = Index::parse(deep(126).as_bytes()).unwrap();
    assert_eq!(take(&mut index, &now(), 1, 60).len(), 1);
    // One more, and the envelope that a receive puts around it would make the file too deep.
    assert_eq!(Index::parse(deep(127).as_bytes()).unwrap_err().offset, 127);
}

#[test]
fn half_a_surrogate_pair_that_another_program_wrote_is_kept_and_is_no_damage() {
    let file = br#"[{"message":{"\ud800":"\ud800","id":"\udfff"},"\udc00":1},{"message":2}]"#;
    let mut index = Index::parse(file).unwrap();
    let taken = take(&mut index, &now(), 2, 60);
    assert_eq!(
        taken[0].id, "new",
        "an id that not every language can read is none"
    );
    assert_eq!(
        taken[0].element.payload(),
        br#"{"\ud800":"\ud800","id":"\udfff"}"#
    );
    assert!(
        taken[0]
            .element
            .text()
            .windows(10)
            .any(|text| text == br#""\udc00":1"#)
    );
}

#[test]
fn never_is_no_age_however_it_is_written() {
    let file = br#"[{"message":1,"queued_at":"0001-01-01T00:00:00+00:00"},{"message":2,"queued_at":"0001-01-01T00:00:00.000Z"}]"#;
    let mut index = Index::parse(file).unwrap();
    assert_eq!(index.stats(&now()).oldest_age, None);
    assert_eq!(
        index.peek(1, &now()).unwrap()[0].element.texts().queued_at,
        None
    );
}

#[test]
fn a_saved_array_takes_no_lease_away_whatever_it_says_of_older_ones() {
    let mut index = filled(&[r#"{"id":"a"}"#]);
    let first = take(&mut index, &now(), 1, 60);
    let leased_once = index.array().unwrap();
    let plan = nack(&mut index, &now(), &[receipt(&first[0])], None, None).unwrap();
    commit(&mut index, plan);
    let given_back = index.array().unwrap();
    let second = take(&mut index, &later(1), 1, 60);
    for old in [leased_once, given_back] {
        let plan = plan::save(&mut index, &later(2), old).unwrap();
        commit(&mut index, plan);
        assert_eq!(
            plan::ack(&mut index, &later(2), &[receipt(&first[0])], &unlimited().0)
                .unwrap()
                .result,
            [false]
        );
        assert_eq!(
            plan::ack(
                &mut index,
                &later(2),
                &[receipt(&second[0])],
                &unlimited().0
            )
            .unwrap()
            .result,
            [true]
        );
    }
}

#[test]
fn a_lease_that_a_saved_array_still_has_is_not_given_to_a_second_message_with_the_same_id() {
    let mut index = filled(&[r#"{"id":"a"}"#]);
    take(&mut index, &now(), 1, 60);
    let twin: Arc<[u8]> = Arc::from(br#"{"message":{"id":"a"}}"#.as_slice());
    let leased = index.array().unwrap().remove(0);
    for array in [
        vec![Arc::clone(&leased), Arc::clone(&twin)],
        vec![twin, leased],
    ] {
        let plan = plan::save(&mut index, &now(), array).unwrap();
        commit(&mut index, plan);
        let stats = index.stats(&now());
        assert_eq!((stats.leased, stats.ready), (1, 1));
    }
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    let payloads: Vec<String> = (0..25).map(|n| format!("{{\"id\":\"{n:02}\"}}")).collect();
    let mut index = filled(&payloads.iter().map(String::as_str).collect::<Vec<_>>());
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let (views, next) = index
            .list(Some(State::Ready), 10, cursor.as_deref(), &now())
            .unwrap();
        seen.extend(
            views
                .iter()
                .map(|view| view.element.id().unwrap().to_string()),
        );
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..25).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    for wrong in [
        "nonsense",
        "",
        "normal",
        "normal..x",
        "normal..1.2",
        "middle..1",
    ] {
        assert_eq!(
            index.list(None, 1, Some(wrong), &now()).unwrap_err().kind(),
            ErrorKind::InvalidArgument,
            "{wrong}"
        );
    }
}

#[test]
fn the_samples_come_out_byte_for_byte_whatever_is_changed_beside_them() {
    // Each borrow of a part of a large text costs Miri as much as the part is long.
    let names = ["dead-letter", "inbound", "outbound"];
    for name in &names[..if cfg!(miri) { 1 } else { 3 }] {
        let bytes = sample(name);
        let mut index = Index::parse(&bytes).unwrap();
        let before = index.array().unwrap();
        assert!(before.len() >= 10);
        let taken = take(&mut index, &now(), 1, 60);
        let after = index.array().unwrap();
        let changed: Vec<usize> = (0..before.len())
            .filter(|place| before[*place] != after[*place])
            .collect();
        assert_eq!(changed.len(), 1);
        let payload = taken[0].element.payload();
        assert!(memchr::memmem::find(&before[changed[0]], payload).is_some());
    }
}

/// Two queues between which so many messages are in a move whose copies are there.
fn halves(count: usize) -> (Index, Index) {
    let half = |way: &str, queue: &str| {
        let element = |number| {
            format!(r#"{{"message":{number},"move":{{"id":"move-{number}","{way}":"{queue}"}}}}"#)
        };
        let all: Vec<String> = (0..count).map(element).collect();
        Index::parse(format!("[{}]", all.join(",")).as_bytes()).unwrap()
    };
    (half("to", "outbound"), half("from", "inbound"))
}

/// What is left of the moves from the one to the other, as far as they are meant.
fn left(source: &Index, target: &Index, meant: &Meant<'_>) -> Finish {
    let name = |name| QueueName::parse(name).unwrap();
    let (own, other) = (name("inbound"), name("outbound"));
    let policy = unlimited().0;
    plan::finish((source, &own), (target, &other), (&policy, &now()), meant).unwrap()
}

const ALL: Meant<'_> = Meant {
    is: &|_| true,
    bytes: u64::MAX,
    back: &|_| None,
};

/// Somebody died in the middle of a large move. What is left is found under the locks of two queues.
#[test]
#[cfg_attr(miri, ignore = "speed")]
fn what_is_left_of_a_move_is_found_in_time_that_grows_with_its_length_and_not_with_its_square() {
    let time = |count: usize| {
        let (source, target) = halves(count);
        let once = || {
            let started = Instant::now();
            let here = left(&source, &target, &ALL);
            let there = left(&Index::empty(), &target, &ALL);
            let time = started.elapsed();
            assert!(here.arrive.is_empty() && here.arrived.is_empty());
            // Each is removed, and then arrives, and one change counts them.
            assert_eq!(here.leave.len(), count + 1);
            assert_eq!(there.arrived.len(), count + 1);
            time
        };
        (0..3).map(|_| once()).min().unwrap()
    };
    // The squares are a thousand times as far apart.
    let (short, long) = (time(1_000), time(32_000));
    assert!(long < 150 * short, "{short:?} {long:?}");
}

#[test]
fn a_move_that_is_ended_in_parts_gives_no_copy_out_before_its_message_has_left() {
    let (source, target) = halves(4);
    let one = Meant { bytes: 1, ..ALL };
    let appended = |finish: &Finish| finish.arrive.len();
    let first = left(&source, &Index::empty(), &one);
    assert_eq!(
        (appended(&first), first.leave.len(), first.more),
        (1, 2, true)
    );
    let first = left(&source, &target, &one);
    assert_eq!(
        (appended(&first), first.leave.len(), first.more),
        (0, 2, true)
    );
    assert!(first.arrived.is_empty());
    // Those that one call has begun are brought on, and the others are left alone.
    let is = |id: &str| id == "move-2";
    let begun = Meant { is: &is, ..ALL };
    let own = left(&source, &target, &begun);
    assert_eq!((own.leave.len(), own.more), (2, false));
    let mut source = source;
    source.apply(&own.leave, &[]);
    let own = left(&source, &target, &begun);
    assert_eq!((own.leave.len(), own.arrived.len()), (0, 2));
}

/// Ids may repeat, and a payload's own `id` may be a sensor's.
#[test]
#[cfg_attr(miri, ignore = "speed")]
fn a_message_is_settled_in_the_same_time_however_many_have_its_id() {
    let time = |count: usize| {
        let mut index = filled(&vec![r#"{"id":"sensor-7"}"#; count]);
        let started = Instant::now();
        for _ in 0..500 {
            let plan = taking(&mut index, &now(), 1, 60);
            index.apply(&plan.changes, &[]);
            let receipts = [receipt(&plan.result.taken[0])];
            let plan = plan::ack(&mut index, &now(), &receipts, &unlimited().0);
            let plan = plan.unwrap();
            assert_eq!(plan.result, [true]);
            index.apply(&plan.changes, &[]);
        }
        started.elapsed()
    };
    let (few, many) = (time(1_000), time(64_000));
    assert!(many < 10 * few, "{few:?} {many:?}");
}

/// A sample file, as existing programs wrote it.
fn sample(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/tests/fixtures/mail-queues/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    #[expect(clippy::disallowed_methods, reason = "a test reads its fixture")]
    std::fs::read(path).unwrap()
}

#[test]
fn a_file_that_was_cut_off_is_damage_wherever_the_cut_is() {
    let bytes = sample("outbound");
    let end = bytes.iter().rposition(|byte| *byte == b']').unwrap();
    let step = if cfg!(miri) { 997 } else { 37 };
    for cut in (0..end).step_by(step).chain([end]) {
        let damage = Index::parse(&bytes[..cut]).unwrap_err();
        assert!(damage.offset <= cut as u64, "{cut}: {damage:?}");
    }
}

proptest! {
    /// INV-4 and INV-5, on files that are nearly right.
    #[test]
    fn a_file_with_wrong_bytes_is_damage_or_can_be_used_and_read_again(
        wrong in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), proptest::sample::select(&b"[]{},:\"\\0 -e.nu"[..])], 0u8..3), 1..4),
    ) {
        let mut bytes = br#"[{"message":{"id":"a","priority":"high"},"attempts":1,"last_attempt":"2026-02-03T09:00:00Z","queued_at":"2026-02-03T09:00:00.5-08:00","lease":{"token":7}}, "\u00e9\n", {"message":[1e-7,{}],"error":null}]"#.to_vec();
        for (place, byte, how) in wrong {
            let place = place.index(bytes.len());
            match how {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => drop(bytes.remove(place)),
            }
        }
        let Ok(mut index) = Index::parse(&bytes) else { return Ok(()) };
        prop_assert!(serde_json::from_slice::<Option<Vec<&serde_json::value::RawValue>>>(&bytes).is_ok());
        let before = index.array().unwrap();
        let taken = take(&mut index, &now(), 1, 60);
        let changed = before.iter().zip(index.array().unwrap()).filter(|(before, after)| *before != after).count();
        prop_assert_eq!(changed, taken.len());
        let receipts: Vec<Receipt> = taken.iter().map(receipt).collect();
        let plan = nack(&mut index, &now(), &receipts, Some("why"), None).unwrap();
        commit(&mut index, plan);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Index::parse(&bytes);
    }
}
