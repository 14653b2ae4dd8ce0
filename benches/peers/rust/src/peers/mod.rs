//! The peers, a file each.

mod beanstalkd;
mod flockq;
mod postgres;
mod redis;
mod sqlite;
mod yaque;

use std::path::Path;

use crate::peer::{Durability, Failure, Peer, Result};

/// Opens the queue of this peer in a directory or at a URL, and makes it when it is missing.
pub fn open(peer: &str, place: &str, durability: Durability) -> Result<Box<dyn Peer>> {
    let directory = Path::new(place);
    Ok(match peer {
        "flockq" => Box::new(flockq::Flockq::open(
            directory,
            durability,
            flockq::Mode::Journal,
        )?),
        "flockq-full" => Box::new(flockq::Flockq::open(
            directory,
            durability,
            flockq::Mode::JournalFull,
        )?),
        "flockq-plain" => Box::new(flockq::Flockq::open(
            directory,
            durability,
            flockq::Mode::Plain,
        )?),
        "sqlite" => Box::new(sqlite::Sqlite::open(
            directory,
            durability,
            sqlite::Synced::All,
        )?),
        "sqlite-sends" => Box::new(sqlite::Sqlite::open(
            directory,
            durability,
            sqlite::Synced::Sends,
        )?),
        "yaque" => Box::new(yaque::Yaque::open(directory, durability)?),
        "redis" => Box::new(redis::Redis::open(place, durability)?),
        "beanstalkd" => Box::new(beanstalkd::Beanstalkd::open(place)?),
        "postgresql" => Box::new(postgres::Postgres::open(place, durability)?),
        _ => {
            let why = format!("the worker in Rust knows no peer called {peer}");
            return Err(Failure::Unsupported(why));
        }
    })
}

/// A server's address and the name of the queue, which stands after `#`.
fn address(url: &str) -> (&str, &str) {
    url.split_once('#').unwrap_or((url, "inbound"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::payload;

    /// What came, and how many the peer says it acked.
    fn deliver(peer: &mut dyn Peer, max: usize, until: Option<Instant>) -> (Vec<String>, usize) {
        let mut came = Vec::new();
        let acked = peer.deliver(max, until, &mut |message| {
            came.push(String::from_utf8(message.to_vec())?);
            Ok(())
        });
        (came, acked.expect("delivered"))
    }

    #[test]
    fn every_peer_gives_back_what_it_was_sent_byte_for_byte_and_once() {
        for name in ["flockq", "flockq-plain", "sqlite", "yaque"] {
            let directory = tempfile::tempdir().expect("a directory");
            let place = directory.path().to_str().expect("a name in UTF-8");
            let mut peer = open(name, place, Durability::System).expect("a queue");
            let sent = [
                payload::numbered(1),
                payload::stamped(2, 3),
                payload::numbered(4),
            ];
            peer.send(&sent[0]).expect("sent");
            peer.send_many(&sent[1..]).expect("sent");
            let soon = || Some(Instant::now() + Duration::from_secs(30));
            let (mut came, acked) = deliver(&mut *peer, 1, soon());
            assert_eq!(acked, 1, "{name}");
            let (more, acked) = deliver(&mut *peer, 10, soon());
            assert_eq!(acked, 2, "{name}");
            came.extend(more);
            assert_eq!(came, sent, "{name}");
            // What was acked is gone, for one who looks and for one who waits.
            let moment = Some(Instant::now() + Duration::from_millis(20));
            assert_eq!(deliver(&mut *peer, 1, None), (vec![], 0), "{name}");
            assert_eq!(deliver(&mut *peer, 10, moment), (vec![], 0), "{name}");
            peer.close().expect("closed");
        }
    }

    #[test]
    fn a_peer_that_cannot_keep_a_promise_says_so_before_anything_is_measured() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().to_str().expect("a name in UTF-8");
        for (name, durability) in [
            ("yaque", Durability::Power),
            ("flockq-full", Durability::System),
            ("sqlite-sends", Durability::System),
            ("nobody", Durability::System),
        ] {
            let opened = open(name, place, durability).err();
            assert!(matches!(opened, Some(Failure::Unsupported(_))), "{name}");
        }
    }
}
