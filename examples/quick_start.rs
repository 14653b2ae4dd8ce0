//! The quick start of the README.
#![allow(clippy::print_stdout, missing_docs, reason = "an example")]

use flockq::{Message, Priority, Receive, Spool};
use serde_json::json;
use std::time::Duration;

fn main() -> flockq::Result<()> {
    let spool = Spool::builder("mail-queues").create(true).open()?;
    let inbound = spool.queue("inbound")?;
    inbound.send(Message::new(&json!({"to": "deacon/"})).priority(Priority::High))?;

    let how = Receive::new()
        .lease(Duration::from_secs(60))
        .wait(Duration::from_secs(5));
    if let Some(delivery) = inbound.receive(how)? {
        println!("{}", String::from_utf8_lossy(delivery.payload()));
        delivery.ack()?;
    }
    Ok(())
}
