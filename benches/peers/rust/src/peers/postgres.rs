//! PostgreSQL: a table, rows that others hold are skipped, and a notification for each send.

use std::time::Instant;

use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, NoTls, Statement};

use super::address;
use crate::peer::{About, Durability, Failure, Peer, Result, Work, pinned, remaining};

pub struct Postgres {
    client: Client,
    /// In quotes.
    table: String,
    send: Statement,
    send_many: Statement,
    /// The receive of up to so many.
    receive: Option<(usize, Statement)>,
    listening: bool,
}

impl Postgres {
    pub fn open(url: &str, durability: Durability) -> Result<Self> {
        let (server, name) = address(url);
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            return Err(Failure::from(format!("{name} is no name for a table")));
        }
        let table = format!("\"{name}\"");
        let mut client = Client::connect(server, NoTls)?;
        let expected = match durability {
            Durability::Power => "on",
            Durability::System => "off",
        };
        let is: String = client.query_one("SHOW synchronous_commit", &[])?.get(0);
        if is != expected {
            return Err(Failure::from(format!(
                "the server has synchronous_commit {is}; {expected} is what is measured"
            )));
        }
        // Two that make the same table at once fail, whatever they say about its existence: one after the other.
        client.batch_execute(&format!(
            "SET client_min_messages = warning;
             BEGIN;
             SELECT pg_advisory_xact_lock(1);
             CREATE TABLE IF NOT EXISTS {table} (id bigserial PRIMARY KEY, payload text NOT NULL);
             COMMIT;"
        ))?;
        let send = client.prepare(&format!(
            "WITH sent AS (INSERT INTO {table} (payload) VALUES ($1) RETURNING 1)
             SELECT pg_notify('{name}', '') FROM sent"
        ))?;
        let send_many = client.prepare(&format!(
            "WITH sent AS (INSERT INTO {table} (payload) SELECT unnest($1::text[]) RETURNING 1)
             SELECT pg_notify('{name}', '') FROM (SELECT count(*) FROM sent) AS counted"
        ))?;
        Ok(Self {
            client,
            table,
            send,
            send_many,
            receive: None,
            listening: false,
        })
    }

    /// The number stands in the text, so that the plan fits it.
    fn receive(&mut self, max: usize) -> Result<Statement> {
        if let Some((of, statement)) = &self.receive
            && *of == max
        {
            return Ok(statement.clone());
        }
        let table = &self.table;
        let statement = self.client.prepare(&format!(
            "DELETE FROM {table} WHERE id = ANY(ARRAY(
                 SELECT id FROM {table} ORDER BY id LIMIT {max} FOR UPDATE SKIP LOCKED))
             RETURNING payload"
        ))?;
        self.receive = Some((max, statement.clone()));
        Ok(statement)
    }

    /// Receives and deletes in one transaction, which holds the rows while they are worked on.
    fn take(&mut self, max: usize, work: &mut Work) -> Result<usize> {
        let receive = self.receive(max)?;
        let mut transaction = self.client.transaction()?;
        let rows = transaction.query(&receive, &[])?;
        for row in &rows {
            work(row.get::<_, &str>(0).as_bytes())?;
        }
        transaction.commit()?;
        Ok(rows.len())
    }

    /// Listens before it looks, so that nothing is sent unheard in between.
    fn listen(&mut self) -> Result<()> {
        if !self.listening {
            self.client
                .batch_execute(&format!("LISTEN {}", self.table))?;
            self.listening = true;
        }
        Ok(())
    }
}

impl Peer for Postgres {
    fn send(&mut self, payload: &str) -> Result<()> {
        self.client.execute(&self.send, &[&payload])?;
        Ok(())
    }

    fn send_many(&mut self, payloads: &[String]) -> Result<()> {
        self.client.execute(&self.send_many, &[&payloads])?;
        Ok(())
    }

    fn deliver(&mut self, max: usize, until: Option<Instant>, work: &mut Work) -> Result<usize> {
        let Some(until) = until else {
            return self.take(max, work);
        };
        self.listen()?;
        loop {
            let count = self.take(max, work)?;
            if count > 0 {
                return Ok(count);
            }
            // What came while it looked is reason enough to look again; all of it is one reason.
            let heard = self.client.notifications().iter().count()?;
            if heard > 0 {
                continue;
            }
            let Some(left) = remaining(until) else {
                return Ok(0);
            };
            self.client.notifications().timeout_iter(left).next()?;
        }
    }

    fn depth(&mut self) -> Result<u64> {
        let count = format!("SELECT count(*) FROM {}", self.table);
        let messages: i64 = self.client.query_one(&count, &[])?.get(0);
        Ok(u64::try_from(messages)?)
    }

    fn about(&mut self) -> Result<About> {
        let server: String = self.client.query_one("SHOW server_version", &[])?.get(0);
        Ok(About {
            version: format!("PostgreSQL {server}, {}", pinned("postgres")),
            power: "synchronous_commit on, the default: the log is synced before the commit returns",
            system: "synchronous_commit off: the log is written and synced within three times wal_writer_delay (200 ms)",
            ack: "one transaction: DELETE ... FOR UPDATE SKIP LOCKED ... RETURNING takes, COMMIT acks; a consumer that dies rolls back",
            batch: "one INSERT of many; one DELETE of up to n",
            wait: "LISTEN; each send notifies in its own transaction",
            note: "no attempts are counted, because the transaction of a consumer that dies leaves no trace",
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.client.close()?)
    }
}
