//! The oracle: what each operation makes of a list of messages.

use std::time::Duration;

use serde_json::json;

use crate::config::Mode;
use crate::store::fault::FaultStore;
use crate::{
    ErrorKind, Filter, List, MessageUpdate, Nack, Queue, Receive, Result, Spool, State, Sync,
};

/// What can be seen of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Message {
    pub(super) id: String,
    /// Which step gave it the payload that it has.
    version: usize,
    attempts: u64,
    error: Option<String>,
    is_leased: bool,
}

/// What is in the two queues.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Model {
    pub(super) inbound: Vec<Message>,
    archive: Vec<Message>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Send,
    SendMany,
    Receive,
    Ack,
    Nack,
    NackWithReason,
    Pop,
    Extend,
    Checkpoint,
    Convert,
    Update,
    UpdateMessage,
    Remove,
    Move,
    Close,
}

impl Step {
    pub(super) const ALL: [Self; 15] = [
        Self::Send,
        Self::SendMany,
        Self::Receive,
        Self::Ack,
        Self::Nack,
        Self::NackWithReason,
        Self::Pop,
        Self::Extend,
        Self::Checkpoint,
        Self::Convert,
        Self::Update,
        Self::UpdateMessage,
        Self::Remove,
        Self::Move,
        Self::Close,
    ];

    /// Whether a power cut may forget it at `normal`.
    pub(super) fn is_forgettable(self) -> bool {
        use Step::{Ack, Close, Extend, Nack, Pop, Receive};
        matches!(self, Receive | Ack | Nack | Pop | Extend | Close)
    }

    /// Whether it takes several commits, so that a failure may leave it at its beginning or at its end.
    pub(super) fn has_stages(self) -> bool {
        matches!(self, Self::Move | Self::Close)
    }

    /// Whether it is about a message that the process has received.
    pub(super) fn settles(self) -> bool {
        use Step::{Ack, Extend, Nack, NackWithReason};
        matches!(self, Ack | Nack | NackWithReason | Extend)
    }
}

impl Message {
    /// Which step has sent it; of two of one step the second has a letter more.
    fn number(&self) -> (usize, usize) {
        let digits = self.id.trim_matches(char::is_alphabetic);
        (digits.parse().unwrap_or_default(), self.id.len())
    }

    fn new(id: String) -> Self {
        Self {
            id,
            version: 0,
            attempts: 0,
            error: None,
            is_leased: false,
        }
    }
}

impl Model {
    /// What it leads to, by a process that holds these messages; a new message gets this number.
    pub(super) fn after(&self, step: Step, held: &[String], number: usize) -> Self {
        let mut after = self.clone();
        let inbound = &mut after.inbound;
        let is_held = |message: &Message| message.is_leased && held.first() == Some(&message.id);
        let own = inbound.iter().position(is_held);
        let ready = inbound.iter().position(|message| !message.is_leased);
        match step {
            Step::Send => inbound.push(Message::new(format!("m{number}"))),
            Step::SendMany => {
                inbound.extend(["", "b"].map(|end| Message::new(format!("m{number}{end}"))));
            }
            Step::Receive => {
                if let Some(place) = ready {
                    inbound[place].is_leased = true;
                    inbound[place].attempts += 1;
                }
            }
            Step::Ack => drop(own.map(|place| inbound.remove(place))),
            Step::Nack | Step::NackWithReason => {
                if let Some(place) = own {
                    inbound[place].is_leased = false;
                    if step == Step::NackWithReason {
                        inbound[place].error = Some("no session".to_owned());
                    }
                }
            }
            Step::Pop => drop(ready.map(|place| inbound.remove(place))),
            Step::Extend | Step::Checkpoint | Step::Convert => {}
            Step::Update => drop(inbound.pop()),
            Step::UpdateMessage => {
                if let Some(first) = inbound.first_mut() {
                    first.version = number;
                }
            }
            Step::Remove => {
                if !inbound.is_empty() {
                    inbound.remove(0);
                }
            }
            Step::Move => {
                let (stay, go) = std::mem::take(inbound)
                    .into_iter()
                    .partition(|message| message.is_leased);
                *inbound = stay;
                after.archive.extend::<Vec<_>>(go);
                // What was sent first comes first, whenever it arrived.
                after.archive.sort_by_key(Message::number);
            }
            Step::Close => {
                for message in inbound {
                    message.is_leased &= !held.contains(&message.id);
                }
            }
        }
        after
    }

    /// The same, when the leases that were not there before have been given back.
    pub(super) fn without_new_leases(&self, before: &Self) -> Self {
        let mut given_back = self.clone();
        for message in &mut given_back.inbound {
            let is_old = |old: &Message| old.id == message.id && old.is_leased;
            message.is_leased &= before.inbound.iter().any(is_old);
        }
        given_back
    }

    /// What is there when the machine was started again: leases have ended.
    pub(super) fn booted(&self) -> Self {
        let mut booted = self.clone();
        for message in &mut booted.inbound {
            message.is_leased = false;
        }
        booted
    }
}

/// One process, with what it has received.
pub(super) struct Process {
    store: FaultStore,
    spool: Spool,
    inbound: Queue,
    held: Vec<(String, String)>,
}

impl Process {
    pub(super) fn new(store: &FaultStore, sync: Sync) -> Self {
        let store = store.another_process();
        let builder = Spool::builder("unused").sync(sync);
        let spool = builder.open_on(std::sync::Arc::new(store.clone())).unwrap();
        let inbound = spool.queue("inbound").unwrap();
        Self {
            store,
            spool,
            inbound,
            held: Vec::new(),
        }
    }

    /// What it has received and not settled, the oldest first.
    pub(super) fn held(&self) -> Vec<String> {
        self.held.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Does it. A lease that somebody has taken away is no failure.
    pub(super) fn run(&mut self, step: Step, number: usize) -> Result<()> {
        let done = self.try_to(step, number);
        if step.settles() && step != Step::Extend && !self.held.is_empty() {
            self.held.remove(0);
        }
        match done {
            Err(error) if error.kind() == ErrorKind::StaleReceipt => Ok(()),
            other => other,
        }
    }

    fn try_to(&mut self, step: Step, number: usize) -> Result<()> {
        let inbound = &self.inbound;
        let payload =
            |end: &str| json!({ "id": format!("m{number}{end}"), "text": "x".repeat(600) });
        let receipt: Vec<String> = self
            .held
            .iter()
            .take(1)
            .map(|held| held.1.clone())
            .collect();
        let first = |results: Vec<Result<()>>| results.into_iter().collect::<Result<()>>();
        match step {
            Step::Send => inbound.send(&payload("")).map(drop),
            Step::SendMany => inbound.send_many(&[payload(""), payload("b")]).map(drop),
            Step::Receive => {
                if let Some(delivery) = inbound.receive(Receive::new())? {
                    let (id, receipt) = (delivery.id(), delivery.receipt());
                    self.held.push((id.to_owned(), receipt.to_owned()));
                }
                Ok(())
            }
            Step::Ack => inbound.ack(&receipt).and_then(first),
            Step::Nack => inbound.nack(&receipt, &Nack::new()).and_then(first),
            Step::NackWithReason => {
                let nack = Nack::new().error("no session");
                inbound.nack(&receipt, &nack).and_then(first)
            }
            Step::Pop => inbound.pop().map(drop),
            Step::Extend => {
                let lease = Duration::from_secs(900);
                inbound.extend(&receipt, lease).and_then(first)
            }
            Step::Checkpoint => inbound.checkpoint(),
            Step::Convert => inbound.convert(match inbound.mode()? {
                Mode::Plain => Mode::Journal,
                Mode::Journal => Mode::Plain,
            }),
            Step::Update => inbound.update(|array| drop(array.pop())),
            Step::UpdateMessage => {
                let page = inbound.list(&List::new().limit(1))?;
                let Some(id) = page.envelopes.first().and_then(crate::Envelope::id) else {
                    return Ok(());
                };
                let other = json!({ "version": number, "text": "y".repeat(700) });
                let update = MessageUpdate::new().payload(&other);
                inbound.update_message(id, update).map(drop)
            }
            Step::Remove => {
                let page = inbound.list(&List::new().limit(1))?;
                let ids: Vec<&str> = page.envelopes.iter().filter_map(|it| it.id()).collect();
                inbound.remove(&ids).map(drop)
            }
            Step::Move => inbound.move_to("archive", &Filter::new()).map(drop),
            Step::Close => {
                let closed = inbound.close();
                self.held.clear();
                self.inbound = self.spool.queue("inbound")?;
                closed
            }
        }
    }

    /// What it sees.
    pub(super) fn view(&self) -> Result<Model> {
        let inbound = messages(&self.inbound)?;
        let names = self.store.names();
        let archive = if names.iter().any(|name| name.starts_with("archive.json")) {
            messages(&self.spool.queue("archive")?)?
        } else {
            Vec::new()
        };
        Ok(Model { inbound, archive })
    }

    /// It ends without another word.
    pub(super) fn die(self) {
        self.store.die(0);
        let root = crate::store::Store::root_stat(&self.store);
        drop(self.inbound);
        drop(self.spool);
        crate::store::consumer::forget_that_of(root.unwrap().id);
        self.store.heal();
    }
}

fn version(envelope: &crate::Envelope) -> usize {
    let message: serde_json::Value = envelope.message().unwrap();
    let version = message["version"].as_u64();
    usize::try_from(version.unwrap_or_default()).unwrap()
}

fn messages(queue: &Queue) -> Result<Vec<Message>> {
    let page = queue.list(&List::new().limit(1000))?;
    let message = |envelope: &crate::Envelope| Message {
        id: envelope.id().unwrap_or_default().to_owned(),
        version: version(envelope),
        attempts: envelope.attempts(),
        error: envelope.error().map(str::to_owned),
        is_leased: envelope.state() == State::Leased,
    };
    let on_its_way = |envelope: &crate::Envelope| {
        let text = String::from_utf8_lossy(envelope.text()).into_owned();
        assert!(!text.contains("\"move\":"), "a move has not ended: {text}");
    };
    page.envelopes.iter().for_each(on_its_way);
    Ok(page.envelopes.iter().map(message).collect())
}
