//! The file of a plain queue. If it can be read, it becomes a journalled queue and a plain one again, and every element has
//! its bytes.

use std::fs;

use flockq::Mode;

use super::{place, use_up};

pub fn run(input: &[u8]) {
    let spool = place::empty();
    fs::write(spool.join("q.json"), input).unwrap();
    use_up::run(&spool);
    // A move that has not ended goes on when somebody comes by.
    if use_up::holds(input, b"\"move\"") {
        return;
    }

    let spool = place::empty();
    fs::write(spool.join("q.json"), input).unwrap();
    let queue = use_up::open(&spool).unwrap();
    let Ok(texts) = use_up::texts(&queue) else {
        assert!(queue.convert(Mode::Journal).is_err());
        assert_eq!(fs::read(spool.join("q.json")).unwrap(), input);
        return;
    };
    for mode in [Mode::Journal, Mode::Plain] {
        queue.convert(mode).unwrap();
        assert_eq!(queue.mode().unwrap(), mode);
        assert!(queue.check().unwrap().is_sound());
        assert_eq!(use_up::texts(&queue).unwrap(), texts);
    }
}
