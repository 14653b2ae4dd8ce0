//! Three processes that send, take and move messages, and write down what they were told.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::chance::Chance;
use super::ledger::{Act, Ledger};
use super::spool::{self, QUEUES};
use crate::support::{self, Driver};

/// What the processes do.
#[derive(Clone, Copy)]
pub struct Load {
    /// The durability of each process.
    syncs: [&'static str; 3],
    /// They send, and end without a word: nothing makes durable what somebody else has written.
    is_sends: bool,
}

impl Load {
    pub fn mixed() -> Self {
        Self {
            syncs: ["full", "full", "normal"],
            is_sends: false,
        }
    }

    pub fn of_sends(sync: &'static str) -> Self {
        Self {
            syncs: [sync; 3],
            is_sends: true,
        }
    }
}

pub struct Run<'a> {
    pub load: Load,
    pub place: &'a Path,
    /// How much each of them does, unless it is enough before.
    pub operations: usize,
    pub enough: &'a AtomicBool,
    /// What is told from then on is not counted as confirmed.
    pub is_cut: &'a AtomicBool,
    /// No two loads of a ledger have one name.
    pub name: String,
    pub seed: u64,
    /// The length of the log of the disk.
    pub clock: &'a (dyn Fn() -> usize + Sync),
}

/// One of the processes.
struct Worker<'a> {
    run: &'a Run<'a>,
    ledger: &'a Ledger,
    driver: Driver,
    sync: &'static str,
    chance: Chance,
    /// Messages of this process, where it last put each. Nobody else moves them.
    own: Vec<(String, usize)>,
    name: String,
}

impl Run<'_> {
    /// Runs the processes. The first error of each, if there were any: a process that meets one does no more.
    pub fn go(&self, ledger: &Ledger) -> Vec<String> {
        static LANGUAGES: OnceLock<Vec<&str>> = OnceLock::new();
        let languages = LANGUAGES.get_or_init(support::languages);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.load.syncs.len())
                .map(|number| {
                    let language = languages[number % languages.len()];
                    scope.spawn(move || {
                        let seed = self.seed ^ u64::try_from(number).unwrap();
                        let worker = Worker {
                            run: self,
                            ledger,
                            driver: Driver::start(language),
                            sync: self.load.syncs[number],
                            chance: Chance::new(seed),
                            own: Vec::new(),
                            name: format!("{}-{number}", self.name),
                        };
                        worker.work()
                    })
                })
                .collect();
            let ends = workers.into_iter().map(|worker| worker.join().unwrap());
            ends.filter_map(Result::err).collect()
        })
    }
}

impl Worker<'_> {
    fn work(mut self) -> Result<(), String> {
        let directory = spool::directory(self.run.place);
        self.ask(&json!({"op": "open", "dir": directory, "sync": self.sync}))?;
        for number in 0..self.run.operations {
            if self.run.enough.load(Ordering::Relaxed) {
                break;
            }
            self.step(number)?;
        }
        // Half of them end well, and fold their queues; the others just end.
        if !self.run.load.is_sends && self.chance.percent(50) {
            self.ask(&json!({"op": "close"}))?;
        }
        self.driver.kill();
        Ok(())
    }

    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        spool::ask(&mut self.driver, request)
    }

    fn now(&self) -> usize {
        (self.run.clock)()
    }

    fn step(&mut self, number: usize) -> Result<(), String> {
        let queue = self.chance.below(QUEUES.len());
        let all = if self.run.load.is_sends { 45 } else { 100 };
        match self.chance.below(all) {
            0..45 => self.send(queue, number),
            45..70 => self.take(queue),
            70..90 => self.shift(),
            90..97 => self
                .ask(&json!({"op": "checkpoint", "queue": QUEUES[queue]}))
                .map(drop),
            _ => {
                let mode = support::MODES[self.chance.below(2)];
                let convert = json!({"op": "convert", "queue": "archive", "to": mode});
                self.ask(&convert).map(drop)
            }
        }
    }

    /// Asks for something, and notes what became of it.
    fn noted(
        &mut self,
        id: &str,
        act: Act,
        queue: usize,
        request: &Value,
        is_done: impl Fn(&Value) -> bool,
    ) -> Result<bool, String> {
        let asked = self.now();
        let reply = self.ask(request);
        let told = self.now();
        let is_done = match &reply {
            Ok(reply) => is_done(reply),
            Err(_) => true,
        };
        // What was refused changed nothing; what failed may have.
        if is_done {
            let is_cut = self.run.is_cut.load(Ordering::SeqCst);
            let told = (reply.is_ok() && !is_cut).then_some(told);
            self.ledger.note(id, act, QUEUES[queue], asked, told);
        }
        reply.map(|_| is_done)
    }

    fn send(&mut self, queue: usize, number: usize) -> Result<(), String> {
        let id = format!("{}-{number}", self.name);
        let send =
            json!({"op": "send", "queue": QUEUES[queue], "id": id, "payload": spool::payload(&id)});
        self.noted(&id, Act::Send, queue, &send, |_| true)?;
        self.own.push((id, queue));
        Ok(())
    }

    fn take(&mut self, queue: usize) -> Result<(), String> {
        let name = QUEUES[queue];
        let receive = json!({"op": "receive", "queue": name, "lease_ms": 3_600_000});
        let delivery = self.ask(&receive)?;
        let Some(id) = delivery["id"].as_str() else {
            return Ok(());
        };
        let receipts = [&delivery["receipt"]];
        // Some are given back, some are kept until the process dies.
        match self.chance.below(8) {
            0 => Ok(()),
            1 => self
                .ask(&json!({"op": "nack", "queue": name, "receipts": receipts}))
                .map(drop),
            _ => {
                let is_durable = self.sync == "full";
                let ack = json!({"op": "ack", "queue": name, "receipts": receipts});
                let act = Act::Take { is_durable };
                self.noted(id, act, queue, &ack, |reply| *reply == json!([null]))
                    .map(drop)
            }
        }
    }

    /// Moves a message of its own, if it is still there, to the other queue.
    fn shift(&mut self) -> Result<(), String> {
        if self.own.is_empty() {
            return Ok(());
        }
        let place = self.chance.below(self.own.len());
        let (id, from) = self.own[place].clone();
        let to = 1 - from;
        let shift = json!({"op": "move_to", "queue": QUEUES[from], "to": QUEUES[to], "ids": [id]});
        if self.noted(&id, Act::Move, to, &shift, |reply| *reply == json!([id]))? {
            self.own[place].1 = to;
        }
        Ok(())
    }
}
