//! A process at work, and what it is asked: each request is in the history with its outcome.

use std::sync::atomic::Ordering;

use rustix::process::Pid;
use serde_json::{Value, json};

use super::crew::{Crew, Process};
use super::history::{Act, Delivery, Event, MILLISECOND, Moment, Outcome, Way, now};
use crate::support::Driver;

pub struct Session<'a> {
    crew: &'a Crew,
    seat: usize,
    number: usize,
    driver: Driver,
}

/// What came of a request; nothing if the process died of it.
pub type Answer = Option<Result<Value, String>>;

impl<'a> Session<'a> {
    /// Starts a process and opens the spool; none if that fails, or it dies of it.
    pub fn start(
        crew: &'a Crew,
        seat: usize,
        language: &'static str,
        environment: &[(String, String)],
        sync: &str,
    ) -> Option<Self> {
        let driver = Driver::start_in(language, environment);
        let number = crew.next_process();
        let pid = Pid::from_raw(i32::try_from(driver.pid()).unwrap()).unwrap();
        let is_at_work = false;
        crew.seats[seat].take(Process {
            number,
            pid,
            is_at_work,
        });
        let mut session = Self {
            crew,
            seat,
            number,
            driver,
        };
        let open = json!({"op": "open", "dir": crew.directory, "sync": sync});
        match session.ask(&open, |_| Act::Other) {
            Some(Ok(_)) => {
                crew.seats[seat].begins();
                return Some(session);
            }
            Some(Err(_)) => session.dismiss(),
            None => session.mourn(),
        }
        None
    }

    /// Asks, and notes what `act` makes of the result (null if there is none).
    pub fn ask(&mut self, request: &Value, act: impl FnOnce(&Value) -> Act) -> Answer {
        let seat = &self.crew.seats[self.seat];
        let begin = now();
        seat.asks(Some((begin, request.to_string())));
        self.driver.request(request);
        let reply = self.driver.reply();
        seat.asks(None);
        let error = reply
            .as_ref()
            .and_then(|reply| reply["error"].as_str().map(str::to_owned));
        if error.as_deref() == Some("OutcomeUnknown") {
            let what = format!(
                "{request}: {:?}",
                reply.as_ref().map(|reply| &reply["message"])
            );
            self.note(begin, Act::Unsure(what), Outcome::Ok);
        }
        let outcome = match (&reply, &error) {
            (None, _) => Outcome::Unknown,
            (_, Some(kind)) if kind == "OutcomeUnknown" => Outcome::Unknown,
            // Nothing explains damage: what it was is wanted.
            (Some(reply), Some(kind)) if kind == "Corrupt" => {
                Outcome::Failed(format!("{kind} {}", reply["message"]))
            }
            (_, Some(kind)) => Outcome::Failed(kind.clone()),
            (Some(_), None) => Outcome::Ok,
        };
        if std::env::var_os("FLOCKQ_TELL").is_some()
            && let Some(reply) = reply.as_ref().filter(|_| error.is_some())
        {
            eprintln!("{}: {request}: {reply}", self.driver.language);
        }
        let result = reply.map(|mut reply| reply["ok"].take());
        let act = act(result.as_ref().unwrap_or(&Value::Null));
        self.note(begin, act, outcome);
        let result = result?;
        Some(error.map_or(Ok(result), Err))
    }

    fn note(&self, begin: Moment, act: Act, outcome: Outcome) {
        self.crew.history.note(Event {
            process: self.number,
            begin,
            end: now(),
            act,
            outcome,
        });
    }

    /// The lock was held, and the counter set to a value.
    pub fn held(&self, begin: Moment, end: Moment, value: u64, outcome: Outcome) {
        self.crew.history.note(Event {
            process: self.number,
            begin,
            end,
            act: Act::Hold { value },
            outcome,
        });
    }

    /// Receives up to `max`; what came, with the receipts.
    pub fn receive(
        &mut self,
        queue: &'static str,
        max: usize,
        lease_ms: u64,
        wait_ms: u64,
    ) -> Option<Vec<(String, Delivery)>> {
        let request = json!({"op": "receive_many", "queue": queue, "max": max, "lease_ms": lease_ms, "wait_ms": wait_ms});
        let mut given = Vec::new();
        let answer = self.ask(&request, |result| {
            given = result
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| delivery(one, lease_ms))
                .collect();
            let deliveries = given.iter().map(|(_, delivery)| delivery.clone()).collect();
            Act::Receive { queue, deliveries }
        });
        answer.map(|_| given)
    }

    /// Settles one delivery; true if it took.
    pub fn settle(
        &mut self,
        queue: &str,
        (receipt, delivery): &(String, Delivery),
        way: Way,
        more: &Value,
    ) -> Option<bool> {
        let op = match way {
            Way::Ack => "ack",
            Way::Nack => "nack",
            Way::Extend(_) => "extend",
        };
        let mut request = json!({"op": op, "queue": queue, "receipts": [receipt]});
        for (name, value) in more.as_object().into_iter().flatten() {
            request[name] = value.clone();
        }
        if let Way::Extend(lease) = way {
            request["lease_ms"] = (lease / MILLISECOND).into();
        }
        let begin = now();
        let act = Act::Settle {
            way,
            id: delivery.id.clone(),
            token: delivery.token,
        };
        let answer = self.ask(&request, |_| Act::Other);
        let outcome = match &answer {
            None => Outcome::Unknown,
            Some(Err(kind)) if kind == "OutcomeUnknown" => Outcome::Unknown,
            Some(Err(kind)) => Outcome::Failed(kind.clone()),
            // One receipt, one result: nothing, or the name of an error.
            Some(Ok(results)) => match results[0].as_str() {
                None => Outcome::Ok,
                Some("OutcomeUnknown") => Outcome::Unknown,
                Some(kind) => Outcome::Failed(kind.to_owned()),
            },
        };
        let took = outcome == Outcome::Ok;
        if took && way == Way::Ack {
            self.crew.backlog.fetch_sub(1, Ordering::Relaxed);
        }
        self.note(begin, act, outcome);
        answer.map(|_| took)
    }

    /// Waits for its end. A process that nobody killed does not die.
    pub fn mourn(mut self) {
        let seat = &self.crew.seats[self.seat];
        seat.leave();
        let was_killed = seat.was_killed();
        let status = self.driver.end();
        if !was_killed {
            let what = format!("{} died by itself: {status}", self.driver.language);
            self.crew.history.note_now(self.number, Act::Wrong(what));
            self.crew.history.note_now(self.number, Act::End);
        }
    }

    /// Lets it end by itself: what it has on lease it gives back.
    pub fn dismiss(self) {
        self.crew.history.note_now(self.number, Act::End);
        self.crew.seats[self.seat].leave();
    }
}

/// A delivery as a driver tells it.
fn delivery(told: &Value, lease_ms: u64) -> (String, Delivery) {
    let receipt = told["receipt"].as_str().unwrap().to_owned();
    let (token, _) = receipt.split_once('.').unwrap();
    let delivery = Delivery {
        id: told["id"].as_str().unwrap().to_owned(),
        token: token.parse().unwrap(),
        attempts: told["attempts"].as_u64().unwrap(),
        lease: lease_ms * MILLISECOND,
    };
    (receipt, delivery)
}
