//! SQLite as an expert would use it: WAL, prepared statements, one partial index that gives the order, a receive that
//! marks and returns in one statement, and a wait that asks without taking the write lock.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};

use crate::peer::{About, Durability, Failure, Peer, Result, Work, pinned, remaining};

const SEND: &str =
    "INSERT INTO messages (priority, ready_at, attempts, payload) VALUES (2, 0, 0, ?1)";
const RECEIVE: &str = "UPDATE messages SET ready_at = unixepoch() + 300, attempts = attempts + 1
    WHERE id IN (SELECT id FROM messages WHERE ready_at = 0 ORDER BY priority, id LIMIT ?1)
    RETURNING id, payload";
const ACK: &str = "DELETE FROM messages WHERE id = ?1";
const POLL: Duration = Duration::from_millis(1);

/// What has to be on stable storage at `power`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Synced {
    /// Every commit.
    All,
    /// The sends.
    Sends,
}

pub struct Sqlite {
    connection: Connection,
    synced: Synced,
    /// Whether the connection is set up to sync its commits, where only some of them are to be synced.
    syncs: bool,
}

impl Sqlite {
    pub fn open(directory: &Path, durability: Durability, synced: Synced) -> Result<Self> {
        if (durability, synced) == (Durability::System, Synced::Sends) {
            let why = "the same as SQLite: it differs in what it syncs";
            return Err(Failure::Unsupported(why.into()));
        }
        let connection = Connection::open(directory.join("queue.db"))?;
        // First of all, because changing to WAL needs the file alone for a moment.
        connection.busy_timeout(Duration::from_secs(30))?;
        let synchronous = match durability {
            Durability::Power => "FULL",
            Durability::System => "NORMAL",
        };
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
             BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, priority INTEGER NOT NULL,
                 ready_at INTEGER NOT NULL, attempts INTEGER NOT NULL, payload TEXT NOT NULL);
             CREATE INDEX IF NOT EXISTS next ON messages (priority, id) WHERE ready_at = 0;
             COMMIT;"
        ))?;
        Ok(Self {
            connection,
            synced,
            syncs: durability == Durability::Power,
        })
    }

    /// Sets the connection up for sends, or for receives and acks.
    fn sync(&mut self, syncs: bool) -> Result<()> {
        if self.synced == Synced::Sends && self.syncs != syncs {
            let synchronous = if syncs { "FULL" } else { "NORMAL" };
            self.connection
                .execute_batch(&format!("PRAGMA synchronous = {synchronous}"))?;
            self.syncs = syncs;
        }
        Ok(())
    }

    /// Marks up to `max` messages as taken and returns them with their ids.
    fn receive(&mut self, max: usize) -> Result<Vec<(i64, String)>> {
        let mut receive = self.connection.prepare_cached(RECEIVE)?;
        let rows =
            receive.query_map([i64::try_from(max)?], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The same, waiting until then for the first.
    fn wait(&mut self, max: usize, until: Instant) -> Result<Vec<(i64, String)>> {
        loop {
            // Read before the receive: what is sent while it looks changes the version.
            let seen = self.version()?;
            let taken = self.receive(max)?;
            if !taken.is_empty() {
                return Ok(taken);
            }
            while self.version()? == seen {
                let Some(left) = remaining(until) else {
                    return Ok(taken);
                };
                sleep(left.min(POLL));
            }
        }
    }

    /// A number that changes when another connection has committed. Reading it takes no lock.
    fn version(&self) -> Result<i64> {
        let mut version = self.connection.prepare_cached("PRAGMA data_version")?;
        Ok(version.query_row([], |row| row.get(0))?)
    }

    fn ack(&mut self, taken: &[(i64, String)]) -> Result<()> {
        match taken {
            [] => {}
            [(id, _)] => {
                self.connection.prepare_cached(ACK)?.execute([id])?;
            }
            _ => {
                let transaction = self
                    .connection
                    .transaction_with_behavior(TransactionBehavior::Immediate)?;
                for (id, _) in taken {
                    transaction.prepare_cached(ACK)?.execute([id])?;
                }
                transaction.commit()?;
            }
        }
        Ok(())
    }
}

impl Peer for Sqlite {
    fn send(&mut self, payload: &str) -> Result<()> {
        self.sync(true)?;
        self.connection.prepare_cached(SEND)?.execute(params![payload])?;
        Ok(())
    }

    fn send_many(&mut self, payloads: &[String]) -> Result<()> {
        self.sync(true)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(SEND)?;
            for payload in payloads {
                insert.execute(params![payload])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn deliver(&mut self, max: usize, until: Option<Instant>, work: &mut Work) -> Result<usize> {
        self.sync(false)?;
        let taken = match until {
            Some(until) => self.wait(max, until)?,
            None => self.receive(max)?,
        };
        for (_, payload) in &taken {
            work(payload.as_bytes())?;
        }
        self.ack(&taken)?;
        Ok(taken.len())
    }

    fn depth(&mut self) -> Result<u64> {
        let count: i64 = self
            .connection
            .query_row("SELECT count(*) FROM messages", [], |row| row.get(0))?;
        Ok(u64::try_from(count)?)
    }

    fn about(&mut self) -> Result<About> {
        Ok(About {
            version: format!("SQLite {}, {}", rusqlite::version(), pinned("rusqlite")),
            power: match self.synced {
                Synced::All => {
                    "journal_mode WAL, synchronous FULL: every commit syncs the log, sends, receives and acks alike"
                }
                Synced::Sends => {
                    "journal_mode WAL, synchronous FULL while it sends and NORMAL while it receives and acks"
                }
            },
            system: "journal_mode WAL, synchronous NORMAL: the log is synced at checkpoints only (every 1,000 pages), so a power cut \
                 may lose the last commits, and nothing else",
            ack: "UPDATE ... RETURNING marks and counts the attempt in one commit, DELETE removes in another",
            batch: "one transaction (BEGIN IMMEDIATE) for the sends, one UPDATE ... LIMIT n, one transaction for the acks",
            wait: "PRAGMA data_version every 1 ms, and a receive when it has changed",
            note: "busy_timeout 30 s; giving back what a dead consumer had is the user's own work, and is left out",
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.connection.close().map_err(|(_, error)| error.into())
    }
}
