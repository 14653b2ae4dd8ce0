//! The configuration: the bytes of `flockq.json`, and behind each zero byte a setting that is made: `NAME=VALUE`. What is
//! refused changes nothing; what is taken can be read again; what was not named stays.

use std::fs;

use flockq::{Message, Receive, Spool, Sync};
use serde_json::{Map, Value};

use super::place::{self, files};
use super::use_up::told;

fn object(file: Option<&Vec<u8>>) -> Map<String, Value> {
    file.map(|text| serde_json::from_slice(text).unwrap())
        .unwrap_or_default()
}

pub fn run(input: &[u8]) {
    let mut parts = input.split(|byte| *byte == 0);
    let file = parts.next().unwrap_or_default();
    let spool_directory = place::empty();
    fs::write(spool_directory.join("flockq.json"), file).unwrap();
    let before = files(&spool_directory);
    let open = || Spool::builder(&spool_directory).sync(Sync::Off).open();
    let Ok(spool) = open().inspect_err(told) else {
        assert_eq!(files(&spool_directory), before);
        return;
    };
    let _ = spool.config().inspect_err(told);
    assert_eq!(files(&spool_directory), before, "who looks changes nothing");
    for part in parts.take(8) {
        let text = String::from_utf8_lossy(part);
        let Some((setting, value)) = text.split_once('=') else {
            continue;
        };
        let before = files(&spool_directory);
        let made = spool.set_config(setting, value).inspect_err(told);
        let after = files(&spool_directory);
        if made.is_err() {
            assert_eq!(after, before, "{setting}: what is refused changes nothing");
            continue;
        }
        let shown = spool.config().unwrap();
        serde_json::from_str::<Value>(&shown).unwrap();
        let (old, new) = (
            object(before.get("flockq.json")),
            object(after.get("flockq.json")),
        );
        for (key, value) in &old {
            let may_differ = key == "queues" || key == "default";
            assert!(
                may_differ || new.get(key) == Some(value),
                "{setting}: {key}"
            );
        }
        drop(open().unwrap());
    }
    // Whatever holds by now is obeyed or says why not.
    if let Ok(queue) = spool.queue("q").inspect_err(told) {
        let _ = queue.send(Message::from_json("1")).inspect_err(told);
        if let Ok(Some(delivery)) = queue.receive(Receive::new().detached()).inspect_err(told) {
            let _ = delivery
                .nack(&flockq::Nack::new().error("failed"))
                .inspect_err(told);
        }
    }
    drop(spool);
    drop(open().unwrap());
}
