//! Times and durations as texts.

use std::time::Duration;

use jiff::SignedDuration;

use crate::error::{Error, ErrorKind, Result};

/// A moment on the wall clock, to the nanosecond.
pub(crate) use jiff::Timestamp;

/// How envelopes say "never".
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// An RFC 3339 time with whatever offset.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    // The library also reads a space for the T and further forms; the files do not have them.
    let rfc3339 = text.as_bytes().get(10) == Some(&b'T') && text.len() >= 20 && !text.contains('[');
    rfc3339.then(|| text.parse().ok()).flatten()
}

/// The moment `duration` after `moment`; at the end of time, the end of time.
pub(crate) fn after(moment: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|duration| moment.checked_add(duration).ok()).unwrap_or(Timestamp::MAX)
}

/// How long it is from `earlier` to `later`; nothing when it is the other way round.
pub(crate) fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// A duration such as `30s`, `5m`, `1h30m` or `250ms`: what the command line takes.
///
/// Fails with `InvalidArgument` for anything else, a negative one, or a number without a unit.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|signed| Duration::try_from(signed).ok());
    parsed.ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Error::new(ErrorKind::InvalidArgument, format!("{shown:?} is no duration; write 250ms, 30s, 5m or 1h30m"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_offsets_nanoseconds_and_never_are_read() {
        let local = parse("2026-02-03T09:00:01.535148751-08:00").unwrap();
        assert_eq!(local.to_string(), "2026-02-03T17:00:01.535148751Z");
        assert!(parse(NEVER).unwrap() < local);
        for wrong in ["", "yesterday", "2026-02-03", "2026-02-03 09:00:01Z", "2026-02-03T09:00:01", "2026-13-03T09:00:01Z"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_have_units_and_are_not_negative() {
        assert_eq!(parse_duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(parse_duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse_duration("0s").unwrap(), Duration::ZERO);
        for wrong in ["", "30", "-5s", "5 parsecs", "soon"] {
            assert_eq!(parse_duration(wrong).unwrap_err().kind(), ErrorKind::InvalidArgument, "{wrong}");
        }
    }

    #[test]
    fn time_ends_and_does_not_wrap() {
        assert_eq!(after(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(after(Timestamp::UNIX_EPOCH, Duration::MAX), Timestamp::MAX);
        assert_eq!(between(Timestamp::MAX, Timestamp::MIN), Duration::ZERO);
    }
}
