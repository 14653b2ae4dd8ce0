//! One JSON object a line, with the payload as it stands.

use std::io::{self, Write};

use flockq::{Delivery, Envelope};

use crate::{Failure, Outcome};

pub(crate) fn delivery(out: &mut impl Write, delivery: &Delivery) -> io::Result<()> {
    let mut line = Line::new();
    line.text("id", Some(delivery.id()));
    line.text("receipt", Some(delivery.receipt()));
    line.number("attempts", delivery.attempts());
    line.end(out, delivery.payload())
}

pub(crate) fn popped(out: &mut impl Write, envelope: &Envelope) -> io::Result<()> {
    let mut line = Line::new();
    line.text("id", envelope.id());
    line.number("attempts", envelope.attempts());
    line.end(out, envelope.payload())
}

/// What can be seen of messages; none is "nothing there".
pub(crate) fn envelopes(out: &mut impl Write, envelopes: &[Envelope]) -> Result<Outcome, Failure> {
    for envelope in envelopes {
        let mut line = Line::new();
        line.text("id", envelope.id());
        line.text("state", Some(envelope.state().name()));
        line.text("priority", Some(envelope.priority().name()));
        line.number("attempts", envelope.attempts());
        line.text("queued_at", envelope.queued_at());
        line.text("last_attempt", envelope.last_attempt());
        line.text("not_before", envelope.not_before());
        line.text("lease_until", envelope.lease_until());
        line.text("consumer", envelope.consumer());
        line.text("expires", envelope.expires());
        line.text("from", envelope.origin());
        line.text("error", envelope.error());
        if let Some(errors) = envelope.errors() {
            line.field("errors", &errors.replace(['\n', '\r'], " "));
        }
        line.end(out, envelope.payload())?;
    }
    Ok(if envelopes.is_empty() {
        Outcome::Nothing
    } else {
        Outcome::Done
    })
}

/// An object being written. Texts that are not there are left out.
struct Line(String);

impl Line {
    fn new() -> Self {
        Self("{".to_owned())
    }

    fn text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.field(key, &serde_json::Value::from(value).to_string());
        }
    }

    fn number(&mut self, key: &str, value: u64) {
        self.field(key, &value.to_string());
    }

    fn field(&mut self, key: &str, value: &str) {
        self.0 += &serde_json::Value::from(key).to_string();
        self.0 += ":";
        self.0 += value;
        self.0 += ",";
    }

    /// The payload comes last. In JSON a line break stands only between tokens, where a space means the same.
    fn end(mut self, out: &mut impl Write, payload: &[u8]) -> io::Result<()> {
        self.0 += "\"message\":";
        out.write_all(self.0.as_bytes())?;
        let line: Vec<u8> = payload
            .iter()
            .map(|byte| {
                if matches!(byte, b'\n' | b'\r') {
                    b' '
                } else {
                    *byte
                }
            })
            .collect();
        out.write_all(&line)?;
        out.write_all(b"}\n")?;
        // Whoever reads it may act on it at once.
        out.flush()
    }
}
