//! What the processes do: send, receive and settle in every way, move to and fro, change a file under its lock.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::chance::Chance;
use super::crew::Crew;
use super::history::{Act, Delivery, MILLISECOND, Outcome, Way, now};
use super::session::Session;
use crate::support;

/// A lease that nobody outlives, and one that runs out under who is slow or stopped.
const LONG_MS: u64 = 3_600_000;
pub const SHORT_MS: u64 = 300;
/// More messages than this wait for nobody to send more: in a plain queue each costs something.
const ENOUGH: i64 = 120;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Produce,
    Consume,
    Move,
    Lock,
}

/// Of eight; with the number of a run added, each language comes to each of them.
pub const ROLES: [Role; 8] = [
    Role::Produce,
    Role::Consume,
    Role::Produce,
    Role::Consume,
    Role::Move,
    Role::Consume,
    Role::Produce,
    Role::Consume,
];

/// A seat, and who comes to sit in it.
pub struct Worker<'a> {
    pub crew: &'a Crew,
    pub seat: usize,
    pub language: &'static str,
    pub role: Role,
    pub environment: Vec<(String, String)>,
    pub chance: Chance,
    /// Of the message that is sent next.
    next: u64,
    /// A send that has to be tried again, because nobody knows what became of it.
    again: Option<String>,
}

impl<'a> Worker<'a> {
    pub fn new(
        crew: &'a Crew,
        seat: usize,
        language: &'static str,
        role: Role,
        environment: Vec<(String, String)>,
        chance: Chance,
    ) -> Self {
        Self {
            crew,
            seat,
            language,
            role,
            environment,
            chance,
            next: 0,
            again: None,
        }
    }

    /// One process after the other, until it is enough.
    pub fn work(mut self) {
        while self.crew.goes_on() {
            // A disk that is waited for is slow; what is different with it is different by a power cut alone.
            let sync = if self.chance.percent(70) {
                "off"
            } else {
                "normal"
            };
            let (seat, language) = (self.seat, self.language);
            let started = Session::start(self.crew, seat, language, &self.environment, sync);
            let Some(mut session) = started else {
                continue;
            };
            let mut lives = Some(());
            while lives.is_some() && self.crew.goes_on() && !self.chance.percent(1) {
                lives = match self.role {
                    Role::Produce => self.produce(&mut session),
                    Role::Consume => self.consume(&mut session),
                    Role::Move => self.carry(&mut session),
                    Role::Lock => self.count(&mut session),
                };
            }
            match lives {
                Some(()) => session.dismiss(),
                None => session.mourn(),
            }
        }
    }

    fn pause(&mut self, most_ms: usize) {
        thread::sleep(Duration::from_micros(
            self.chance.below(most_ms * 1000) as u64
        ));
    }

    fn name(&mut self) -> String {
        self.next += 1;
        format!("{}-{}", self.seat, self.next)
    }

    fn produce(&mut self, session: &mut Session<'_>) -> Option<()> {
        self.pause(4);
        if self.crew.backlog.load(Ordering::Relaxed) > ENOUGH {
            return Some(());
        }
        let payload =
            |id: &str| json!({"id": id, "subject": "a message of some length"}).to_string();
        if let Some(id) = self
            .again
            .take()
            .or_else(|| self.chance.percent(20).then(|| self.name()))
        {
            // Known by its id: who does not know whether it was sent sends it again.
            self.again = Some(id.clone());
            let request = json!({"op": "send", "queue": "inbound", "payload": payload(&id), "id": id, "dedup": true});
            let ids = vec![id];
            let sent = session.ask(&request, |_| Act::Send {
                ids,
                class: "dedup",
            })?;
            if sent != Err("OutcomeUnknown".to_owned()) {
                self.again = None;
            }
            self.crew
                .backlog
                .fetch_add(sent.is_ok().into(), Ordering::Relaxed);
            return Some(());
        }
        let count = if self.chance.percent(20) {
            1 + self.chance.below(4)
        } else {
            1
        };
        let ids: Vec<String> = (0..count).map(|_| self.name()).collect();
        let payloads: Vec<String> = ids.iter().map(|id| payload(id)).collect();
        let mut request = if count == 1 {
            json!({"op": "send", "queue": "inbound", "payload": payloads[0]})
        } else {
            json!({"op": "send_many", "queue": "inbound", "payloads": payloads})
        };
        let class = match self.chance.below(10) {
            0 => "high",
            1 => "delayed",
            _ => "normal",
        };
        match class {
            "high" => request["priority"] = "high".into(),
            "delayed" => request["delay_ms"] = 40.into(),
            _ => {}
        }
        let sent = session.ask(&request, |_| Act::Send { ids, class })?;
        let count = i64::try_from(count).unwrap();
        self.crew
            .backlog
            .fetch_add(i64::from(sent.is_ok()) * count, Ordering::Relaxed);
        Some(())
    }

    fn consume(&mut self, session: &mut Session<'_>) -> Option<()> {
        let is_short = self.chance.percent(30);
        let lease_ms = if is_short { SHORT_MS } else { LONG_MS };
        let max = if self.chance.percent(20) { 3 } else { 1 };
        let given = session.receive("inbound", max, lease_ms, 200)?;
        for one in &given {
            self.settle(session, one, is_short)?;
        }
        Some(())
    }

    fn settle(
        &mut self,
        session: &mut Session<'_>,
        one: &(String, Delivery),
        is_short: bool,
    ) -> Option<()> {
        let none = Value::Null;
        match self.chance.below(20) {
            0 | 1 => session.settle("inbound", one, Way::Nack, &json!({"error": "no session"}))?,
            2 => session.settle("inbound", one, Way::Nack, &json!({"delay_ms": 30}))?,
            3 => session.settle("inbound", one, Way::Nack, &none)?,
            4 | 5 => {
                let lease = if is_short { SHORT_MS } else { LONG_MS } * MILLISECOND;
                session.settle("inbound", one, Way::Extend(lease), &none)?;
                self.pause(20);
                session.settle("inbound", one, Way::Ack, &none)?
            }
            6 => {
                session.settle("inbound", one, Way::Ack, &none)?;
                // Too much of a good thing: it is refused.
                session.settle("inbound", one, Way::Nack, &none)?
            }
            7 if is_short => true,
            8 if is_short => {
                // Too late, whether somebody else has it by now or not.
                thread::sleep(Duration::from_millis(SHORT_MS + 20));
                session.settle("inbound", one, Way::Ack, &none)?
            }
            _ => session.settle("inbound", one, Way::Ack, &none)?,
        };
        Some(())
    }

    /// Some that are ready there, by id: so it is known which ones were on their way if the process dies.
    fn carry(&mut self, session: &mut Session<'_>) -> Option<()> {
        self.pause(15);
        let (from, to) = [
            ("inbound", "archive"),
            ("archive", "inbound"),
            ("archive", "inbound"),
            ("dead-letter", "inbound"),
        ][self.chance.below(4)];
        let look = json!({"op": "list", "queue": from, "state": "ready", "limit": 6});
        let listed = session.ask(&look, |_| Act::Other)?.unwrap_or_default();
        let there = listed["items"].as_array().cloned().unwrap_or_default();
        let (count, first) = (1 + self.chance.below(3), self.chance.below(3));
        let ids: Vec<String> = (there.iter().skip(first).take(count))
            .filter_map(|item| item["id"].as_str().map(str::to_owned))
            .collect();
        if ids.is_empty() {
            return Some(());
        }
        let request = if from == "dead-letter" {
            json!({"op": "redrive", "queue": from, "ids": ids})
        } else {
            json!({"op": "move_to", "queue": from, "to": to, "ids": ids})
        };
        session
            .ask(&request, |result| {
                let moved = result.as_array().map(|moved| {
                    let id = |one: &Value| one.as_str().or(one[0].as_str()).map(str::to_owned);
                    moved.iter().filter_map(id).collect()
                });
                let ids = moved.unwrap_or(ids);
                Act::Move { from, to, ids }
            })?
            .ok();
        Some(())
    }

    /// Reads the counter and writes the next number, under its lock; each of the two by itself is nothing that excludes.
    fn count(&mut self, session: &mut Session<'_>) -> Option<()> {
        let path = &self.crew.counter;
        let locked = session.ask(&json!({"op": "lock", "path": path}), |_| Act::Other)?;
        if locked.is_err() {
            return Some(());
        }
        let begin = now();
        let value = support::read(path).trim().parse::<u64>().unwrap() + 1;
        self.pause(2);
        let write = json!({"op": "write_atomic", "path": path, "text": format!("{value}\n")});
        let written = session.ask(&write, |_| Act::Other);
        let (end, outcome) = match &written {
            // When it was killed is not known, nor whether it has written: it held the lock for no certain time.
            None => (begin, Outcome::Unknown),
            Some(Ok(_)) => (now(), Outcome::Ok),
            Some(Err(kind)) if kind == "OutcomeUnknown" => (now(), Outcome::Unknown),
            Some(Err(kind)) => (now(), Outcome::Failed(kind.clone())),
        };
        session.held(begin, end, value, outcome);
        written?.ok();
        session
            .ask(&json!({"op": "unlock", "path": path}), |_| Act::Other)?
            .ok();
        self.pause(2);
        Some(())
    }
}

/// Which language sits where: two of each, and two more with locks.
pub fn languages(seed: u64) -> Vec<&'static str> {
    let there = support::languages();
    let mut seats: Vec<&str> = (0..8).map(|seat| there[seat / 2 % there.len()]).collect();
    let first = usize::try_from(seed % 4).unwrap();
    seats.extend((0..2).map(|one| there[(first + one) % there.len()]));
    seats
}
