//! What a command says on standard error: handed on as it comes, and its last line kept.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The part of a line that becomes the reason of a nack.
const REASON: usize = 500;
/// As much as is read at a time, and as much of a line without an end as waits for it.
const PIECE: usize = 8192;

/// The words of one command. What it says takes no more memory however much it is, and whether it has lines or not.
#[derive(Clone)]
pub(crate) struct Words {
    /// Nobody else writes to standard error meanwhile whose lines could be torn.
    alone: bool,
    last: Arc<Mutex<Last>>,
}

/// The line that said something last, and what there is of the one after it; of each the beginning.
#[derive(Default)]
struct Last {
    whole: Vec<u8>,
    begun: Vec<u8>,
}

impl Words {
    pub(crate) fn new(alone: bool) -> Self {
        Self {
            alone,
            last: Arc::default(),
        }
    }

    /// Hands standard error on until it ends: at once, so that a question or a bar that grows is seen. Where other commands speak
    /// as well, a line waits for its end.
    pub(crate) fn hand_on(&self, mut errors: impl Read) {
        let mut piece = vec![0; PIECE];
        let mut held = Vec::new();
        loop {
            let heard = match errors.read(&mut piece) {
                Ok(read) => piece.get(..read).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            if heard.is_empty() {
                break;
            }
            self.last().hear(heard);
            held.extend_from_slice(heard);
            let ends = held
                .iter()
                .rposition(|byte| ends_line(*byte))
                .map_or(0, |end| end + 1);
            let waits = !self.alone && held.len() - ends < PIECE;
            let said = if waits { ends } else { held.len() };
            let _ = io::stderr().write_all(held.get(..said).unwrap_or_default());
            held.drain(..said);
        }
        let _ = io::stderr().write_all(&held);
    }

    /// The last line that says something; also one that has not ended.
    pub(crate) fn last_line(&self) -> Option<String> {
        let last = self.last();
        let line = [&last.begun, &last.whole]
            .into_iter()
            .find(|line| !line.is_empty())?;
        Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Last {
    fn hear(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| ends_line(*byte)) {
            // What says nothing begins no line.
            let said = if self.begun.is_empty() {
                part.trim_ascii_start()
            } else {
                part
            };
            let room = REASON - self.begun.len();
            self.begun
                .extend_from_slice(said.get(..room).unwrap_or(said));
            if part.last().is_some_and(|byte| ends_line(*byte)) && !self.begun.is_empty() {
                self.whole = std::mem::take(&mut self.begun);
            }
        }
    }
}

/// A line ends also where it is begun anew, as a bar that grows does it.
fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}
