//! Any text as the name of a queue, a setting or an id: nothing leaves the directory.
#![no_main]

mod place;

use flockq::{Message, Spool, Sync};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (String, String, String)| {
    let (name, setting, value) = input;
    let directory = place::empty();
    let spool = Spool::builder(directory).sync(Sync::Off).open().unwrap();
    let _ = spool.set_config(&setting, &value);
    if let Ok(queue) = spool.queue(&name) {
        let _ = queue.send(Message::from_json("1").id(value.clone()));
        let _ = queue.remove(&[value]);
        let _ = queue.move_to(&setting, &flockq::Filter::new());
    }
    drop(spool);
    // Still there is what can be opened, and beside the spool there is nothing.
    Spool::open(directory).unwrap();
    let beside = std::fs::read_dir(directory.parent().unwrap()).unwrap();
    assert_eq!(beside.count(), 1);
});
