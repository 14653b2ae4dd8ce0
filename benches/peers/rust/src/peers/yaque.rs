//! Yaque: a queue in files that one sender and one receiver have to themselves.

use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::executor::block_on;
use futures_timer::Delay;
use yaque::{Receiver, Sender, TryRecvError};

use crate::peer::{About, Durability, Failure, Peer, Result, Work, pinned, remaining};

/// Each side is opened by the actor that needs it, because it excludes all others.
pub struct Yaque {
    place: PathBuf,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
}

impl Yaque {
    pub fn open(directory: &Path, durability: Durability) -> Result<Self> {
        if durability == Durability::Power {
            let why = "it never syncs: a send ends with the flush of a BufWriter, and there is no call that does more";
            return Err(Failure::Unsupported(why.into()));
        }
        Ok(Self {
            place: directory.join("queue"),
            sender: None,
            receiver: None,
        })
    }

    fn sender(&mut self) -> Result<&mut Sender> {
        if self.sender.is_none() {
            self.sender = Some(Sender::open(&self.place).map_err(alone)?);
        }
        self.sender.as_mut().ok_or_else(|| "no sender".into())
    }

    fn receiver(&mut self) -> Result<&mut Receiver> {
        if self.receiver.is_none() {
            self.receiver = Some(Receiver::open(&self.place).map_err(alone)?);
        }
        self.receiver.as_mut().ok_or_else(|| "no receiver".into())
    }
}

/// A side that somebody else has is nothing that can be waited for.
fn alone(error: std::io::Error) -> Failure {
    if error.to_string().contains("already in use") {
        let why = "it has one sender and one receiver, and somebody else is that already";
        return Failure::Unsupported(why.into());
    }
    error.into()
}

impl Peer for Yaque {
    fn send(&mut self, payload: &str) -> Result<()> {
        Ok(self.sender()?.try_send(payload)?)
    }

    fn send_many(&mut self, payloads: &[String]) -> Result<()> {
        self.sender()?
            .try_send_batch(payloads)
            .map_err(|error| Failure::from(error.to_string()))
    }

    fn deliver(&mut self, max: usize, until: Option<Instant>, work: &mut Work) -> Result<usize> {
        let receiver = self.receiver()?;
        if max == 1 {
            let taken = match until.and_then(remaining) {
                Some(left) => block_on(receiver.recv_timeout(Delay::new(left)))?,
                None => there(receiver.try_recv())?,
            };
            let Some(taken) = taken else { return Ok(0) };
            work(&taken)?;
            taken.commit()?;
            return Ok(1);
        }
        // The first is waited for and given back: then there is something to take up to `max` of.
        if let Some(left) = until.and_then(remaining) {
            match block_on(receiver.recv_timeout(Delay::new(left)))? {
                Some(first) => first.rollback()?,
                None => return Ok(0),
            }
        }
        let Some(taken) = there(receiver.try_recv_batch_up_to(max))? else {
            return Ok(0);
        };
        for payload in taken.iter() {
            work(payload)?;
        }
        let count = taken.len();
        taken.commit()?;
        Ok(count)
    }

    fn depth(&mut self) -> Result<u64> {
        let why = "it keeps no count, and only the one receiver may look";
        Err(Failure::Unsupported(why.into()))
    }

    fn about(&mut self) -> Result<About> {
        Ok(About {
            version: pinned("yaque"),
            power: "not to be had: it never syncs",
            system: "a send is one write, flushed to the operating system",
            ack: "a guard that is committed; the receiver's place is saved every 250 messages and when it is dropped, so that one \
                 that is killed sees up to 249 messages again",
            batch: "try_send_batch: one flush; try_recv_batch_up_to: one guard",
            wait: "recv: inotify",
            note: "one sender and one receiver; no attempts, no delays, no priorities",
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        if let Some(mut receiver) = self.receiver {
            receiver.save()?;
        }
        Ok(())
    }
}

/// An empty queue is no error.
fn there<T>(tried: std::result::Result<T, TryRecvError>) -> Result<Option<T>> {
    match tried {
        Ok(taken) => Ok(Some(taken)),
        Err(TryRecvError::QueueEmpty) => Ok(None),
        Err(error) => Err(Failure::from(format!("{error:?}"))),
    }
}
