//! Any bytes as the files of a queue, or as the configuration: each operation works or says what is wrong, and a repair makes
//! a sound queue of what is left.
#![no_main]

mod place;

use arbitrary::Arbitrary;
use flockq::{ErrorKind, List, Message, Receive, Spool, Sync};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Files<'a> {
    snapshot: Option<&'a [u8]>,
    journal: Option<&'a [u8]>,
    config: Option<&'a [u8]>,
}

fuzz_target!(|files: Files<'_>| {
    let directory = place::empty();
    for (name, bytes) in [
        ("q.json", files.snapshot),
        ("q.json.journal", files.journal),
        ("flockq.json", files.config),
    ] {
        if let Some(bytes) = bytes {
            std::fs::write(directory.join(name), bytes).unwrap();
        }
    }
    let Ok(spool) = Spool::builder(directory).sync(Sync::Off).open() else {
        return;
    };
    let _ = spool.config();
    let queue = spool.queue("q").unwrap();
    let sound = queue.check().is_ok_and(|report| report.is_sound());
    let looked = queue.list(&List::new());
    let _ = (queue.stats(), queue.load());
    match &looked {
        Ok(_) => {
            let before = queue.len();
            let sent = queue.send(Message::from_json("1").id("sent")).is_ok();
            let taken = queue.receive_many(100, Receive::new()).unwrap_or_default();
            for delivery in taken {
                let _ = delivery.ack();
            }
            let _ = (queue.pop(), queue.checkpoint());
            if sound && sent {
                assert!(queue.check().unwrap().is_sound());
                assert!(queue.len().unwrap() <= before.unwrap() + 1);
            }
        }
        Err(error) => {
            assert!(!sound || error.kind() != ErrorKind::Corrupt, "{error}");
            assert!(!error.to_string().contains('\n'));
        }
    }
    if queue.repair().is_ok() {
        assert!(queue.check().unwrap().is_sound());
        queue.send(Message::from_json("2")).unwrap();
    }
    let _ = spool.doctor();
});
