//! Standard output, and messages on it: one JSON object a line, with the payload as it stands.

use std::fmt::Display;
use std::io::{self, Write};

use flockq::{Delivery, Envelope};

use crate::{Failure, Outcome};

/// Standard output as it is. The standard library's tries again when the process ends what it could not write, and says that
/// all was written where the descriptor is not open for writing.
struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines; when it returns, whoever reads them may act on them. After an error nobody knows how much was written.
pub(crate) fn lines(lines: impl AsRef<[u8]>) -> io::Result<()> {
    Output.write_all(lines.as_ref())
}

/// What somebody wants to see. When he has seen enough, the command is over.
pub(crate) fn shown(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    lines(text).map_err(Failure::Output)
}

/// What the exit code says too, whether somebody reads on or not.
pub(crate) fn verdict(text: &str) -> Result<(), Failure> {
    unless_closed(lines(text)).map_err(Failure::Output)
}

/// What came of something that is done. A reader who has had enough is no failure.
pub(crate) fn done(what: impl Display) -> Result<(), Failure> {
    unless_closed(lines(format!("{what}\n"))).map_err(Failure::Untold)
}

fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

pub(crate) fn delivery(delivery: &Delivery) -> Vec<u8> {
    let mut line = Line::new();
    line.text("id", Some(delivery.id()));
    line.text("receipt", Some(delivery.receipt()));
    line.number("attempts", delivery.attempts());
    line.end(delivery.payload())
}

pub(crate) fn popped(envelope: &Envelope) -> Vec<u8> {
    let mut line = Line::new();
    line.text("id", envelope.id());
    line.number("attempts", envelope.attempts());
    line.end(envelope.payload())
}

/// What can be seen of messages; none is "nothing there".
pub(crate) fn envelopes(envelopes: &[Envelope]) -> Result<Outcome, Failure> {
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
        shown(line.end(envelope.payload()))?;
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
    fn end(mut self, payload: &[u8]) -> Vec<u8> {
        self.0 += "\"message\":";
        let mut line = self.0.into_bytes();
        line.extend(payload.iter().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => *byte,
        }));
        line.extend(b"}\n");
        line
    }
}
