//! Leases: whose a message is, and until when.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::object::quoted;
use super::time::{self, Timestamp, after};

/// The time as an operation sees it, and which consumers are known to be dead.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    pub(crate) wall: Timestamp,
    /// Milliseconds on the clock that counts from the boot.
    pub(crate) boot_ms: u64,
    pub(crate) boot_id: Arc<str>,
    pub(crate) dead: HashSet<Arc<str>>,
}

/// What an envelope's `lease` says. One that was given back keeps its token, so that the next token
/// is larger even when the clock has jumped back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) token: u64,
    pub(crate) held: Option<Held>,
}

/// A lease that was not given back; whether it still runs, [`Held::is_live`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) random: u64,
    pub(crate) boot: Arc<str>,
    pub(crate) until_boot_ms: u64,
    /// The same deadline on the wall clock, for people.
    pub(crate) until: Timestamp,
    /// Whose death ends it; nobody's when it is detached.
    pub(crate) consumer: Option<Arc<str>>,
}

/// The lease as the file has it.
#[derive(Deserialize)]
struct Shape<'a> {
    token: u64,
    random: Option<String>,
    #[serde(borrow)]
    boot: Option<std::borrow::Cow<'a, str>>,
    until_boot_ms: Option<u64>,
    until: Option<String>,
    #[serde(borrow)]
    consumer: Option<std::borrow::Cow<'a, str>>,
}

impl Shape<'_> {
    /// Only the token is left. Anything in between is no lease that flockq wrote.
    fn is_given_back(&self) -> bool {
        self.random.is_none()
            && self.boot.is_none()
            && self.until_boot_ms.is_none()
            && self.until.is_none()
            && self.consumer.is_none()
    }
}

impl Held {
    /// A lease from now on.
    pub(crate) fn new(now: &Now, lease: Duration, random: u64, consumer: Option<Arc<str>>) -> Self {
        // Not less than was asked for.
        let milliseconds = u64::try_from(lease.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Self {
            random,
            boot: Arc::clone(&now.boot_id),
            until_boot_ms: now.boot_ms.saturating_add(milliseconds).min(MAX_EXACT),
            until: after(now.wall, lease),
            consumer,
        }
    }

    /// It ends at its deadline, at a reboot, and with its consumer. The wall clock has no say.
    pub(crate) fn is_live(&self, now: &Now) -> bool {
        let consumer_is_dead = self
            .consumer
            .as_ref()
            .is_some_and(|consumer| now.dead.contains(consumer));
        if cfg!(mutant = "wall_clock_leases") {
            return self.boot == now.boot_id && self.until > now.wall && !consumer_is_dead;
        }
        self.boot == now.boot_id && self.until_boot_ms > now.boot_ms && !consumer_is_dead
    }

    /// Why it is not live.
    pub(crate) fn end(&self, now: &Now) -> End {
        if self.boot != now.boot_id {
            End::Reboot
        } else if self.until_boot_ms <= now.boot_ms {
            End::Deadline
        } else {
            End::Death
        }
    }
}

/// Why a lease that was not given back has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Reboot,
    Deadline,
    Death,
}

/// The largest whole number that every JSON reader keeps.
const MAX_EXACT: u64 = (1 << 53) - 1;

impl Lease {
    /// A token for the next delivery: it starts from the clock and grows with each delivery (INV-7).
    pub(crate) fn next_token(now: &Now, before: Option<&Lease>) -> u64 {
        let clock = u64::try_from(now.wall.as_microsecond()).unwrap_or(0);
        before
            .map_or(clock, |lease| clock.max(lease.token + 1))
            .min(MAX_EXACT)
    }

    /// Whether a receipt for the one is a receipt for the other.
    pub(crate) fn is_same_delivery(&self, other: &Lease) -> bool {
        let random = |lease: &Lease| lease.held.as_ref().map(|held| held.random);
        self.token == other.token && random(self) == random(other)
    }

    /// Reads the value of `lease`; the error is the rule that it breaks.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let shape: Shape<'_> = serde_json::from_str(text)
            .map_err(|error| format!("lease has a wrong shape ({error})"))?;
        if shape.token > MAX_EXACT {
            return Err("lease.token is not below 2^53".to_owned());
        }
        if shape.is_given_back() {
            return Ok(Self {
                token: shape.token,
                held: None,
            });
        }
        let until_boot_ms = shape
            .until_boot_ms
            .ok_or("lease.until_boot_ms is missing")?;
        let is_hex = |random: &String| {
            random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let random = shape
            .random
            .filter(is_hex)
            .and_then(|random| u64::from_str_radix(&random, 16).ok());
        let random = random.ok_or("lease.random is not 16 hexadecimal digits")?;
        let boot = shape.boot.ok_or("lease.boot is missing")?;
        let until = shape
            .until
            .as_deref()
            .and_then(time::parse)
            .ok_or("lease.until is not an RFC 3339 time")?;
        let consumer = shape.consumer.map(|consumer| Arc::from(&*consumer));
        Ok(Self {
            token: shape.token,
            held: Some(Held {
                random,
                boot: Arc::from(&*boot),
                until_boot_ms,
                until,
                consumer,
            }),
        })
    }

    /// The value of `lease`.
    pub(crate) fn text(&self) -> String {
        let token = self.token;
        let Some(held) = &self.held else {
            return format!("{{\"token\":{token}}}");
        };
        let (boot, until) = (quoted(&held.boot), held.until);
        let mut text = String::with_capacity(256);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{{\"token\":{token},\"random\":\"{:016x}\",\"boot\":{boot},\"until_boot_ms\":{},\"until\":\"{until}\"",
            held.random, held.until_boot_ms
        );
        if let Some(consumer) = &held.consumer {
            text.extend([",\"consumer\":", &quoted(consumer)]);
        }
        text.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Now {
        Now {
            wall: "2026-02-03T09:00:00Z".parse().unwrap(),
            boot_ms: 5000,
            boot_id: Arc::from("b1"),
            dead: HashSet::new(),
        }
    }

    #[test]
    fn a_lease_round_trips_with_and_without_a_consumer() {
        for consumer in [None, Some(Arc::from("7-9-\"0123456789abcdef"))] {
            let lease = Lease {
                token: 12,
                held: Some(Held::new(&now(), Duration::from_secs(60), 0xab, consumer)),
            };
            assert_eq!(Lease::parse(&lease.text()).unwrap(), lease);
        }
        let given_back = Lease {
            token: 12,
            held: None,
        };
        assert_eq!(given_back.text(), r#"{"token":12}"#);
        assert_eq!(Lease::parse(&given_back.text()).unwrap(), given_back);
    }

    #[test]
    fn it_ends_at_its_deadline_at_a_reboot_and_with_its_consumer_but_not_with_the_wall_clock() {
        let held = Held::new(&now(), Duration::from_secs(1), 1, Some(Arc::from("c")));
        assert!(held.is_live(&now()));
        assert!(held.is_live(&Now {
            wall: Timestamp::MAX,
            ..now()
        }));
        assert!(!held.is_live(&Now {
            boot_ms: 6000,
            ..now()
        }));
        assert!(!held.is_live(&Now {
            boot_id: Arc::from("b2"),
            ..now()
        }));
        assert!(!held.is_live(&Now {
            dead: HashSet::from([Arc::from("c")]),
            ..now()
        }));
    }

    #[test]
    fn tokens_grow_when_the_clock_jumps_back() {
        let first = Lease {
            token: Lease::next_token(&now(), None),
            held: None,
        };
        let earlier = Now {
            wall: Timestamp::UNIX_EPOCH,
            ..now()
        };
        assert_eq!(Lease::next_token(&earlier, Some(&first)), first.token + 1);
    }

    #[test]
    fn wrong_shapes_are_named() {
        for (text, rule) in [
            ("7", "wrong shape"),
            ("{}", "token"),
            (r#"{"token":-1}"#, "wrong shape"),
            (r#"{"token":9007199254740992}"#, "2^53"),
            (r#"{"token":1,"until_boot_ms":5}"#, "random"),
            (
                r#"{"token":1,"random":"00000000000000ff"}"#,
                "until_boot_ms",
            ),
            (r#"{"token":1,"consumer":"c"}"#, "until_boot_ms"),
            (
                r#"{"token":1,"until_boot_ms":5,"random":"+00000000000000f","boot":"b","until":"2026-02-03T09:00:00Z"}"#,
                "random",
            ),
            (r#"{"token":1,"token":2}"#, "wrong shape"),
            (
                r#"{"token":1,"until_boot_ms":5,"random":"00000000000000ff"}"#,
                "boot",
            ),
        ] {
            let error = Lease::parse(text).unwrap_err();
            assert!(error.contains(rule), "{text}: {error}");
        }
    }
}
