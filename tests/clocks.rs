//! Clocks that jump: leases do not see it, due times follow it. Each language with libfaketime, which shows the process another
//! wall clock; the clock that counts from the boot stays as it is.

#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Driver;

/// A driver whose wall clock is ahead or behind by what the file says, now and later.
struct Shifted {
    driver: Driver,
    file: PathBuf,
}

impl Shifted {
    fn open(language: &'static str, spool: &Path, by: &str, library: &str) -> Self {
        let file = spool.with_extension(format!("{language}.time"));
        std::fs::write(&file, by).unwrap();
        let environment = support::shifted(library, &file);
        let mut driver = Driver::start_in(language, &environment);
        driver.ok(&json!({"op": "open", "dir": spool, "sync": "off"}));
        Self { driver, file }
    }

    fn shift(&self, by: &str) {
        std::fs::write(&self.file, by).unwrap();
    }

    fn receive(&mut self, lease_ms: u64) -> Value {
        self.driver.ok(
            &json!({"op": "receive", "queue": "inbound", "lease_ms": lease_ms, "detached": true}),
        )
    }

    fn send(&mut self, more: &Value) {
        let mut request = json!({"op": "send", "queue": "inbound"});
        for (name, value) in more.as_object().unwrap() {
            request[name] = value.clone();
        }
        self.driver.ok(&request);
    }
}

impl Drop for Shifted {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// For each language and mode: a process whose clock is right, and one of that language whose clock can be set.
fn each(run: impl Fn(&mut Driver, &mut Shifted)) {
    let Some(library) = support::faketime() else {
        return;
    };
    for mode in support::MODES {
        for language in support::languages() {
            let directory = support::spool(mode);
            let mut right = Driver::open("rust", directory.path(), "off");
            let mut shifted = Shifted::open(language, directory.path(), "+0", &library);
            run(&mut right, &mut shifted);
        }
    }
}

#[test]
fn a_lease_ends_neither_early_nor_late_when_the_wall_clock_jumps() {
    each(|right, shifted| {
        let language = shifted.driver.language;
        shifted.send(&json!({"payload": "1"}));
        let taken = shifted.receive(3_600_000);
        assert_eq!(taken["attempts"], 1, "{language}: {taken}");
        for by in ["+10y", "-10y"] {
            shifted.shift(by);
            assert_eq!(shifted.receive(1000), Value::Null, "{language} {by}");
            let receipts = json!([taken["receipt"]]);
            let extend =
                json!({"op": "extend", "queue": "inbound", "receipts": receipts, "lease_ms": 1500});
            assert_eq!(shifted.driver.ok(&extend), json!([null]), "{language} {by}");
            let took = right.ok(&json!({"op": "receive", "queue": "inbound"}));
            assert_eq!(took, Value::Null, "{language} {by}");
        }
        // It was extended ten years ago by this clock, and ends after 1.5 s all the same.
        sleep(Duration::from_millis(1600));
        let again = shifted.receive(60_000);
        assert_eq!(
            (&again["id"], &again["attempts"]),
            (&taken["id"], &json!(2)),
            "{language}"
        );
        // The clock stands ten years before the first delivery: the token has grown, and the old receipt is stale.
        let ack = |delivery: &Value| json!({"op": "ack", "queue": "inbound", "receipts": [delivery["receipt"]]});
        assert_eq!(
            right.ok(&ack(&taken)),
            json!(["StaleReceipt"]),
            "{language}"
        );
        assert_eq!(right.ok(&ack(&again)), json!([null]), "{language}");
    });
}

#[test]
fn due_times_and_times_to_live_follow_the_wall_clock() {
    each(|_, shifted| {
        let language = shifted.driver.language;
        shifted.send(&json!({"payload": "1", "delay_ms": 3_600_000}));
        assert_eq!(shifted.receive(1000), Value::Null);
        shifted.shift("+2h");
        let due = shifted.receive(60_000);
        assert_eq!(due["payload"], "1", "{language}");
        shifted
            .driver
            .ok(&json!({"op": "ack", "queue": "inbound", "receipts": [due["receipt"]]}));
        shifted.send(&json!({"payload": "2", "ttl_ms": 3_600_000}));
        shifted.shift("+4h");
        assert_eq!(shifted.receive(1000), Value::Null, "{language}");
        let stats = shifted
            .driver
            .ok(&json!({"op": "stats", "queue": "inbound"}));
        assert_eq!(
            (&stats["messages"], &stats["counters"]["expired"]),
            (&json!(0), &json!(1)),
            "{language}"
        );
    });
}

#[test]
fn a_waiting_receiver_sees_that_the_clock_was_set_forward() {
    each(|_, shifted| {
        shifted.send(&json!({"payload": "1", "delay_ms": 3_600_000}));
        shifted
            .driver
            .request(&json!({"op": "receive", "queue": "inbound", "wait_ms": 20_000}));
        sleep(Duration::from_millis(100));
        shifted.shift("+2h");
        let shifted_at = Instant::now();
        let reply = shifted.driver.reply().expect("a reply");
        // Not only when it ends to wait.
        assert!(shifted_at.elapsed() < Duration::from_secs(10));
        assert_eq!(
            reply["ok"]["payload"], "1",
            "{}: {reply}",
            shifted.driver.language
        );
    });
}

#[test]
fn a_clock_that_is_set_back_reorders_nothing_that_one_process_sends() {
    each(|right, shifted| {
        let language = shifted.driver.language;
        for (number, by) in ["+0", "-1h", "-2h", "+1h"].into_iter().enumerate() {
            shifted.shift(by);
            shifted.send(&json!({"payload": number.to_string()}));
        }
        let order: Vec<Value> = (0..4)
            .map(|_| right.ok(&json!({"op": "pop", "queue": "inbound"}))["payload"].take())
            .collect();
        assert_eq!(order, ["0", "1", "2", "3"], "{language}");
    });
}
