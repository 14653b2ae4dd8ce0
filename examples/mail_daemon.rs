//! A day of a mail daemon: delivers what is in `inbound`, the urgent first; what fails waits in `outbound` and comes back; what
//! fails three times goes to `dead-letter`; when the fault is mended, it is sent back and delivered.
//!
//!     cargo run --example mail_daemon -- DIRECTORY [BACKOFF_MS]
#![allow(clippy::print_stdout, missing_docs, reason = "an example")]

use std::time::Duration;

use flockq::{Filter, Queue, Receive, Spool};
use serde_json::Value;

fn main() -> flockq::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| "mail-queues".to_owned());
    let backoff = arguments.next().and_then(|ms| ms.parse().ok());
    let backoff = Duration::from_millis(backoff.unwrap_or(1000));

    let spool = Spool::mail(directory)?;
    spool.set_config("inbound.backoff", &format!("{}ms", backoff.as_millis()))?;
    let inbound = spool.queue("inbound")?;

    // Nobody is there to take the mail of this address.
    deliver_all(&inbound, 2 * backoff, Some("mayor/"))?;
    stand(&spool)?;

    // Now somebody is: what was given up for that reason starts again.
    let filter = Filter::new().error("no session");
    let redriven = spool.queue("dead-letter")?.redrive(&filter, false)?;
    println!("redriven {}", redriven.len());
    deliver_all(&inbound, 2 * backoff, None)?;
    stand(&spool)
}

/// Delivers until nothing has come for so long.
fn deliver_all(inbound: &Queue, patience: Duration, nobody_at: Option<&str>) -> flockq::Result<()> {
    while let Some(delivery) = inbound.receive(Receive::new().wait(patience))? {
        let mail: Value = delivery.message()?;
        let to = mail["to"].as_str().unwrap_or_default();
        let priority = mail["priority"].as_str().unwrap_or("normal");
        let failed = nobody_at == Some(to);
        let ended = if failed { "failed" } else { "ok" };
        println!(
            "{ended} {} {priority} {}",
            delivery.attempts(),
            delivery.id()
        );
        if failed {
            delivery.nack(&flockq::Nack::new().error(format!("no session for {to}")))?;
        } else {
            delivery.ack()?;
        }
    }
    Ok(())
}

fn stand(spool: &Spool) -> flockq::Result<()> {
    for name in ["inbound", "outbound", "dead-letter"] {
        println!("{name} {}", spool.queue(name)?.len()?);
    }
    Ok(())
}
