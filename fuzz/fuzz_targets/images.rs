//! The files of a queue as a crash may leave them: a sound queue of which parts are cut off, zeroed, flipped or exchanged. What
//! is read is damage, or no more than what was ever sent; what is behind the part that was touched is not lost silently.
#![no_main]

mod place;

use arbitrary::Arbitrary;
use flockq::{ErrorKind, List, Message, Receive, Spool, Sync};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Act {
    Send(u8),
    Receive,
    Ack,
    Pop,
    Checkpoint,
}

#[derive(Arbitrary, Debug)]
enum Damage {
    Cut(u16),
    Zero(u16, u8),
    Flip(u16, u8),
    Append(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
struct Image {
    acts: Vec<Act>,
    of_journal: bool,
    damage: Vec<Damage>,
}

fuzz_target!(|image: Image| {
    if image.acts.len() > 40 || image.damage.len() > 4 {
        return;
    }
    let directory = place::empty();
    let open = || {
        let spool = Spool::builder(directory).sync(Sync::Full).open().unwrap();
        spool.queue("q").unwrap()
    };
    let queue = open();
    let mut sent = 0;
    let mut taken = Vec::new();
    for act in &image.acts {
        match act {
            Act::Send(count) => {
                let messages = (0..*count % 4).map(|_| Message::from_json("{\"body\":\"x\"}"));
                sent += queue.send_many(messages).unwrap().len();
            }
            Act::Receive => taken.extend(queue.receive(Receive::new().detached()).unwrap()),
            Act::Ack => taken.pop().map_or((), |delivery| delivery.ack().unwrap()),
            Act::Pop => drop(queue.pop().unwrap()),
            Act::Checkpoint => queue.checkpoint().unwrap(),
        }
    }
    drop((queue, taken));
    let file = directory.join(if image.of_journal { "q.json.journal" } else { "q.json" });
    let Ok(mut bytes) = std::fs::read(&file) else { return };
    for damage in &image.damage {
        match damage {
            Damage::Cut(at) => bytes.truncate(usize::from(*at)),
            Damage::Zero(at, length) => {
                let from = usize::from(*at).min(bytes.len());
                let to = (from + usize::from(*length)).min(bytes.len());
                bytes[from..to].fill(0);
            }
            Damage::Flip(at, bit) => {
                if let Some(byte) = bytes.get_mut(usize::from(*at)) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Damage::Append(more) => bytes.extend_from_slice(more),
        }
    }
    std::fs::write(&file, bytes).unwrap();
    let queue = open();
    match queue.list(&List::new().limit(1000)) {
        Ok(page) => assert!(!image.of_journal || page.envelopes.len() <= sent),
        Err(error) => assert!(
            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Version),
            "{error}"
        ),
    }
    if queue.repair().is_ok() {
        assert!(queue.check().unwrap().is_sound());
    }
});
