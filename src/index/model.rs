//! The index against a naive model: a list that is looked through from its start each time, while clocks jump,
//! consumers die and the machine starts again.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::plan::{self, Grant, Outgoing};
use super::state::State;
use super::tests::{nack, unlimited};
use super::{Index, Now, Plan};
use crate::format::envelope::{Edit, Element, Rewrite};
use crate::format::priority::Priority;
use crate::format::receipt::Receipt;
use crate::format::time::{Timestamp, after};

const LEASE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
enum Step {
    Send {
        id: u8,
        priority: usize,
        age: u64,
        delay: Option<u64>,
    },
    Take(usize),
    Pop,
    /// By the place of a receipt among all that there were: many are stale.
    Ack(usize, usize),
    Nack(usize, Option<u64>),
    Extend(usize),
    Detach(usize),
    Update {
        id: u8,
        payload: bool,
        priority: Option<usize>,
        /// Zero: at once.
        delay: Option<u64>,
    },
    Remove(u8),
    Purge(State),
    /// Saves the array as a program would that does not know leases.
    SaveWithoutLeases,
    Pass(u64),
    /// Sets the wall clock back.
    SetBack(u64),
    Reboot,
    ConsumerDies,
    /// Forgets everything and reads the file again.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let delay = || proptest::option::of(1u64..30);
    prop_oneof![
        4 => (0u8..4, 0usize..4, 0u64..5, delay()).prop_map(|(id, priority, age, delay)| Step::Send { id, priority, age, delay }),
        4 => (1usize..4).prop_map(Step::Take),
        1 => Just(Step::Pop),
        2 => (0usize..12, 0usize..12).prop_map(|(one, other)| Step::Ack(one, other)),
        2 => (0usize..12, delay()).prop_map(|(place, delay)| Step::Nack(place, delay)),
        1 => (0usize..12).prop_map(Step::Extend),
        1 => (0usize..12).prop_map(Step::Detach),
        2 => (0u8..4, any::<bool>(), proptest::option::of(0usize..4), proptest::option::of(0u64..30))
            .prop_map(|(id, payload, priority, delay)| Step::Update { id, payload, priority, delay }),
        1 => (0u8..4).prop_map(Step::Remove),
        1 => proptest::sample::select(&State::ALL).prop_map(Step::Purge),
        1 => Just(Step::SaveWithoutLeases),
        2 => (1u64..25).prop_map(Step::Pass),
        1 => (1u64..25).prop_map(Step::SetBack),
        1 => Just(Step::Reboot),
        1 => Just(Step::ConsumerDies),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Debug, Clone)]
struct Lease {
    receipt: Receipt,
    boot: u64,
    until: u64,
    consumer: Option<u64>,
}

#[derive(Debug, Clone)]
struct Entry {
    payload: String,
    id: String,
    priority: Priority,
    queued_at: Timestamp,
    attempts: u64,
    not_before: Option<Timestamp>,
    lease: Option<Lease>,
    token: u64,
}

#[derive(Debug)]
struct Model {
    entries: Vec<Entry>,
    wall: u64,
    uptime: u64,
    boot: u64,
    consumer: u64,
    sent: u64,
}

impl Model {
    fn time(seconds: u64) -> Timestamp {
        after(
            "2026-02-03T09:00:00Z".parse().unwrap(),
            Duration::from_secs(seconds),
        )
    }

    fn now(&self) -> Now {
        Now {
            wall: Model::time(self.wall),
            boot_ms: self.uptime * 1000,
            boot_id: Arc::from(format!("boot {}", self.boot)),
            dead: (0..self.consumer)
                .map(|consumer| Arc::from(format!("consumer {consumer}")))
                .collect(),
        }
    }

    fn is_live(&self, lease: &Lease) -> bool {
        lease.boot == self.boot
            && lease.until > self.uptime
            && lease
                .consumer
                .is_none_or(|consumer| consumer >= self.consumer)
    }

    fn state(&self, entry: &Entry) -> State {
        if entry
            .lease
            .as_ref()
            .is_some_and(|lease| self.is_live(lease))
        {
            State::Leased
        } else if entry
            .not_before
            .is_some_and(|due| due > Model::time(self.wall))
        {
            State::Delayed
        } else {
            State::Ready
        }
    }

    /// The places in order of delivery.
    fn order(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.entries.len()).collect();
        places.sort_by_key(|place| {
            (
                self.entries[*place].priority,
                self.entries[*place].queued_at,
                *place,
            )
        });
        places
    }

    fn ready(&self, max: usize) -> Vec<usize> {
        self.order()
            .into_iter()
            .filter(|place| self.state(&self.entries[*place]) == State::Ready)
            .take(max)
            .collect()
    }

    /// The entry whose live lease a receipt names.
    fn named(&self, receipt: &Receipt) -> Option<usize> {
        self.entries.iter().position(|entry| {
            entry
                .lease
                .as_ref()
                .is_some_and(|lease| self.is_live(lease) && lease.receipt == *receipt)
        })
    }

    /// Live leases stay with their message: by its id, the first to the first.
    fn save_without_leases(&mut self) {
        let mut live: Vec<Lease> = self
            .entries
            .iter()
            .filter_map(|entry| entry.lease.clone())
            .filter(|lease| self.is_live(lease))
            .collect();
        for entry in &mut self.entries {
            let place = live.iter().position(|lease| lease.receipt.id == entry.id);
            entry.lease = place.map(|place| live.remove(place));
            entry.token = entry.lease.as_ref().map_or(0, |lease| lease.receipt.token);
        }
    }
}

/// Commits as a queue does: what is written is what is read, and what is known afterwards.
fn commit<T>(index: &mut Index, plan: Plan<T>) -> Result<T, TestCaseError> {
    let image = index.image(&plan.changes).unwrap();
    index.apply(&plan.changes, &[]);
    prop_assert_eq!(index.image(&[]).unwrap(), image.clone());
    prop_assert_eq!(
        Index::parse(&image).unwrap().array().unwrap(),
        index.array().unwrap()
    );
    Ok(plan.result)
}

fn check(index: &mut Index, model: &Model) -> Result<(), TestCaseError> {
    let now = model.now();
    let (views, cursor) = index.list(None, 1000, None, &now).unwrap();
    prop_assert!(cursor.is_none());
    let found: Vec<_> = views
        .iter()
        .map(|view| {
            (
                String::from_utf8_lossy(view.element.payload()).into_owned(),
                view.state,
                view.element.attempts(),
            )
        })
        .collect();
    let entries = || model.order().into_iter().map(|place| &model.entries[place]);
    prop_assert_eq!(
        found,
        entries()
            .map(|entry| (entry.payload.clone(), model.state(entry), entry.attempts))
            .collect::<Vec<_>>()
    );
    let count = |state: State| {
        entries()
            .filter(|entry| model.state(entry) == state)
            .count() as u64
    };
    let stats = index.stats(&now);
    prop_assert_eq!(
        (stats.ready, stats.delayed, stats.leased),
        (
            count(State::Ready),
            count(State::Delayed),
            count(State::Leased)
        )
    );
    prop_assert_eq!(stats.messages, index.len() as u64);
    prop_assert_eq!(
        stats.bytes,
        index
            .array()
            .unwrap()
            .iter()
            .map(|text| text.len() as u64)
            .sum::<u64>()
    );
    prop_assert_eq!(index.has_ready(&now), stats.ready > 0);
    let due = entries().filter_map(|entry| match model.state(entry) {
        State::Ready => None,
        State::Delayed => entry
            .not_before
            .map(|due| Duration::try_from(due.duration_since(now.wall)).unwrap()),
        State::Leased => entry
            .lease
            .as_ref()
            .map(|lease| Duration::from_secs(lease.until - model.uptime)),
    });
    prop_assert_eq!(index.next_due(&now), due.min());
    let live = entries()
        .filter_map(|entry| entry.lease.as_ref())
        .filter(|lease| model.is_live(lease));
    let consumers: HashSet<String> = live
        .filter_map(|lease| lease.consumer)
        .map(|consumer| format!("consumer {consumer}"))
        .collect();
    prop_assert_eq!(
        index
            .consumers(&now)
            .iter()
            .map(ToString::to_string)
            .collect::<HashSet<_>>(),
        consumers
    );
    for id in 0..4 {
        let id = id.to_string();
        prop_assert_eq!(
            index.get(&id, &now).unwrap().len(),
            model.entries.iter().filter(|entry| entry.id == id).count()
        );
    }
    Ok(())
}

/// The index and the model side by side.
struct Both {
    index: Index,
    model: Model,
    /// All that there were; most are stale.
    receipts: Vec<Receipt>,
    drawn: Cell<u64>,
}

impl Both {
    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let now = self.model.now();
        match *step {
            Step::Send {
                id,
                priority,
                age,
                delay,
            } => self.send(id, Priority::ALL[priority], age, delay)?,
            Step::Take(max) => self.take(&now, max)?,
            Step::Pop => self.pop(&now)?,
            Step::Ack(one, other) => self.ack(&now, &[one, other])?,
            Step::Nack(place, _) | Step::Extend(place) | Step::Detach(place) => {
                if let Some(receipt) = self.receipts.get(place).cloned() {
                    self.change_lease(&now, step, receipt)?;
                }
            }
            Step::Update {
                id,
                payload,
                priority,
                delay,
            } => {
                let priority = priority.map(|place| Priority::ALL[place]);
                self.update(&id.to_string(), payload, priority, delay)?;
            }
            Step::Remove(id) => self.remove(&id.to_string())?,
            Step::Purge(state) => self.purge(&now, state)?,
            Step::SaveWithoutLeases => self.save_without_leases(&now)?,
            Step::Pass(seconds) => {
                self.model.wall += seconds;
                self.model.uptime += seconds;
            }
            Step::SetBack(seconds) => self.model.wall = self.model.wall.saturating_sub(seconds),
            Step::Reboot => {
                self.model.boot += 1;
                self.model.uptime = 1;
            }
            Step::ConsumerDies => self.model.consumer += 1,
            Step::Reopen => self.index = Index::parse(&self.index.image(&[]).unwrap()).unwrap(),
        }
        check(&mut self.index, &self.model)
    }

    fn send(
        &mut self,
        id: u8,
        priority: Priority,
        age: u64,
        delay: Option<u64>,
    ) -> Result<(), TestCaseError> {
        let (id, model) = (id.to_string(), &mut self.model);
        let payload = format!("{{\"id\":\"{id}\",\"n\":{}}}", model.sent);
        let not_before = delay.map(|delay| Model::time(model.wall + delay));
        let queued_at = Model::time(age);
        let message = Outgoing {
            payload: payload.clone().into_bytes(),
            id: None,
            priority: Some(priority),
            not_before,
            expires: None,
            dedup: false,
        };
        let plan = plan::send(
            &self.index,
            &[message],
            (queued_at, queued_at),
            &String::new,
            (&unlimited().0, unlimited().1),
        )
        .unwrap();
        prop_assert_eq!(commit(&mut self.index, plan)?, std::slice::from_ref(&id));
        model.sent += 1;
        model.entries.push(Entry {
            payload,
            id,
            priority,
            queued_at,
            attempts: 0,
            not_before,
            lease: None,
            token: 0,
        });
        Ok(())
    }

    fn take(&mut self, now: &Now, max: usize) -> Result<(), TestCaseError> {
        let (model, drawn) = (&mut self.model, &self.drawn);
        let grant = Grant {
            lease: Some(LEASE),
            consumer: Some(Arc::from(format!("consumer {}", model.consumer))),
            random: &|| drawn.replace(drawn.get() + 1),
            fresh_id: &|| unreachable!("every payload has an id"),
        };
        let plan = plan::receive(&mut self.index, now, max, &grant, &unlimited().0).unwrap();
        let taken = commit(&mut self.index, plan)?.taken;
        let expected = model.ready(max);
        prop_assert_eq!(taken.len(), expected.len());
        let (boot, until, consumer) = (
            model.boot,
            model.uptime + LEASE.as_secs(),
            Some(model.consumer),
        );
        for (taken, place) in taken.iter().zip(expected) {
            let entry = &mut model.entries[place];
            let receipt = Receipt::parse(&taken.receipt).unwrap();
            // INV-7, also when the clock was set back.
            prop_assert!(receipt.token > entry.token);
            entry.attempts += 1;
            entry.not_before = None;
            entry.token = receipt.token;
            prop_assert_eq!(taken.element.payload(), entry.payload.as_bytes());
            prop_assert_eq!(taken.attempts, entry.attempts);
            entry.lease = Some(Lease {
                receipt: receipt.clone(),
                boot,
                until,
                consumer,
            });
            self.receipts.push(receipt);
        }
        Ok(())
    }

    fn pop(&mut self, now: &Now) -> Result<(), TestCaseError> {
        let plan = plan::pop(&mut self.index, now, &unlimited().0).unwrap();
        let popped = commit(&mut self.index, plan)?.0;
        let expected = self
            .model
            .ready(1)
            .pop()
            .map(|place| self.model.entries.remove(place).payload);
        let popped = popped.map(|view| view.element.payload().to_vec());
        prop_assert_eq!(popped, expected.map(String::into_bytes));
        Ok(())
    }

    fn ack(&mut self, now: &Now, places: &[usize]) -> Result<(), TestCaseError> {
        let named: Vec<Receipt> = places
            .iter()
            .filter_map(|place| self.receipts.get(*place).cloned())
            .collect();
        let plan = plan::ack(&mut self.index, now, &named, &unlimited().0).unwrap();
        let done = commit(&mut self.index, plan)?;
        // One after the other: the same receipt twice is stale the second time.
        for (receipt, done) in named.iter().zip(done) {
            let place = self.model.named(receipt);
            prop_assert_eq!(done, place.is_some());
            place.map(|place| self.model.entries.remove(place));
        }
        Ok(())
    }

    /// Nack, extend or detach.
    fn change_lease(
        &mut self,
        now: &Now,
        step: &Step,
        receipt: Receipt,
    ) -> Result<(), TestCaseError> {
        let (index, model) = (&mut self.index, &mut self.model);
        let entry = model.named(&receipt);
        let receipts = [receipt];
        let until = model.uptime + LEASE.as_secs();
        let delay = match step {
            Step::Nack(_, Some(delay)) => Some(Duration::from_secs(*delay)),
            _ => None,
        };
        let plan = match step {
            Step::Extend(_) => plan::extend(index, now, &receipts, LEASE),
            Step::Detach(_) => plan::detach(index, now, &receipts),
            _ => nack(index, now, &receipts, Some("why"), delay),
        };
        prop_assert_eq!(commit(index, plan.unwrap())?, [entry.is_some()]);
        let Some(entry) = entry.map(|place| &mut model.entries[place]) else {
            return Ok(());
        };
        match (step, &mut entry.lease) {
            (Step::Extend(_), Some(lease)) => lease.until = until,
            (Step::Detach(_), Some(lease)) => lease.consumer = None,
            _ => {
                entry.lease = None;
                entry.not_before = delay.map(|delay| after(Model::time(model.wall), delay));
            }
        }
        Ok(())
    }

    fn update(
        &mut self,
        id: &str,
        payload: bool,
        priority: Option<Priority>,
        delay: Option<u64>,
    ) -> Result<(), TestCaseError> {
        let model = &mut self.model;
        // One that says nothing of itself: the message keeps its id and its priority.
        let payload = payload.then(|| format!("[{}]", model.sent));
        let due = |delay: u64| (delay > 0).then(|| Model::time(model.wall + delay));
        let not_before = delay.map(due);
        let rewrite = Rewrite {
            payload: payload.as_deref().map(str::as_bytes),
            priority,
            times: not_before.map(Edit::NotBefore).into_iter().collect(),
        };
        let plan = plan::update(&self.index, id, &rewrite, &unlimited().0, false).unwrap();
        let updated = commit(&mut self.index, plan)?;
        model.sent += 1;
        let mut messages = 0;
        for entry in model.entries.iter_mut().filter(|entry| entry.id == id) {
            messages += 1;
            entry.payload = payload.clone().unwrap_or_else(|| entry.payload.clone());
            entry.priority = priority.unwrap_or(entry.priority);
            entry.not_before = not_before.unwrap_or(entry.not_before);
        }
        prop_assert_eq!(updated, Some(messages));
        Ok(())
    }

    fn remove(&mut self, id: &str) -> Result<(), TestCaseError> {
        let before = self.model.entries.len();
        self.model.entries.retain(|entry| entry.id != id);
        let plan = plan::remove(&self.index, &[id, id]).unwrap();
        prop_assert_eq!(
            commit(&mut self.index, plan)?,
            (before - self.model.entries.len()) as u64
        );
        Ok(())
    }

    fn purge(&mut self, now: &Now, state: State) -> Result<(), TestCaseError> {
        let model = &self.model;
        let kept: Vec<Entry> = model
            .entries
            .iter()
            .filter(|entry| model.state(entry) != state)
            .cloned()
            .collect();
        let plan = plan::purge(&mut self.index, now, Some(state)).unwrap();
        prop_assert_eq!(
            commit(&mut self.index, plan)?,
            (model.entries.len() - kept.len()) as u64
        );
        self.model.entries = kept;
        Ok(())
    }

    fn save_without_leases(&mut self, now: &Now) -> Result<(), TestCaseError> {
        let strip = |text: Arc<[u8]>| {
            Arc::clone(
                Element::parse(text)
                    .unwrap()
                    .edit(&[Edit::Lease(None)])
                    .unwrap()
                    .text(),
            )
        };
        let stripped = self.index.array().unwrap().into_iter().map(strip).collect();
        let plan = plan::save(&mut self.index, now, stripped).unwrap();
        commit(&mut self.index, plan)?;
        self.model.save_without_leases();
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 512 }, ..ProptestConfig::default() })]

    /// INV-6 to INV-10.
    #[test]
    fn any_sequence_of_operations_does_what_a_naive_model_does(steps in proptest::collection::vec(step(), 1..if cfg!(miri) { 12 } else { 60 })) {
        let model = Model { entries: Vec::new(), wall: 1000, uptime: 1000, boot: 0, consumer: 0, sent: 0 };
        let mut both = Both { index: Index::empty(), model, receipts: Vec::new(), drawn: Cell::new(0) };
        for step in &steps {
            both.step(step)?;
        }
    }
}
