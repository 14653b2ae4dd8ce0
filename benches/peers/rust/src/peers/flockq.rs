//! This library.

use std::path::Path;
use std::time::Instant;

use flockq::{Delivery, Init, Message, Queue, Receive, Spool, Sync};

use crate::peer::{About, Durability, Failure, Peer, Result, Work, pinned, remaining};

/// Which of its ways to commit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Journal,
    /// A journal, with every receive and ack synced too.
    JournalFull,
    Plain,
}

pub struct Flockq {
    spool: Spool,
    queue: Queue,
    mode: Mode,
}

impl Flockq {
    pub fn open(directory: &Path, durability: Durability, mode: Mode) -> Result<Self> {
        let sync = match (durability, mode) {
            (Durability::Power, Mode::JournalFull) => Sync::Full,
            (Durability::Power, _) => Sync::Normal,
            (Durability::System, Mode::JournalFull) => {
                let why = "the same as flockq: it differs in what it syncs";
                return Err(Failure::Unsupported(why.into()));
            }
            (Durability::System, _) => Sync::Off,
        };
        if mode == Mode::Plain {
            Spool::init(directory, &Init::new().plain(true))?;
        }
        let spool = Spool::builder(directory).create(true).sync(sync).open()?;
        let queue = spool.queue("inbound")?;
        Ok(Self { spool, queue, mode })
    }
}

impl Peer for Flockq {
    fn send(&mut self, payload: &str) -> Result<()> {
        self.queue.send(Message::from_json(payload))?;
        Ok(())
    }

    fn send_many(&mut self, payloads: &[String]) -> Result<()> {
        let messages = payloads
            .iter()
            .map(|text| Message::from_json(text.as_str()));
        self.queue.send_many(messages)?;
        Ok(())
    }

    fn deliver(&mut self, max: usize, until: Option<Instant>, work: &mut Work) -> Result<usize> {
        let how = match until.and_then(remaining) {
            Some(left) => Receive::new().wait(left),
            None => Receive::new(),
        };
        let taken = self.queue.receive_many(max, how)?;
        for delivery in &taken {
            work(delivery.payload())?;
        }
        if !taken.is_empty() {
            let receipts: Vec<&str> = taken.iter().map(Delivery::receipt).collect();
            for acked in self.queue.ack(&receipts)? {
                acked?;
            }
        }
        Ok(taken.len())
    }

    fn depth(&mut self) -> Result<u64> {
        Ok(self.queue.len()?)
    }

    fn about(&mut self) -> Result<About> {
        Ok(About {
            version: pinned("flockq"),
            power: match self.mode {
                Mode::JournalFull => {
                    "sync full: every commit is on stable storage before the call returns, receives and acks too"
                }
                _ => {
                    "sync normal, the default: every send is on stable storage before it returns; a power cut may forget \
                     receives and acks, which redelivers and loses nothing"
                }
            },
            system: "sync off: nothing is synced but at checkpoints; the death of a process loses nothing",
            ack: "receive takes a lease and counts the attempt in one commit, ack removes in another",
            batch: "send_many, receive_many and an ack of many receipts: one commit each",
            wait: "receive with a wait: a futex and inotify, no poll",
            note: match self.mode {
                Mode::Plain => {
                    "plain mode: every commit writes the whole file, for directories shared with programs without the library"
                }
                _ => "",
            },
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.spool.close()?)
    }
}
