//! What can be set for a queue, or for all: the keys of `flockq.json`, what each may say, and what holds when it says nothing.

use std::time::Duration;

use serde_json::Value;

use super::{Mode, Sync};
use crate::error::{Error, ErrorKind, Result};
use crate::format::MAX_PAYLOAD_BYTES;
use crate::format::name::{CONFIG_FILE, QueueName};
use crate::format::time::parse_duration;

/// What is said; nothing holds where a key is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Settings {
    pub(super) mode: Option<Mode>,
    pub(super) sync: Option<Sync>,
    lease: Option<Duration>,
    attempts: Option<u64>,
    backoff: Option<Duration>,
    backoff_factor: Option<f64>,
    backoff_max: Option<Duration>,
    backoff_jitter: Option<f64>,
    retry_queue: Option<QueueName>,
    dead_letter_queue: Option<QueueName>,
    expired: Option<Expired>,
    dedup_window: Option<Duration>,
    max_messages: Option<u64>,
    max_bytes: Option<u64>,
    max_payload_bytes: Option<u64>,
    file_mode: Option<u32>,
}

/// What becomes of a message whose time to live is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Expired {
    /// It goes where messages go that failed too often; it is dropped where there is no such queue.
    #[default]
    DeadLetter,
    Drop,
}

/// What holds for one queue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Policy {
    /// The lease of a receive that names none.
    pub(crate) lease: Duration,
    /// Deliveries before a message is given up; `None`: never.
    pub(crate) attempts: Option<u64>,
    pub(crate) backoff: Backoff,
    /// Where a message waits until it is tried again; `None`: in its queue.
    pub(crate) retry_queue: Option<QueueName>,
    /// Where a message goes that is given up; `None`: it stays, and is delivered again.
    pub(crate) dead_letter_queue: Option<QueueName>,
    pub(crate) expired: Expired,
    /// So long the id of a message that left the queue is remembered.
    pub(crate) dedup_window: Option<Duration>,
    pub(crate) max_messages: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_payload_bytes: u64,
    /// The permissions of the queue's files when they are made; `None`: those of the directory.
    pub(crate) file_mode: Option<u32>,
}

impl Policy {
    /// Whether a message that was delivered so often is not to be delivered again.
    pub(crate) fn is_last(&self, attempts: u64) -> bool {
        self.attempts.is_some_and(|most| attempts >= most)
    }
}

/// How long until a message that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Backoff {
    first: Duration,
    factor: f64,
    max: Duration,
    jitter: f64,
}

impl Backoff {
    /// After so many attempts. `random` decides how much of the jitter is taken off.
    pub(crate) fn after(&self, attempts: u64, random: u64) -> Duration {
        let chance =
            f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX);
        let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
        if self.first.is_zero() {
            // Times infinity it would be no number.
            return Duration::ZERO;
        }
        let grown = self.first.as_secs_f64() * self.factor.powi(exponent);
        let capped = grown.min(self.max.as_secs_f64());
        let seconds = capped * (1.0 - self.jitter * chance);
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max)
    }
}

/// One key: its name, what it may say, and how it is read.
struct Key {
    name: &'static str,
    allowed: &'static str,
    read: fn(&mut Settings, &Value) -> Option<()>,
    /// As it is shown when nothing is said.
    fallback: &'static str,
}

const DURATION: &str = "a duration such as \"250ms\", \"30s\" or \"5m\"";
const LONGEST: &str = "1h";

const KEYS: &[Key] = &[
    Key {
        name: "mode",
        allowed: "plain or journal",
        read: |to, value| {
            to.mode = Some(value.as_str()?.parse().ok()?);
            Some(())
        },
        fallback: "\"journal\"",
    },
    Key {
        name: "sync",
        allowed: "full, normal or off",
        read: |to, value| {
            to.sync = Some(value.as_str()?.parse().ok()?);
            Some(())
        },
        fallback: "\"normal\"",
    },
    Key {
        name: "lease",
        allowed: DURATION,
        read: |to, value| {
            to.lease = Some(duration(value).filter(|lease| !lease.is_zero())?);
            Some(())
        },
        fallback: "\"5m\"",
    },
    Key {
        name: "attempts",
        allowed: "a whole number from 1",
        read: |to, value| {
            to.attempts = Some(value.as_u64().filter(|attempts| *attempts > 0)?);
            Some(())
        },
        fallback: "null",
    },
    Key {
        name: "backoff",
        allowed: DURATION,
        read: |to, value| {
            to.backoff = Some(duration(value)?);
            Some(())
        },
        fallback: "\"0s\"",
    },
    Key {
        name: "backoff_factor",
        allowed: "a number from 1 (1: always the same) to 100",
        read: |to, value| {
            let factor = value.as_f64();
            to.backoff_factor = Some(factor.filter(|factor| (1.0..=100.0).contains(factor))?);
            Some(())
        },
        fallback: "1",
    },
    Key {
        name: "backoff_max",
        allowed: DURATION,
        read: |to, value| {
            to.backoff_max = Some(duration(value)?);
            Some(())
        },
        fallback: "\"1h\"",
    },
    Key {
        name: "backoff_jitter",
        allowed: "a number from 0 to 1: the part of the delay that chance may take off",
        read: |to, value| {
            let jitter = value.as_f64();
            to.backoff_jitter = Some(jitter.filter(|jitter| (0.0..=1.0).contains(jitter))?);
            Some(())
        },
        fallback: "0",
    },
    Key {
        name: "retry_queue",
        allowed: "the name of another queue",
        read: |to, value| {
            to.retry_queue = Some(QueueName::parse(value.as_str()?).ok()?);
            Some(())
        },
        fallback: "null",
    },
    Key {
        name: "dead_letter_queue",
        allowed: "the name of another queue",
        read: |to, value| {
            to.dead_letter_queue = Some(QueueName::parse(value.as_str()?).ok()?);
            Some(())
        },
        fallback: "null",
    },
    Key {
        name: "expired",
        allowed: "dead-letter or drop",
        read: |to, value| {
            to.expired = Some(match value.as_str()? {
                "dead-letter" => Expired::DeadLetter,
                "drop" => Expired::Drop,
                _ => return None,
            });
            Some(())
        },
        fallback: "\"dead-letter\"",
    },
    Key {
        name: "dedup_window",
        allowed: DURATION,
        read: |to, value| {
            to.dedup_window = Some(duration(value)?);
            Some(())
        },
        fallback: "\"0s\"",
    },
    Key {
        name: "max_messages",
        allowed: "a whole number from 1",
        read: |to, value| {
            to.max_messages = Some(value.as_u64().filter(|limit| *limit > 0)?);
            Some(())
        },
        fallback: "null",
    },
    Key {
        name: "max_bytes",
        allowed: "a whole number from 1",
        read: |to, value| {
            to.max_bytes = Some(value.as_u64().filter(|limit| *limit > 0)?);
            Some(())
        },
        fallback: "null",
    },
    Key {
        name: "max_payload_bytes",
        allowed: "a whole number from 1 to 16777216",
        read: |to, value| {
            let limit = 1..=MAX_PAYLOAD_BYTES as u64;
            to.max_payload_bytes = Some(value.as_u64().filter(|bytes| limit.contains(bytes))?);
            Some(())
        },
        fallback: "16777216",
    },
    Key {
        name: "file_mode",
        allowed: "the permissions of new files as octal digits, \"0600\" to \"0666\"; the directory's where nothing is said",
        read: |to, value| {
            let text = value
                .as_str()
                .filter(|text| (3..=4).contains(&text.len()))?;
            let mode = u32::from_str_radix(text, 8).ok();
            // Whoever made a file can use it, and no more than read and write it.
            to.file_mode = Some(mode.filter(|mode| mode & 0o600 == 0o600 && mode & !0o666 == 0)?);
            Some(())
        },
        fallback: "null",
    },
];

fn duration(value: &Value) -> Option<Duration> {
    parse_duration(value.as_str()?).ok()
}

impl Settings {
    /// Reads the settings of `owner`. `null` is as if the key were not there. Unknown keys are told.
    pub(super) fn parse(owner: &str, value: &Value) -> Result<(Self, Vec<String>)> {
        let Some(pairs) = value.as_object() else {
            return Err(wrong(owner, &value.to_string(), "an object of settings"));
        };
        let (mut settings, mut unknown) = (Self::default(), Vec::new());
        for (name, value) in pairs {
            let Some(key) = KEYS.iter().find(|key| key.name == name) else {
                unknown.push(format!("{owner}.{name}"));
                continue;
            };
            if !value.is_null() && (key.read)(&mut settings, value).is_none() {
                let shown = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                return Err(wrong(&format!("{owner}.{name}"), &shown, key.allowed));
            }
        }
        let names = [&settings.retry_queue, &settings.dead_letter_queue];
        if names
            .iter()
            .any(|name| name.as_ref().is_some_and(|name| name.as_str() == owner))
        {
            return Err(wrong(
                owner,
                owner,
                "told to move messages to another queue than itself",
            ));
        }
        if let Some(retry) = &settings.retry_queue
            && settings.dead_letter_queue.as_ref() == Some(retry)
        {
            return Err(wrong(
                &format!("{owner}.retry_queue"),
                retry.as_str(),
                "another queue than dead_letter_queue: what is given up would be tried again",
            ));
        }
        Ok((settings, unknown))
    }

    /// What holds where one says nothing and the other does.
    fn or(&self, other: &Self) -> Self {
        Self {
            // It is of the queue that it is said of, and of those that are made (`Config::mode`).
            mode: self.mode,
            sync: self.sync.or(other.sync),
            lease: self.lease.or(other.lease),
            attempts: self.attempts.or(other.attempts),
            backoff: self.backoff.or(other.backoff),
            backoff_factor: self.backoff_factor.or(other.backoff_factor),
            backoff_max: self.backoff_max.or(other.backoff_max),
            backoff_jitter: self.backoff_jitter.or(other.backoff_jitter),
            retry_queue: self
                .retry_queue
                .clone()
                .or_else(|| other.retry_queue.clone()),
            dead_letter_queue: self
                .dead_letter_queue
                .clone()
                .or_else(|| other.dead_letter_queue.clone()),
            expired: self.expired.or(other.expired),
            dedup_window: self.dedup_window.or(other.dedup_window),
            max_messages: self.max_messages.or(other.max_messages),
            max_bytes: self.max_bytes.or(other.max_bytes),
            max_payload_bytes: self.max_payload_bytes.or(other.max_payload_bytes),
            file_mode: self.file_mode.or(other.file_mode),
        }
    }

    /// What holds for a queue of this name: what is said for it wins over what is said for all.
    pub(super) fn policy(own: Option<&Self>, all: &Self, name: &str) -> Policy {
        let said = own.map_or_else(|| all.clone(), |own| own.or(all));
        let parsed = |text: &str| parse_duration(text).unwrap_or_default();
        // What is said for all does not make a queue its own retry queue.
        let another = |queue: Option<QueueName>| queue.filter(|queue| queue.as_str() != name);
        let dead_letter_queue = another(said.dead_letter_queue);
        // What is given up is not tried again, whatever is said for all.
        let retry_queue = another(said.retry_queue);
        let retry_queue = retry_queue.filter(|queue| Some(queue) != dead_letter_queue.as_ref());
        Policy {
            lease: said.lease.unwrap_or(parsed("5m")),
            attempts: said.attempts,
            backoff: Backoff {
                first: said.backoff.unwrap_or_default(),
                factor: said.backoff_factor.unwrap_or(1.0),
                max: said.backoff_max.unwrap_or(parsed(LONGEST)).max(
                    said.backoff
                        .filter(|_| said.backoff_max.is_none())
                        .unwrap_or_default(),
                ),
                jitter: said.backoff_jitter.unwrap_or_default(),
            },
            retry_queue,
            dead_letter_queue,
            expired: said.expired.unwrap_or_default(),
            dedup_window: said.dedup_window.filter(|window| !window.is_zero()),
            max_messages: said.max_messages,
            max_bytes: said.max_bytes,
            max_payload_bytes: said.max_payload_bytes.unwrap_or(MAX_PAYLOAD_BYTES as u64),
            file_mode: said.file_mode,
        }
    }
}

/// A value from the command line: JSON where it is JSON of the kind that the key takes, else a string.
pub(super) fn value_of(owner: &str, name: &str, text: &str) -> Result<Value> {
    let Some(key) = KEYS.iter().find(|key| key.name == name) else {
        let all: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
        let text = format!("{owner}.{name} is no setting; there are {}", all.join(", "));
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    };
    let json: Option<Value> = serde_json::from_str(text).ok();
    let candidates = json.into_iter().chain([Value::String(text.to_owned())]);
    for value in candidates {
        if value.is_null() || (key.read)(&mut Settings::default(), &value).is_some() {
            return Ok(value);
        }
    }
    let text = format!(
        "{owner}.{name} is {text:?}; it must be {}, or null",
        key.allowed
    );
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

/// Every key with what holds when nothing is said, as JSON.
pub(super) fn fallbacks() -> impl Iterator<Item = (&'static str, Value)> {
    KEYS.iter().map(|key| {
        let value = serde_json::from_str(key.fallback).unwrap_or_default();
        (key.name, value)
    })
}

pub(super) fn wrong(key: &str, value: &str, allowed: &str) -> Error {
    let text = format!("{CONFIG_FILE}: {key} is {value:?}; it must be {allowed}");
    Error::new(ErrorKind::Corrupt, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_no_time_however_often_it_grows() {
        let backoff = Backoff {
            first: Duration::ZERO,
            factor: 100.0,
            max: Duration::from_secs(3600),
            jitter: 0.0,
        };
        assert_eq!(backoff.after(200, 0), Duration::ZERO);
        let backoff = Backoff {
            first: Duration::from_secs(1),
            ..backoff
        };
        assert_eq!(backoff.after(200, 0), Duration::from_secs(3600));
    }

    #[test]
    fn what_is_shown_where_nothing_is_said_is_what_holds() {
        let shown: serde_json::Map<String, Value> = fallbacks()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let (said, unknown) = Settings::parse("default", &Value::Object(shown)).unwrap();
        let nothing = Settings::default();
        let holds = |all: &Settings| Settings::policy(None, all, "inbound");
        assert_eq!(holds(&said), holds(&nothing));
        assert_eq!(unknown, Vec::<String>::new());
    }
}
