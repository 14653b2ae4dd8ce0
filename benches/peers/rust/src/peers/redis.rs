//! Redis: two lists, as its documentation of LMOVE and BLMOVE recommends for a reliable queue.

use std::time::Instant;

use redis::{Client, Connection, cmd, pipe};

use super::address;
use crate::peer::{About, Durability, Failure, Peer, Result, Work, pinned, remaining};

pub struct Redis {
    connection: Connection,
    waiting: String,
    processing: String,
}

impl Redis {
    pub fn open(url: &str, durability: Durability) -> Result<Self> {
        let (server, name) = address(url);
        let mut connection = Client::open(server)?.get_connection()?;
        let expected = match durability {
            Durability::Power => "always",
            Durability::System => "everysec",
        };
        let [appendonly, appendfsync] = ["appendonly", "appendfsync"].map(|setting| {
            cmd("CONFIG")
                .arg("GET")
                .arg(setting)
                .query::<(String, String)>(&mut connection)
        });
        let is = (appendonly?.1, appendfsync?.1);
        if (is.0.as_str(), is.1.as_str()) != ("yes", expected) {
            return Err(Failure::from(format!(
                "the server has appendonly {} and appendfsync {}; yes and {expected} is what is measured",
                is.0, is.1
            )));
        }
        Ok(Self {
            connection,
            waiting: name.to_owned(),
            processing: format!("{name}:processing"),
        })
    }

    /// Moves up to `max` messages to the list of what is being worked on.
    fn receive(&mut self, max: usize) -> Result<Vec<Vec<u8>>> {
        let mut moves = pipe();
        for _ in 0..max {
            moves
                .cmd("LMOVE")
                .arg(&self.waiting)
                .arg(&self.processing)
                .arg("RIGHT")
                .arg("LEFT");
        }
        let taken: Vec<Option<Vec<u8>>> = moves.query(&mut self.connection)?;
        Ok(taken.into_iter().flatten().collect())
    }

    /// The same, waiting until then for the first.
    fn wait(&mut self, max: usize, until: Instant) -> Result<Vec<Vec<u8>>> {
        let Some(left) = remaining(until) else {
            return Ok(Vec::new());
        };
        let first: Option<Vec<u8>> = cmd("BLMOVE")
            .arg(&self.waiting)
            .arg(&self.processing)
            .arg("RIGHT")
            .arg("LEFT")
            // 0 is for ever.
            .arg(left.as_secs_f64().max(0.001))
            .query(&mut self.connection)?;
        let mut taken: Vec<Vec<u8>> = first.into_iter().collect();
        if !taken.is_empty() && max > 1 {
            taken.extend(self.receive(max - 1)?);
        }
        Ok(taken)
    }

    fn ack(&mut self, taken: &[Vec<u8>]) -> Result<()> {
        let mut removals = pipe();
        for payload in taken {
            removals
                .cmd("LREM")
                .arg(&self.processing)
                // From its end: what was taken first stands there.
                .arg(-1)
                .arg(payload);
        }
        let removed: Vec<u32> = removals.query(&mut self.connection)?;
        if removed.iter().any(|count| *count != 1) {
            return Err("a message in hand is not in the list of what is worked on".into());
        }
        Ok(())
    }
}

impl Peer for Redis {
    fn send(&mut self, payload: &str) -> Result<()> {
        cmd("LPUSH")
            .arg(&self.waiting)
            .arg(payload)
            .exec(&mut self.connection)?;
        Ok(())
    }

    fn send_many(&mut self, payloads: &[String]) -> Result<()> {
        cmd("LPUSH")
            .arg(&self.waiting)
            .arg(payloads)
            .exec(&mut self.connection)?;
        Ok(())
    }

    fn deliver(&mut self, max: usize, until: Option<Instant>, work: &mut Work) -> Result<usize> {
        let taken = match until {
            Some(until) => self.wait(max, until)?,
            None => self.receive(max)?,
        };
        for payload in &taken {
            work(payload)?;
        }
        if !taken.is_empty() {
            self.ack(&taken)?;
        }
        Ok(taken.len())
    }

    fn depth(&mut self) -> Result<u64> {
        let lengths: (u64, u64) = pipe()
            .cmd("LLEN")
            .arg(&self.waiting)
            .cmd("LLEN")
            .arg(&self.processing)
            .query(&mut self.connection)?;
        Ok(lengths.0 + lengths.1)
    }

    fn about(&mut self) -> Result<About> {
        let told: String = cmd("INFO").arg("server").query(&mut self.connection)?;
        let server = told
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"))
            .unwrap_or("?");
        Ok(About {
            version: format!("Redis {server}, {}", pinned("redis")),
            power: "appendonly yes, appendfsync always: the log is synced before the reply",
            system: "appendonly yes, appendfsync everysec, the default: the log is synced once a second",
            ack: "BLMOVE or LMOVE to a list of what is worked on, LREM from it",
            batch: "LPUSH of many, which is one command; LMOVE and LREM in pipelines",
            wait: "BLMOVE",
            note: "finding what a dead consumer left in the list of what is worked on is the user's own work, and is left out",
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
