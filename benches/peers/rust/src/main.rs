//! The worker in Rust of `make bench-peers`: one actor with one queue. The protocol is described in ../README.md.

mod payload;
mod peer;
mod peers;
mod protocol;
mod ranges;
mod work;

use std::io::{BufRead, Write, stdin, stdout};

use peer::{Durability, Failure, Peer, Result};
use protocol::{Reply, Request};

const USAGE: &str = "usage: worker --peer NAME --durability power|system --place DIR_OR_URL";

/// What the command line says.
struct Choice {
    peer: String,
    durability: Durability,
    place: String,
}

fn main() -> Result<()> {
    let choice = read_choice(std::env::args().skip(1))?;
    let mut peer = None;
    for line in stdin().lock().lines() {
        let reply = answer(&choice, &mut peer, &line?).unwrap_or_else(Reply::from);
        let mut out = stdout().lock();
        serde_json::to_writer(&mut out, &reply)?;
        writeln!(out)?;
        out.flush()?;
    }
    peer.map_or(Ok(()), Peer::close)
}

fn read_choice(mut arguments: impl Iterator<Item = String>) -> Result<Choice> {
    let (mut peer, mut durability, mut place) = (None, None, None);
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match (option.as_str(), value.as_str()) {
            ("--peer", _) => peer = Some(value),
            ("--durability", "power") => durability = Some(Durability::Power),
            ("--durability", "system") => durability = Some(Durability::System),
            ("--place", _) => place = Some(value),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(Choice {
        peer: peer.ok_or(USAGE)?,
        durability: durability.ok_or(USAGE)?,
        place: place.ok_or(USAGE)?,
    })
}

fn answer(choice: &Choice, open: &mut Option<Box<dyn Peer>>, line: &str) -> Result<Reply> {
    let request: Request = serde_json::from_str(line)?;
    if matches!(request, Request::Open) {
        let (peer, seconds) =
            work::timed(|| peers::open(&choice.peer, &choice.place, choice.durability))?;
        *open = Some(peer);
        return Ok(Reply::Opened { seconds });
    }
    if matches!(request, Request::Close) {
        open.take().map_or(Ok(()), Peer::close)?;
        return Ok(Reply::Closed {});
    }
    let peer = open
        .as_deref_mut()
        .ok_or_else(|| Failure::from("the queue is not open"))?;
    match request {
        Request::Open | Request::Close => unreachable!("answered above"),
        Request::Send(send) => work::send(peer, &send),
        Request::Receive(receive) => work::receive(peer, &receive),
        Request::SendStamped(send) => work::send_stamped(peer, &send),
        Request::ReceiveStamped(receive) => work::receive_stamped(peer, &receive),
        Request::Depth => peer.depth().map(|messages| Reply::Depth { messages }),
        Request::Version => Ok(Reply::version(&choice.peer, peer.about()?)),
    }
}
