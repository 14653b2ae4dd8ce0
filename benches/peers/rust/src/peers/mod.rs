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
        "sqlite" => Box::new(sqlite::Sqlite::open(directory, durability)?),
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
