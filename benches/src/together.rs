//! Several processes on one queue at once. Each is this program again, told what to do by its arguments; it says when it
//! is ready, and begins when its input has a line.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::contenders::{Contender, Flockq, Sqlite};
use crate::{Who, median, payload};

/// What the argument of a worker begins with.
pub const WORKER: &str = "worker";

/// A crowd.
pub struct Crowd {
    pub name: &'static str,
    pub producers: usize,
    pub consumers: usize,
    /// How many messages each producer sends.
    pub each: usize,
    pub durable: bool,
}

pub const CROWDS: &[Crowd] = &[
    Crowd {
        name: "1 producer and 1 consumer, off",
        producers: 1,
        consumers: 1,
        each: 10_000,
        durable: false,
    },
    Crowd {
        name: "4 producers and 4 consumers, off",
        producers: 4,
        consumers: 4,
        each: 2_500,
        durable: false,
    },
    Crowd {
        name: "8 producers, durable",
        producers: 8,
        consumers: 0,
        each: 250,
        durable: true,
    },
];

/// The medians of the time that one message takes, for flockq and for SQLite.
pub fn measure(crowd: &Crowd, rounds: usize) -> [(Who, f64); 2] {
    let contenders = [Who::Flockq, Who::Sqlite];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (who, times) in contenders.iter().zip(&mut times) {
            times.push(round(*who, crowd));
        }
    }
    let [flockq, sqlite] = times.map(|times| median(times).as_secs_f64() * 1e6);
    [(Who::Flockq, flockq), (Who::Sqlite, sqlite)]
}

fn round(who: Who, crowd: &Crowd) -> Duration {
    let directory =
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory of its own");
    // The files are made before anybody is timed.
    let mut first = open(who, directory.path(), crowd.durable);
    first.send(&payload(0));
    first.receive_and_ack();
    let all = crowd.producers * crowd.each;
    let share = all.checked_div(crowd.consumers).unwrap_or(0);
    let mut workers: Vec<Child> = Vec::new();
    for _ in 0..crowd.producers {
        workers.push(start(who, directory.path(), crowd, "send", crowd.each));
    }
    for _ in 0..crowd.consumers {
        workers.push(start(who, directory.path(), crowd, "receive", share));
    }
    for worker in &mut workers {
        let mut ready = String::new();
        let output = worker.stdout.as_mut().expect("an output");
        BufReader::new(output)
            .read_line(&mut ready)
            .expect("a line");
    }
    let started = Instant::now();
    for worker in &mut workers {
        let input = worker.stdin.as_mut().expect("an input");
        writeln!(input, "go").expect("a worker that listens");
    }
    for worker in &mut workers {
        assert!(worker.wait().expect("a worker").success());
    }
    started.elapsed() / u32::try_from(all).expect("a small number")
}

fn start(who: Who, directory: &Path, crowd: &Crowd, what: &str, times: usize) -> Child {
    let durable = if crowd.durable { "durable" } else { "off" };
    Command::new(std::env::current_exe().expect("this program"))
        .args([
            WORKER,
            &format!("{who:?}"),
            durable,
            what,
            &times.to_string(),
        ])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a worker")
}

fn open(who: Who, directory: &Path, durable: bool) -> Box<dyn Contender> {
    match who {
        Who::Sqlite => Box::new(Sqlite::new(directory, durable)),
        _ => Box::new(Flockq::new(directory, "journal", durable)),
    }
}

/// What a worker does.
pub fn work(arguments: &[String]) {
    let [who, durable, what, times, directory] = arguments else {
        panic!("a worker has five arguments")
    };
    let who = if who == "Sqlite" {
        Who::Sqlite
    } else {
        Who::Flockq
    };
    let mut contender = open(who, Path::new(directory), durable == "durable");
    let times: usize = times.parse().expect("a number");
    println!("ready");
    std::io::stdin()
        .read_line(&mut String::new())
        .expect("a line");
    for number in 0..times {
        match what.as_str() {
            "send" => contender.send(&payload(number)),
            _ => contender.wait_and_ack(),
        }
    }
}
