//! Bytes and names: what the files say and how it is read. No I/O, no clock, no chance.

pub(crate) mod counters;
mod edit;
pub(crate) mod envelope;
pub(crate) mod frame;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod lease;
pub(crate) mod name;
pub(crate) mod object;
pub(crate) mod outline;
pub(crate) mod priority;
pub(crate) mod receipt;
pub(crate) mod salvage;
pub(crate) mod time;
pub(crate) mod transit;

/// The largest payload that can be sent, in bytes: 16 MiB.
pub const MAX_PAYLOAD_BYTES: usize = 16 * 1024 * 1024;
/// How deep arrays and objects in a payload may stand in each other.
pub const MAX_DEPTH: usize = 100;
/// The longest id that can be given to a message, in bytes.
pub const MAX_ID_BYTES: usize = 512;

/// What keeps a text from being the id of a message.
pub(crate) fn wrong_id(id: &str) -> Option<String> {
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        let size = id.len();
        return Some(format!(
            "an id has 1 to {MAX_ID_BYTES} bytes, this one has {size}"
        ));
    }
    let has_control = id.contains(char::is_control);
    has_control.then(|| format!("{id:?} cannot be an id: it has a control character"))
}

/// What is wrong with bytes, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// In bytes from the start of what was read.
    pub(crate) offset: u64,
    /// The rule that is broken.
    pub(crate) rule: String,
}

impl Damage {
    pub(crate) fn new(offset: usize, rule: impl Into<String>) -> Self {
        Self {
            offset: offset as u64,
            rule: rule.into(),
        }
    }

    /// The same damage, seen from the start of what the bytes are a part of.
    pub(crate) fn within(mut self, base: usize) -> Self {
        self.offset += base as u64;
        self
    }
}
