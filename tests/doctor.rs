//! What the doctor says of a directory, and that its commands mend it.

#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use flockq::{Advice, Filter, Message, Nack, Queue, Receive, Severity, Spool};
use serde_json::json;

fn advice(directory: &Path) -> Vec<Advice> {
    Spool::open(directory).unwrap().doctor().unwrap()
}

fn inbound(directory: &Path) -> Queue {
    let spool = Spool::open(directory).unwrap();
    spool.queue("inbound").unwrap()
}

/// The only piece of advice.
fn only(directory: &Path) -> Advice {
    let mut all = advice(directory);
    assert_eq!(all.len(), 1, "{all:#?}");
    let one = all.pop().unwrap();
    assert!(!one.text.contains('\n') && one.text.len() < 600, "{one:?}");
    one
}

/// Runs the command that the advice names, in the directory.
fn follow(directory: &Path, advice: &Advice) {
    let beside = Path::new(env!("CARGO_BIN_EXE_flockq")).parent().unwrap();
    let command = advice.command.as_deref().unwrap();
    let done = Command::new("sh")
        .args(["-c", command])
        .current_dir(directory)
        .env(
            "PATH",
            format!("{}:{}", beside.display(), std::env::var("PATH").unwrap()),
        )
        .output()
        .unwrap();
    assert!(done.status.success(), "{command}: {done:?}");
}

#[test]
fn a_sound_directory_has_nothing_to_be_told() {
    for mode in support::MODES {
        let directory = support::spool(mode);
        let queue = inbound(directory.path());
        queue.send(&json!(1)).unwrap();
        let delivery = queue.receive(Receive::new()).unwrap().unwrap();
        assert_eq!(advice(directory.path()), []);
        delivery.ack().unwrap();
    }
}

#[test]
fn a_lock_file_that_somebody_removes_is_noticed() {
    let directory = support::spool("plain");
    let queue = inbound(directory.path());
    queue.send(&json!(1)).unwrap();
    fs::remove_file(directory.path().join(".gastown/locks/inbound.json.lock")).unwrap();
    queue.send(&json!(2)).unwrap();
    assert_eq!(queue.stats().unwrap().lock.replaced, 1);
    let told = only(directory.path());
    assert_eq!(told.severity, Severity::Risk);
    assert!(told.text.contains("removed the lock file"), "{told:?}");
    // Other processes learn of it when the handle closes.
    queue.close().unwrap();
    let other = inbound(directory.path());
    assert_eq!(other.stats().unwrap().lock.replaced, 1);
}

#[test]
fn writes_of_other_programs_are_counted_in_both_modes() {
    let directory = support::spool("plain");
    let file = directory.path().join("inbound.json");
    let queue = inbound(directory.path());
    queue.send(&json!(1)).unwrap();
    assert_eq!(queue.stats().unwrap().foreign_writes, 0);
    fs::write(&file, "[{\"message\":7}]").unwrap();
    assert_eq!(queue.stats().unwrap().foreign_writes, 1);
    queue.send(&json!(2)).unwrap();
    assert_eq!(queue.stats().unwrap().foreign_writes, 1);
    let told = only(directory.path());
    assert_eq!(told.severity, Severity::Note);
    assert!(told.text.contains("1 time(s)"), "{told:?}");

    let directory = support::spool("journal");
    let file = directory.path().join("inbound.json");
    let queue = inbound(directory.path());
    queue.send(&json!(1)).unwrap();
    let other = directory.path().join("other");
    fs::write(&other, "[{\"message\":7}]").unwrap();
    fs::rename(&other, &file).unwrap();
    queue.close().unwrap();
    let told = advice(directory.path());
    assert_eq!(told[0].severity, Severity::Risk);
    follow(directory.path(), &told[0]);
    let queue = inbound(directory.path());
    assert_eq!(queue.mode().unwrap().name(), "plain");
    assert_eq!(queue.len().unwrap(), 2);
}

#[test]
fn messages_that_fail_for_ever_get_a_dead_letter_queue() {
    let directory = support::spool("journal");
    let queue = inbound(directory.path());
    queue.send(&json!(1)).unwrap();
    for _ in 0..5 {
        let delivery = queue.receive(Receive::new()).unwrap().unwrap();
        delivery.nack(&Nack::new().error("no\nsession")).unwrap();
    }
    let told = only(directory.path());
    assert_eq!(told.severity, Severity::Risk);
    assert!(
        told.text
            .contains("1 message(s) have been delivered 5 times"),
        "{told:?}"
    );
    assert!(told.text.contains("no session"), "{told:?}");
    follow(directory.path(), &told);
    assert!(queue.receive(Receive::new()).unwrap().is_none());
    let told = only(directory.path());
    assert_eq!(
        (told.severity, told.about.as_str()),
        (Severity::Note, "dead-letter")
    );
    follow(directory.path(), &told);
}

#[test]
fn what_is_damaged_is_repaired_by_the_command() {
    let directory = support::spool("plain");
    let queue = inbound(directory.path());
    queue.send_many(&[json!(1), json!(2)]).unwrap();
    let file = directory.path().join("inbound.json");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 5]).unwrap();
    let told = only(directory.path());
    assert_eq!(told.severity, Severity::Problem);
    let command = told.command.clone().unwrap();
    assert_eq!(command, "flockq repair inbound");
    // Exit code 1: a part of a message could not be saved.
    let done = Command::new(env!("CARGO_BIN_EXE_flockq"))
        .args([
            "--dir",
            directory.path().to_str().unwrap(),
            "repair",
            "inbound",
        ])
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let told = advice(directory.path());
    assert_eq!(told[0].about, "inbound.json.damaged-1", "{told:?}");
    follow(directory.path(), &told[0]);
    // Whoever cut the file off was another program.
    assert!(
        only(directory.path())
            .text
            .contains("have written the file 1 time(s)")
    );
}

/// The journal has its second name, and nothing is in its place yet.
#[test]
fn a_repair_that_was_cut_short_is_begun_anew() {
    let directory = support::spool("journal");
    let queue = inbound(directory.path());
    queue.send_many(&[json!(1), json!(2)]).unwrap();
    drop(queue);
    let journal = directory.path().join("inbound.json.journal");
    fs::hard_link(
        &journal,
        directory.path().join("inbound.json.journal.damaged-1"),
    )
    .unwrap();
    let queue = inbound(directory.path());
    let refused = queue.send(&json!(3)).unwrap_err().to_string();
    assert!(refused.contains("second name"), "{refused}");
    let found = queue.check().unwrap().damage;
    assert!(found[0].rule.contains("second name"), "{found:?}");
    assert_eq!(queue.repair().unwrap().messages, 2);
    assert!(queue.check().unwrap().is_sound());
    queue.send(&json!(3)).unwrap();
    assert_eq!(queue.stats().unwrap().ready, 3);
}

#[test]
fn what_a_program_left_behind_and_settings_that_do_nothing_are_noted() {
    let directory = support::spool("journal");
    let left = directory.path().join(".inbound.json.x1y2.tmp");
    fs::write(&left, "half").unwrap();
    let old = Command::new("touch")
        .args(["-d", "1 hour ago"])
        .arg(&left)
        .status();
    assert!(old.unwrap().success());
    let told = only(directory.path());
    assert!(told.text.contains("temporary"), "{told:?}");
    follow(directory.path(), &told);
    assert!(!left.exists());
    let config = directory.path().join("flockq.json");
    fs::write(
        &config,
        r#"{"version":1,"queues":{"inbound":{"attemps":3}}}"#,
    )
    .unwrap();
    let told = only(directory.path());
    assert!(told.text.contains("inbound.attemps"), "{told:?}");
    fs::write(&config, r#"{"version":1,"defaults":{"attempts":3}}"#).unwrap();
    let told = only(directory.path());
    assert!(told.text.contains("does not know defaults"), "{told:?}");
}

#[test]
fn messages_that_wait_for_a_queue_that_does_not_look_there_any_more_are_told() {
    let directory = support::spool("journal");
    Spool::mail(directory.path()).unwrap();
    let queue = inbound(directory.path());
    queue.send(&json!({"id": "m1"})).unwrap();
    let delivery = queue.receive(Receive::new()).unwrap().unwrap();
    delivery.nack(&Nack::new().error("no session")).unwrap();
    assert_eq!(advice(directory.path()), []);
    let spool = Spool::open(directory.path()).unwrap();
    spool.set_config("inbound.retry_queue", "null").unwrap();
    let told = only(directory.path());
    assert_eq!(
        (told.severity, told.about.as_str()),
        (Severity::Risk, "outbound")
    );
    assert!(told.text.contains("1 message(s) wait here"), "{told:?}");
    follow(directory.path(), &told);
    spool
        .queue("outbound")
        .unwrap()
        .redrive(&Filter::new(), false)
        .unwrap();
    assert_eq!(queue.receive(Receive::new()).unwrap().unwrap().id(), "m1");
}

#[test]
fn a_queue_that_is_called_like_a_temporary_file_is_none() {
    let directory = support::spool("journal");
    let spool = Spool::open(directory.path()).unwrap();
    spool.queue("orders.tmp2").unwrap().send(&json!(1)).unwrap();
    for file in ["orders.tmp2.json", "orders.tmp2.json.journal"] {
        let old = Command::new("touch")
            .args(["-d", "1 hour ago"])
            .arg(directory.path().join(file))
            .status();
        assert!(old.unwrap().success());
    }
    assert_eq!(advice(directory.path()), []);
}

#[test]
fn a_message_of_the_future_tells_that_the_clock_was_set_back() {
    let directory = support::spool("plain");
    let text = r#"[{"message":1,"queued_at":"2199-01-01T00:00:00Z"}]"#;
    fs::write(directory.path().join("inbound.json"), text).unwrap();
    let told = only(directory.path());
    assert_eq!(told.severity, Severity::Risk);
    assert!(told.text.contains("future"), "{told:?}");
}

#[test]
fn permissions_that_lock_the_group_out_or_let_everybody_in_are_told() {
    let directory = support::spool("journal");
    let path = directory.path();
    let queue = inbound(path);
    let set = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    queue.send(&json!(1)).unwrap();
    set(path, 0o2770);
    // What was made before is for its owner alone.
    let told = advice(path);
    assert!(!told.is_empty());
    for one in &told {
        assert_eq!(one.severity, Severity::Risk);
        follow(path, one);
    }
    assert_eq!(advice(path), []);
    set(path, 0o777);
    let told = only(path);
    assert!(told.text.contains("everybody"), "{told:?}");
    follow(path, &told);
    assert_eq!(advice(path), []);
}

#[test]
fn files_are_made_with_the_permissions_that_are_configured() {
    for mode in support::MODES {
        let directory = support::spool(mode);
        let spool = Spool::open(directory.path()).unwrap();
        spool.set_config("default.file_mode", "0640").unwrap();
        spool.set_config("inbound.file_mode", "0600").unwrap();
        for (name, expected) in [("inbound", 0o600), ("outbound", 0o640)] {
            let queue = spool.queue(name).unwrap();
            queue.send(Message::new(&json!(1))).unwrap();
            for file in [format!("{name}.json"), format!("{name}.json.journal")] {
                let Ok(found) = fs::metadata(directory.path().join(&file)) else {
                    assert_eq!(mode, "plain");
                    continue;
                };
                assert_eq!(
                    found.permissions().mode() & 0o777,
                    expected,
                    "{mode} {file}"
                );
            }
        }
        for wrong in ["640x", "0777", "0440", "8", "rw"] {
            let refused = spool.set_config("inbound.file_mode", wrong).unwrap_err();
            assert!(
                refused.to_string().contains("inbound.file_mode"),
                "{refused}"
            );
        }
    }
}

#[test]
fn a_command_holds_no_more_than_was_meant_whatever_a_path_is_called() {
    let directory = tempfile::tempdir().unwrap();
    let config =
        json!({"version": 1, "lock_dir": "locks; touch planted", "default": {"mode": "plain"}});
    fs::write(directory.path().join("flockq.json"), config.to_string()).unwrap();
    let queue = inbound(directory.path());
    queue.send(&json!(1)).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o770)).unwrap();
    let old = "it's old $(touch planted).tmp";
    let left = directory.path().join(old);
    fs::write(&left, "half").unwrap();
    let touched = Command::new("touch")
        .args(["-d", "1 hour ago"])
        .arg(&left)
        .status();
    assert!(touched.unwrap().success());
    // A name with a line break has no command: it could only be shown as another one.
    let broken = directory.path().join("broken\n.tmp");
    fs::write(&broken, "half").unwrap();
    let touched = Command::new("touch")
        .args(["-d", "1 hour ago"])
        .arg(&broken)
        .status();
    assert!(touched.unwrap().success());
    let told = advice(directory.path());
    assert!(
        told.iter()
            .any(|one| one.command.is_none() && one.about.contains("broken"))
    );
    for one in told.iter().filter(|one| one.command.is_some()) {
        follow(directory.path(), one);
    }
    assert!(!left.exists() && broken.exists());
    assert!(!directory.path().join("planted").exists());
    fs::remove_file(broken).unwrap();
    assert_eq!(advice(directory.path()), []);
}

#[test]
fn counts_that_are_nonsense_are_wrong_and_harm_nothing() {
    let most = u64::MAX;
    for mode in support::MODES {
        let directory = support::spool(mode);
        let counters = directory.path().join(".gastown/counters/inbound.json");
        let queue = inbound(directory.path());
        queue.send(&json!(1)).unwrap();
        let all_most = json!({
            "counters": {"sent": most}, "foreign_writes": most, "written": {"inode": 1, "modified": 1},
            "lock": {"acquired": most, "contended": most, "timed_out": most, "replaced": most, "wait_us": most,
                "wait_max_us": most, "waits": [most, most, most, most, most, most, most, most]},
        });
        fs::write(&counters, all_most.to_string()).unwrap();
        assert_eq!(queue.stats().unwrap().lock.timed_out, most);
        let spool = Spool::open(directory.path()).unwrap();
        assert!(
            spool
                .metrics()
                .unwrap()
                .contains("flockq_lock_wait_seconds_count")
        );
        spool.doctor().unwrap();
        queue.send(&json!(2)).unwrap();
        queue.close().unwrap();
        for text in ["{", "[]", "", "{\"lock\":{\"waits\":[1]}}"] {
            fs::write(&counters, text).unwrap();
            let queue = inbound(directory.path());
            queue.send(&json!(3)).unwrap();
            assert_eq!(queue.stats().unwrap().lock.timed_out, 0, "{text}");
        }
    }
}
