//! What an operation asks of the system, when nobody waits and nothing else happened.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

/// The system calls between reading each request and writing its reply.
fn calls(mode: &str, requests: &[serde_json::Value]) -> Option<Vec<Vec<String>>> {
    let directory = support::spool(mode);
    let log = directory.path().join("strace.log");
    let mut driver = Command::new("strace")
        .arg("-o")
        .arg(&log)
        // Built by the same command as this test.
        .arg(support::program("rust").unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = driver.stdin.take().unwrap();
    let open = json!({"op": "open", "dir": directory.path(), "sync": "off"});
    for request in std::iter::once(&open).chain(requests) {
        writeln!(input, "{request}").unwrap();
    }
    drop(input);
    let replies = String::from_utf8(driver.wait_with_output().unwrap().stdout).unwrap();
    assert!(!replies.contains("\"error\""), "{replies}");
    let log = support::read(&log);
    let mut operations = vec![Vec::new()];
    for call in log.lines() {
        if call.starts_with("write(1,") {
            operations.push(Vec::new());
        } else if !call.starts_with("read(0,") {
            operations.last_mut().unwrap().push(call.to_owned());
        }
    }
    // The last one is the end of the process; the first one its beginning.
    operations.pop();
    Some(operations.split_off(1))
}

#[test]
fn a_send_a_receive_and_an_ack_are_six_system_calls_each() {
    let send = json!({"op": "send", "queue": "inbound", "payload": "{\"to\":\"deacon/\"}"});
    let receive = json!({"op": "receive", "queue": "inbound", "lease_ms": 60_000});
    let pop = json!({"op": "pop", "queue": "inbound"});
    let requests = [
        &send, &send, &send, &send, &receive, &receive, &pop, &send, &receive, &pop,
    ];
    let requests: Vec<_> = requests.into_iter().cloned().collect();
    // Once a second the use of the lock is written down; in one of three rounds at least it is not just then.
    let mut more = Vec::new();
    for _ in 0..3 {
        let Some(operations) = calls("journal", &requests) else {
            support::left_out("strace is missing (apt-get install strace)");
            return;
        };
        assert_eq!(operations.len(), requests.len());
        // The first send makes the files, the first receive the consumer's.
        let usual = operations.into_iter().enumerate();
        let usual: Vec<_> = usual.filter(|(place, _)| ![0, 4].contains(place)).collect();
        let writes = |call: &String| call.starts_with("pwrite64(");
        assert!(usual.iter().all(|(_, calls)| calls.iter().any(writes)));
        more = usual;
        more.retain(|(_, calls)| calls.len() > 6);
        if more.is_empty() {
            return;
        }
    }
    panic!("{more:#?}");
}
