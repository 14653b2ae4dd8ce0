//! beanstalkd: put, reserve, delete. The protocol is lines of text, of which five commands are needed.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::address;
use crate::peer::{About, Failure, Peer, Result, Work, remaining};

/// Seconds until a reserved job that was not deleted is ready again.
const TIME_TO_RUN: u32 = 300;

pub struct Beanstalkd {
    url: String,
    stream: BufReader<TcpStream>,
    tube: String,
    /// Commands not yet sent.
    commands: Vec<u8>,
}

/// A reserved job.
struct Job {
    id: String,
    payload: Vec<u8>,
}

impl Beanstalkd {
    pub fn open(url: &str) -> Result<Self> {
        let (server, tube) = address(url);
        let host = server.split_once("://").map_or(server, |(_, host)| host);
        let stream = TcpStream::connect(host.trim_end_matches('/'))?;
        stream.set_nodelay(true)?;
        let mut peer = Self {
            url: url.to_owned(),
            stream: BufReader::new(stream),
            tube: tube.to_owned(),
            commands: Vec::new(),
        };
        write!(peer.commands, "use {tube}\r\nwatch {tube}\r\n")?;
        peer.flush()?;
        peer.expect("USING")?;
        peer.expect("WATCHING")?;
        if tube != "default" {
            peer.commands.extend_from_slice(b"ignore default\r\n");
            peer.flush()?;
            peer.expect("WATCHING")?;
        }
        Ok(peer)
    }

    /// Sends the commands in one write.
    fn flush(&mut self) -> Result<()> {
        self.stream.get_mut().write_all(&self.commands)?;
        self.commands.clear();
        Ok(())
    }

    fn reply(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("beanstalkd has closed the connection".into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    /// The reply's words after the one that is expected.
    fn expect(&mut self, word: &str) -> Result<String> {
        let line = self.reply()?;
        match line.strip_prefix(word) {
            Some(rest) => Ok(rest.trim_start().to_owned()),
            None => Err(Failure::from(format!("beanstalkd said {line}, not {word}"))),
        }
    }

    /// The bytes that follow a reply.
    fn body(&mut self, size: &str) -> Result<Vec<u8>> {
        let mut body = vec![0; size.parse::<usize>()? + 2];
        self.stream.read_exact(&mut body)?;
        body.truncate(body.len() - 2);
        Ok(body)
    }

    fn put(&mut self, payload: &str) -> Result<()> {
        let size = payload.len();
        write!(
            self.commands,
            "put 1024 0 {TIME_TO_RUN} {size}\r\n{payload}\r\n"
        )?;
        Ok(())
    }

    /// The reply to a reserve: a job, or none when none came in time.
    fn reserved(&mut self) -> Result<Option<Job>> {
        let line = self.reply()?;
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["RESERVED", id, size] => {
                let payload = self.body(size)?;
                let id = (*id).to_owned();
                Ok(Some(Job { id, payload }))
            }
            ["TIMED_OUT"] => Ok(None),
            _ => Err(Failure::from(format!("beanstalkd said {line}"))),
        }
    }

    /// Reserves up to `max` jobs of those that are ready.
    fn receive(&mut self, max: usize) -> Result<Vec<Job>> {
        for _ in 0..max {
            self.commands
                .extend_from_slice(b"reserve-with-timeout 0\r\n");
        }
        self.flush()?;
        let mut jobs = Vec::new();
        for _ in 0..max {
            jobs.extend(self.reserved()?);
        }
        Ok(jobs)
    }

    /// The same, waiting until then for the first. The server counts in whole seconds: so it is asked to wait for ever, and who has
    /// waited long enough hangs up, which gives back what was just on its way.
    fn wait(&mut self, max: usize, until: Instant) -> Result<Vec<Job>> {
        let Some(left) = remaining(until) else {
            return Ok(Vec::new());
        };
        self.commands.extend_from_slice(b"reserve\r\n");
        self.flush()?;
        self.stream.get_ref().set_read_timeout(Some(left))?;
        let comes = match self.stream.fill_buf() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            other => {
                other?;
                true
            }
        };
        if !comes {
            *self = Self::open(&self.url.clone())?;
            return Ok(Vec::new());
        }
        self.stream.get_ref().set_read_timeout(None)?;
        let mut jobs: Vec<Job> = self.reserved()?.into_iter().collect();
        if !jobs.is_empty() && max > 1 {
            jobs.extend(self.receive(max - 1)?);
        }
        Ok(jobs)
    }

    fn ack(&mut self, jobs: &[Job]) -> Result<()> {
        for job in jobs {
            write!(self.commands, "delete {}\r\n", job.id)?;
        }
        self.flush()?;
        for _ in jobs {
            self.expect("DELETED")?;
        }
        Ok(())
    }

    /// The numbers and texts that a command for statistics gives.
    fn statistics(&mut self, command: &str) -> Result<Vec<(String, String)>> {
        write!(self.commands, "{command}\r\n")?;
        self.flush()?;
        let size = self.expect("OK")?;
        let text = String::from_utf8(self.body(&size)?)?;
        let pairs = text.lines().filter_map(|line| line.split_once(": "));
        Ok(pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }
}

impl Peer for Beanstalkd {
    fn send(&mut self, payload: &str) -> Result<()> {
        self.put(payload)?;
        self.flush()?;
        self.expect("INSERTED")?;
        Ok(())
    }

    fn send_many(&mut self, payloads: &[String]) -> Result<()> {
        for payload in payloads {
            self.put(payload)?;
        }
        self.flush()?;
        for _ in payloads {
            self.expect("INSERTED")?;
        }
        Ok(())
    }

    fn deliver(&mut self, max: usize, until: Option<Instant>, work: &mut Work) -> Result<usize> {
        let jobs = match until {
            Some(until) => self.wait(max, until)?,
            None => self.receive(max)?,
        };
        for job in &jobs {
            work(&job.payload)?;
        }
        if !jobs.is_empty() {
            self.ack(&jobs)?;
        }
        Ok(jobs.len())
    }

    fn depth(&mut self) -> Result<u64> {
        let counts = self.statistics(&format!("stats-tube {}", self.tube))?;
        let states = [
            "current-jobs-ready",
            "current-jobs-reserved",
            "current-jobs-delayed",
            "current-jobs-buried",
        ];
        let mut messages = 0;
        for (_, count) in counts
            .iter()
            .filter(|(name, _)| states.contains(&name.as_str()))
        {
            messages += count.parse::<u64>()?;
        }
        Ok(messages)
    }

    fn about(&mut self) -> Result<About> {
        let told = self.statistics("stats")?;
        let version = told.iter().find(|(name, _)| name == "version");
        let version = version.map_or("?", |(_, version)| version.trim_matches('"'));
        Ok(About {
            version: format!("beanstalkd {version}"),
            power: "-b and -f0: the log is synced at every put and delete, before the reply",
            system: "-b and -f50, the default: the log is synced at most every 50 ms",
            ack: "reserve, which is in the server's memory only, and delete, which is in the log",
            batch: "no transactions: the commands of a batch are sent in one write, and each is a commit of its own",
            wait: "reserve",
            note: "the whole queue is in the server's memory; one that cannot write its log goes on without it",
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
