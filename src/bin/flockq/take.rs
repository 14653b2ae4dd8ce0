//! Taking messages. Whoever takes one prints it; what cannot be printed goes back, because nobody has been told of it.

use std::io;

use flockq::{Delivery, Envelope, ErrorKind, Nack, Queue, Receive};
use serde_json::value::RawValue;

use crate::{Failure, print};

/// So often a change of the array is begun anew when another program comes between.
const TRIES: usize = 10;

/// Whether there was something.
pub(crate) fn receive(queue: &Queue, max: usize, how: Receive) -> Result<bool, Failure> {
    let deliveries = queue.receive_many(max, how)?;
    let mut left = &deliveries[..];
    while let Some((delivery, others)) = left.split_first() {
        print::lines(print::delivery(delivery)).map_err(|error| give_back(queue, left, &error))?;
        left = others;
    }
    Ok(!deliveries.is_empty())
}

/// Whether there was something.
pub(crate) fn pop(queue: &Queue) -> Result<bool, Failure> {
    let popped = queue.pop()?;
    if let Some(envelope) = &popped {
        let line = print::popped(envelope);
        print::lines(&line).map_err(|error| put_back(queue, envelope, &line, &error))?;
    }
    Ok(popped.is_some())
}

fn give_back(queue: &Queue, deliveries: &[Delivery], error: &io::Error) -> Failure {
    let receipts: Vec<&str> = deliveries.iter().map(Delivery::receipt).collect();
    let count = receipts.len();
    // A lease that has ended meanwhile is nothing to give back.
    Failure::Other(match queue.nack(&receipts, &Nack::new()) {
        Ok(_) => {
            format!("standard output: {error}; what was not printed has been given back: {count}")
        }
        Err(why) => {
            format!("standard output: {error}; giving back what was not printed ({count}): {why}")
        }
    })
}

/// As it was, before all others, as it came out. Where that fails, standard error has the line.
fn put_back(queue: &Queue, envelope: &Envelope, line: &[u8], error: &io::Error) -> Failure {
    let text = String::from_utf8_lossy(envelope.text()).into_owned();
    let put = RawValue::from_string(text).map_err(|error| error.to_string());
    let put = put.and_then(|element| insert(queue, &element).map_err(|error| error.to_string()));
    Failure::Other(match put {
        Ok(()) => format!("standard output: {error}; the message has been put back"),
        Err(why) => {
            let line = String::from_utf8_lossy(line);
            let line = line.trim_end();
            format!(
                "standard output: {error}; putting the message back: {why}; here it is:\n{line}"
            )
        }
    })
}

fn insert(queue: &Queue, element: &RawValue) -> flockq::Result<()> {
    let insert = || queue.update(|array| array.insert(0, element.to_owned()));
    for _ in 1..TRIES {
        match insert() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            inserted => return inserted,
        }
    }
    insert()
}
