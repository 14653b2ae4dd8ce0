//! Prints how fast flockq is beside SQLite and beside the bare system calls, in one run and on the same work.
//!
//! Every figure is the median of interleaved rounds; the ratio is what to look at. An argument chooses the work by a
//! part of its name; ROUNDS is the number of rounds.

mod contenders;
mod languages;
mod together;
mod wakeup;

use std::time::{Duration, Instant};

use contenders::{Contender, Flockq, Floor, Lmdb, Sqlite, Yaque};

/// A mail message of 300 bytes.
fn payload(number: usize) -> String {
    let mut text = format!(
        "{{\"id\":\"m{number:09}\",\"from\":\"mayor/\",\"to\":\"deacon/\",\"subject\":\"hello\",\"body\":\""
    );
    text.extend(std::iter::repeat_n('x', 298 - text.len()));
    text.push_str("\"}");
    text
}

/// One kind of work.
struct Work {
    name: &'static str,
    /// Messages in the queue before it.
    waiting: usize,
    /// How often it is done in a round.
    times: usize,
    /// How many messages it is about each time.
    each: usize,
    what: fn(&mut dyn Contender, &[String]),
    durable: bool,
    contenders: &'static [Who],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Flockq,
    FlockqPlain,
    Sqlite,
    Lmdb,
    Yaque,
    Floor,
}

const WORK: &[Work] = &[
    Work {
        name: "send, off",
        waiting: 0,
        times: 2000,
        each: 1,
        what: |contender, messages| contender.send(&messages[0]),
        durable: false,
        contenders: &[Who::Flockq, Who::Sqlite, Who::Lmdb, Who::Floor],
    },
    Work {
        name: "receive and ack, off",
        waiting: 1000,
        times: 1000,
        each: 1,
        what: |contender, _| contender.receive_and_ack(),
        durable: false,
        contenders: &[Who::Flockq, Who::Sqlite, Who::Lmdb, Who::Floor],
    },
    Work {
        name: "send_many of 100, off",
        waiting: 0,
        times: 50,
        each: 100,
        what: |contender, messages| contender.send_many(messages),
        durable: false,
        contenders: &[Who::Flockq, Who::Sqlite],
    },
    Work {
        name: "send, receive and ack 100, off",
        waiting: 0,
        times: 50,
        each: 100,
        what: |contender, messages| {
            contender.send_many(messages);
            contender.receive_and_ack_many(messages.len());
        },
        durable: false,
        contenders: &[Who::Flockq, Who::Sqlite, Who::Lmdb, Who::Yaque],
    },
    Work {
        name: "send on 1,000 waiting, off",
        waiting: 1000,
        times: 500,
        each: 1,
        what: |contender, messages| contender.send(&messages[0]),
        durable: false,
        contenders: &[Who::Flockq, Who::FlockqPlain, Who::Sqlite],
    },
    Work {
        name: "send on 100,000 waiting, off",
        waiting: 100_000,
        times: 500,
        each: 1,
        what: |contender, messages| contender.send(&messages[0]),
        durable: false,
        contenders: &[Who::Flockq, Who::Sqlite],
    },
    Work {
        name: "send on 1,000,000 waiting, off",
        waiting: 1_000_000,
        times: 500,
        each: 1,
        what: |contender, messages| contender.send(&messages[0]),
        durable: false,
        contenders: &[Who::Flockq],
    },
    Work {
        name: "receive and ack of 1,000,000, off",
        waiting: 1_000_000,
        times: 500,
        each: 1,
        what: |contender, _| contender.receive_and_ack(),
        durable: false,
        contenders: &[Who::Flockq],
    },
    Work {
        name: "send, receive and ack, durable",
        waiting: 0,
        times: 100,
        each: 1,
        what: |contender, messages| {
            contender.send(&messages[0]);
            contender.receive_and_ack();
        },
        durable: true,
        contenders: &[Who::Flockq, Who::Sqlite, Who::Floor],
    },
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((together::WORKER, rest)) = arguments
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        return together::work(rest);
    }
    if let Some((wakeup::SLEEPER, rest)) = arguments
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        return wakeup::sleep(rest);
    }
    let rounds: usize = std::env::var("ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(7);
    println!("medians of {rounds} interleaved rounds, messages of 300 bytes\n");
    println!(
        "{:32} {:>12} {:>14} {:>10}",
        "work", "contender", "microseconds", "flockq is"
    );
    let wanted = arguments.first().cloned().unwrap_or_default();
    for work in WORK.iter().filter(|work| work.name.contains(&wanted)) {
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); work.contenders.len()];
        for _ in 0..rounds {
            for (place, who) in work.contenders.iter().enumerate() {
                times[place].push(round(*who, work));
            }
        }
        let medians: Vec<f64> = times
            .into_iter()
            .map(|times| median(times).as_secs_f64() * 1e6)
            .collect();
        for (who, median) in work.contenders.iter().zip(&medians) {
            let ratio = median / medians[0];
            let name = if *who == work.contenders[0] {
                work.name
            } else {
                ""
            };
            let ratio = if name.is_empty() {
                format!("{ratio:.2} x")
            } else {
                String::new()
            };
            println!(
                "{name:32} {:>12} {median:>14.2} {ratio:>10}",
                format!("{who:?}")
            );
        }
    }
    for crowd in together::CROWDS
        .iter()
        .filter(|crowd| crowd.name.contains(&wanted))
    {
        let [(_, flockq), (_, sqlite)] = together::measure(crowd, rounds);
        println!("{:32} {:>12} {flockq:>14.2}", crowd.name, "Flockq");
        println!(
            "{:32} {:>12} {sqlite:>14.2} {:>8.2} x",
            "",
            "Sqlite",
            sqlite / flockq
        );
    }
    if "send, by language".contains(&wanted) {
        let all = languages::measure(rounds);
        for (who, median) in all {
            match (all[0].1, median) {
                (Some(rust), Some(median)) => println!(
                    "{:32} {who:>12} {median:>14.2} {:>8.2} x",
                    "send, by language",
                    median / rust
                ),
                _ => println!("{:32} {who:>12} LEFT OUT: run make build first", ""),
            }
        }
    }
    if "wake-up".contains(&wanted) {
        println!(
            "\nfrom the return of a send to the receiver that has it: median, 99th percentile"
        );
        for (who, [median, slow]) in wakeup::measure() {
            println!("{:32} {who:>12} {median:>14.2} {slow:>10.2}", "wake-up");
        }
    }
}

/// The time of one operation in a fresh queue.
fn round(who: Who, work: &Work) -> Duration {
    // Below the project and not in memory: a durable commit has to reach a disk.
    let directory =
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory of its own");
    let path = directory.path();
    let mut contender: Box<dyn Contender> = match who {
        Who::Flockq => Box::new(Flockq::new(path, "journal", work.durable)),
        Who::FlockqPlain => Box::new(Flockq::new(path, "plain", work.durable)),
        Who::Sqlite => Box::new(Sqlite::new(path, work.durable)),
        Who::Lmdb => Box::new(Lmdb::new(path, work.durable)),
        Who::Yaque => Box::new(Yaque::new(path)),
        Who::Floor => Box::new(Floor::new(path, work.durable)),
    };
    let waiting: Vec<String> = (0..work.waiting).map(payload).collect();
    for part in waiting.chunks(10_000) {
        contender.send_many(part);
    }
    // What is made at the first use is not part of the work.
    contender.send(&payload(999_999_999));
    contender.receive_and_ack();
    let messages: Vec<String> = (0..work.times * work.each)
        .map(|number| payload(2_000_000 + number))
        .collect();
    let started = Instant::now();
    for messages in messages.chunks(work.each) {
        (work.what)(&mut *contender, messages);
    }
    started.elapsed() / u32::try_from(work.times).expect("a small number")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
