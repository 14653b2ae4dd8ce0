//! The same three operations on different stores.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use flockq::{Message, Queue, Receive, Spool, Sync};
use rusqlite::{Connection, OptionalExtension, params};

/// One way to keep a queue.
pub trait Contender {
    fn send(&mut self, payload: &str);
    fn send_many(&mut self, payloads: &[String]);
    fn receive_and_ack(&mut self);
    /// The same, when a message may have to be waited for.
    fn wait_and_ack(&mut self) {
        self.receive_and_ack();
    }
}

/// This library.
pub struct Flockq(Queue);

impl Flockq {
    pub fn new(directory: &Path, mode: &str, durable: bool) -> Self {
        let config = format!("{{\"version\":1,\"default\":{{\"mode\":\"{mode}\"}}}}");
        let file = directory.join("flockq.json");
        if !file.exists() {
            std::fs::write(file, config).expect("a configuration");
        }
        let sync = if durable { Sync::Normal } else { Sync::Off };
        let spool = Spool::builder(directory)
            .sync(sync)
            .open()
            .expect("a spool");
        Self(spool.queue("inbound").expect("a queue"))
    }
}

impl Contender for Flockq {
    fn send(&mut self, payload: &str) {
        self.0.send(Message::from_json(payload)).expect("sent");
    }

    fn send_many(&mut self, payloads: &[String]) {
        self.0
            .send_many(
                payloads
                    .iter()
                    .map(|payload| Message::from_json(payload.as_str())),
            )
            .expect("sent");
    }

    fn receive_and_ack(&mut self) {
        let delivery = self
            .0
            .receive(Receive::new())
            .expect("looked")
            .expect("a message");
        delivery.ack().expect("acked");
    }

    fn wait_and_ack(&mut self) {
        let how = Receive::new().wait(std::time::Duration::from_secs(60));
        let delivery = self.0.receive(how).expect("looked").expect("a message");
        delivery.ack().expect("acked");
    }
}

/// SQLite in WAL mode: prepared statements, one index that gives the order, a receive that marks and returns in one
/// statement.
pub struct Sqlite(Connection);

impl Sqlite {
    pub fn new(directory: &Path, durable: bool) -> Self {
        let connection = Connection::open(directory.join("queue.db")).expect("a database");
        let synchronous = if durable { "FULL" } else { "NORMAL" };
        connection
            .execute_batch(&format!(
                "PRAGMA busy_timeout = 30000; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
                 CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, priority INTEGER NOT NULL, ready_at INTEGER NOT NULL,
                                        attempts INTEGER NOT NULL, payload TEXT NOT NULL);
                 CREATE INDEX IF NOT EXISTS next ON messages (priority, id) WHERE ready_at = 0;"
            ))
            .expect("a schema");
        Self(connection)
    }
}

impl Contender for Sqlite {
    fn send(&mut self, payload: &str) {
        let mut insert = self
            .0
            .prepare_cached(
                "INSERT INTO messages (priority, ready_at, attempts, payload) VALUES (2, 0, 0, ?1)",
            )
            .expect("a statement");
        insert.execute(params![payload]).expect("sent");
    }

    fn send_many(&mut self, payloads: &[String]) {
        let transaction = self.0.transaction().expect("a transaction");
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO messages (priority, ready_at, attempts, payload) VALUES (2, 0, 0, ?1)")
                .expect("a statement");
            for payload in payloads {
                insert.execute(params![payload]).expect("sent");
            }
        }
        transaction.commit().expect("sent");
    }

    fn receive_and_ack(&mut self) {
        assert!(self.take(), "a message");
    }

    fn wait_and_ack(&mut self) {
        while !self.take() {
            // Nothing tells of a message: whoever waits has to look again.
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
    }
}

impl Sqlite {
    /// Receives and acks; whether there was something.
    fn take(&mut self) -> bool {
        let mut receive = self
            .0
            .prepare_cached(
                "UPDATE messages SET ready_at = 9999999999, attempts = attempts + 1
                 WHERE id = (SELECT id FROM messages WHERE ready_at = 0 ORDER BY priority, id LIMIT 1)
                 RETURNING id, payload",
            )
            .expect("a statement");
        let found: Option<(i64, String)> = receive
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .expect("looked");
        drop(receive);
        let Some((id, _payload)) = found else {
            return false;
        };
        let mut ack = self
            .0
            .prepare_cached("DELETE FROM messages WHERE id = ?1")
            .expect("a statement");
        ack.execute(params![id]).expect("acked");
        true
    }
}

/// The system calls of a commit, made bare: what no library that locks and appends can be faster than.
pub struct Floor {
    directory: File,
    lock: File,
    journal: File,
    end: u64,
    durable: bool,
}

impl Floor {
    pub fn new(directory: &Path, durable: bool) -> Self {
        let make = |name: &str| {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            options.open(directory.join(name)).expect("a file")
        };
        Self {
            lock: make("lock"),
            journal: make("journal"),
            directory: File::open(directory).expect("the directory"),
            end: 0,
            durable,
        }
    }

    fn commit(&mut self, bytes: &[u8], durable: bool) {
        use rustix::fs::{AtFlags, FlockOperation, flock, statat};
        let look =
            |name: &str| statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW).expect("looked");
        flock(&self.lock, FlockOperation::NonBlockingLockExclusive).expect("locked");
        look("journal");
        look("lock");
        self.journal.write_all_at(bytes, self.end).expect("written");
        self.end += bytes.len() as u64;
        if durable {
            self.journal.sync_data().expect("synced");
        }
        let mut page = [0; 16];
        let _ = self.lock.read_at(&mut page, 0);
        flock(&self.lock, FlockOperation::Unlock).expect("unlocked");
    }
}

impl Contender for Floor {
    fn send(&mut self, payload: &str) {
        self.commit(payload.as_bytes(), self.durable);
    }

    fn send_many(&mut self, payloads: &[String]) {
        self.commit(payloads.concat().as_bytes(), self.durable);
    }

    fn receive_and_ack(&mut self) {
        self.commit(&[b'r'; 400], false);
        self.commit(&[b'a'; 110], false);
    }
}
