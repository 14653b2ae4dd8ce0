//! What every peer does.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

/// What survives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// What was sent is on stable storage when the send returns.
    Power,
    /// Left to the operating system.
    System,
}

/// One way to keep a queue, used as its own documentation recommends.
pub trait Peer {
    fn send(&mut self, payload: &str) -> Result<()>;

    /// Sends all in one commit, or in what the peer has for it.
    fn send_many(&mut self, payloads: &[String]) -> Result<()>;

    /// Receives up to `max` messages, gives each payload to `work`, and then acks them as a step of its own; how many.
    /// With `until`, it waits until then for the first. Between the two steps the message is in hand.
    fn deliver(&mut self, max: usize, until: Option<Instant>, work: &mut Work) -> Result<usize>;

    /// How many messages there are, in hand or not.
    fn depth(&mut self) -> Result<u64>;

    fn about(&mut self) -> Result<About>;

    fn close(self: Box<Self>) -> Result<()>;
}

/// What is done with a message in hand.
pub type Work<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// How a peer is used here, for the page.
#[derive(Serialize)]
pub struct About {
    pub version: String,
    pub power: &'static str,
    pub system: &'static str,
    pub ack: &'static str,
    pub batch: &'static str,
    pub wait: &'static str,
    pub note: &'static str,
}

pub type Result<T> = std::result::Result<T, Failure>;

pub enum Failure {
    /// The peer cannot do this at all.
    Unsupported(String),
    Error(String),
}

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.to_string())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unsupported(text) | Self::Error(text)) = self;
        f.write_str(text)
    }
}

/// How long it is until then; none when that is over.
pub fn remaining(until: Instant) -> Option<Duration> {
    until
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
}

/// The version that the lock file pins.
pub fn pinned(package: &str) -> String {
    let name = format!("name = \"{package}\"");
    let mut lines = include_str!("../Cargo.lock").lines();
    let version = lines
        .find(|line| *line == name)
        .and_then(|_| lines.next())
        .and_then(|line| line.split('"').nth(1));
    format!("{package} {}", version.unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_version_of_a_peer_is_what_the_manifest_asks_for() {
        let manifest = include_str!("../Cargo.toml");
        for package in ["postgres", "redis", "rusqlite", "yaque"] {
            let pinned = pinned(package);
            let version = pinned.strip_prefix(package).expect("begins with the name");
            assert!(
                manifest.contains(&format!("\"={}\"", version.trim())),
                "{pinned}"
            );
        }
    }
}
