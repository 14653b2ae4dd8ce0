//! The same three operations on different stores.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use flockq::{Message, Queue, Receive, Spool, Sync};
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};
use rusqlite::{Connection, OptionalExtension, params};

/// One way to keep a queue.
pub trait Contender {
    fn send(&mut self, payload: &str);
    fn send_many(&mut self, payloads: &[String]);
    fn receive_and_ack(&mut self);
    /// Receives so many and acks them.
    fn receive_and_ack_many(&mut self, count: usize) {
        for _ in 0..count {
            self.receive_and_ack();
        }
    }
    /// As `receive_and_ack`, when a message may have to be waited for.
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

impl Flockq {
    /// Waits for a message; what `clock` said when it was there.
    pub fn wait_and_ack_at(&mut self, clock: fn() -> i64) -> i64 {
        let how = Receive::new().wait(std::time::Duration::from_secs(60));
        let delivery = self.0.receive(how).expect("looked").expect("a message");
        let had = clock();
        delivery.ack().expect("acked");
        had
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

    fn receive_and_ack_many(&mut self, count: usize) {
        let taken = self.0.receive_many(count, Receive::new()).expect("looked");
        assert_eq!(taken.len(), count);
        let receipts: Vec<&str> = taken.iter().map(flockq::Delivery::receipt).collect();
        for acked in self.0.ack(&receipts).expect("acked") {
            acked.expect("acked");
        }
    }

    fn wait_and_ack(&mut self) {
        self.wait_and_ack_at(|| 0);
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

    fn receive_and_ack_many(&mut self, count: usize) {
        let transaction = self.0.transaction().expect("a transaction");
        let ids: Vec<i64> = {
            let mut receive = transaction
                .prepare_cached(
                    "UPDATE messages SET ready_at = 9999999999, attempts = attempts + 1
                     WHERE id IN (SELECT id FROM messages WHERE ready_at = 0 ORDER BY priority, id LIMIT ?1)
                     RETURNING id, payload",
                )
                .expect("a statement");
            let rows = receive.query_map([i64::try_from(count).expect("a small number")], |row| {
                let _payload: String = row.get(1)?;
                row.get(0)
            });
            rows.expect("looked").map(|id| id.expect("a row")).collect()
        };
        transaction.commit().expect("received");
        assert_eq!(ids.len(), count);
        let transaction = self.0.transaction().expect("a transaction");
        {
            let mut ack = transaction
                .prepare_cached("DELETE FROM messages WHERE id = ?1")
                .expect("a statement");
            for id in ids {
                ack.execute(params![id]).expect("acked");
            }
        }
        transaction.commit().expect("acked");
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

/// LMDB: what is ready in the order of delivery, what is leased by its key, a transaction for each operation.
pub struct Lmdb {
    env: Env,
    ready: Database<Bytes, Bytes>,
    leased: Database<Bytes, Bytes>,
    next: u64,
}

impl Lmdb {
    pub fn new(directory: &Path, durable: bool) -> Self {
        let mut options = EnvOpenOptions::new();
        options.map_size(1 << 30).max_dbs(2);
        // SAFETY: nobody else has the files of a directory that was just made.
        let env = unsafe {
            if !durable {
                options.flags(EnvFlags::NO_SYNC);
            }
            options.open(directory)
        }
        .expect("an environment");
        let mut change = env.write_txn().expect("a transaction");
        let ready = env
            .create_database(&mut change, Some("ready"))
            .expect("a table");
        let leased = env
            .create_database(&mut change, Some("leased"))
            .expect("a table");
        change.commit().expect("tables");
        let next = 0;
        Self {
            env,
            ready,
            leased,
            next,
        }
    }

    /// Priority and number.
    fn key(&mut self) -> [u8; 9] {
        self.next += 1;
        let mut key = [2; 9];
        key[1..].copy_from_slice(&self.next.to_be_bytes());
        key
    }

    fn receive(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut change = self.env.write_txn().expect("a transaction");
        let first = self.ready.iter(&change).expect("looked").take(count);
        let taken: Vec<(Vec<u8>, Vec<u8>)> = first
            .map(|row| row.map(|(key, payload)| (key.to_vec(), payload.to_vec())))
            .collect::<Result<_, _>>()
            .expect("looked");
        for (key, payload) in &taken {
            self.ready.delete(&mut change, key).expect("taken");
            self.leased.put(&mut change, key, payload).expect("leased");
        }
        change.commit().expect("received");
        assert_eq!(taken.len(), count);
        taken.into_iter().map(|(key, _)| key).collect()
    }

    fn ack(&mut self, keys: &[Vec<u8>]) {
        let mut change = self.env.write_txn().expect("a transaction");
        for key in keys {
            assert!(self.leased.delete(&mut change, key).expect("acked"));
        }
        change.commit().expect("acked");
    }
}

impl Contender for Lmdb {
    fn send(&mut self, payload: &str) {
        let key = self.key();
        let mut change = self.env.write_txn().expect("a transaction");
        self.ready
            .put(&mut change, &key, payload.as_bytes())
            .expect("sent");
        change.commit().expect("sent");
    }

    fn send_many(&mut self, payloads: &[String]) {
        let keys: Vec<[u8; 9]> = payloads.iter().map(|_| self.key()).collect();
        let mut change = self.env.write_txn().expect("a transaction");
        for (key, payload) in keys.iter().zip(payloads) {
            self.ready
                .put(&mut change, key, payload.as_bytes())
                .expect("sent");
        }
        change.commit().expect("sent");
    }

    fn receive_and_ack(&mut self) {
        self.receive_and_ack_many(1);
    }

    fn receive_and_ack_many(&mut self, count: usize) {
        let keys = self.receive(count);
        self.ack(&keys);
    }
}

/// Yaque: one sender and one receiver, which have the files to themselves; nothing is leased, nothing has a priority.
pub struct Yaque {
    sender: yaque::Sender,
    receiver: yaque::Receiver,
}

impl Yaque {
    pub fn new(directory: &Path) -> Self {
        let path = directory.join("queue");
        Self {
            sender: yaque::Sender::open(&path).expect("a sender"),
            receiver: yaque::Receiver::open(&path).expect("a receiver"),
        }
    }
}

impl Contender for Yaque {
    fn send(&mut self, payload: &str) {
        self.sender.try_send(payload).expect("sent");
    }

    fn send_many(&mut self, payloads: &[String]) {
        self.sender.try_send_batch(payloads).expect("sent");
    }

    fn receive_and_ack(&mut self) {
        self.receiver
            .try_recv()
            .expect("a message")
            .commit()
            .expect("acked");
    }

    fn receive_and_ack_many(&mut self, count: usize) {
        let taken = self.receiver.try_recv_batch(count).expect("messages");
        assert_eq!(taken.len(), count);
        taken.commit().expect("acked");
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
