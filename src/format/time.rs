//! Times and durations as texts.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::DateTime;

use crate::error::{Error, ErrorKind, Result};

/// A moment on the wall clock, to the nanosecond.
pub(crate) use jiff::Timestamp;

/// How envelopes say "never".
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";
/// The same in seconds since 1970.
const NEVER_SECOND: i128 = -62_135_596_800;
/// The point and the digits of a nanosecond.
const FRACTION_MAX: usize = 10;

/// An RFC 3339 time with whatever offset. Digits beyond the nanosecond are cut off; a time so late that it is
/// outside of the range is the end of it.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let (moment, fraction, offset) = split(text)?;
    if fraction.len() > FRACTION_MAX {
        return parse(&format!(
            "{moment}{}{offset}",
            fraction.get(..FRACTION_MAX)?
        ));
    }
    text.parse().ok().or_else(|| {
        // The end of the library's range is a day before the end of what RFC 3339 can say.
        let is_late = moment.starts_with("9999-12-3") && moment.parse::<DateTime>().is_ok();
        let offset_is_sound = format!("2000-01-01T00:00:00{offset}")
            .parse::<Timestamp>()
            .is_ok();
        (is_late && offset_is_sound).then_some(Timestamp::MAX)
    })
}

/// Whether it is how envelopes say "never", in whatever spelling.
pub(crate) fn is_never(moment: Timestamp) -> bool {
    moment.as_nanosecond() == NEVER_SECOND * 1_000_000_000
}

/// A moment as a number that sorts like it, in nanoseconds since 1970; no moment comes before all. What is further away
/// than a number can say, before 1678 and after 2262, is as far away as it can.
pub(crate) fn order_key(moment: Option<Timestamp>) -> i64 {
    moment.map_or(i64::MIN, |moment| {
        let nanoseconds = moment.as_nanosecond();
        let nearest = nanoseconds.clamp(i128::from(i64::MIN + 1), i128::from(i64::MAX));
        i64::try_from(nearest).unwrap_or_default()
    })
}

/// The parts of `YYYY-MM-DDTHH:MM:SS`, `.FRACTION` and `Z` or `+HH:MM`, if the text has this shape: the library
/// reads further forms, which not every other one does.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (moment, rest) = text.split_at_checked("YYYY-MM-DDTHH:MM:SS".len())?;
    let digits = rest.strip_prefix('.').map_or(0, |rest| {
        rest.bytes().take_while(u8::is_ascii_digit).count()
    });
    let (fraction, offset) = rest.split_at_checked(if digits == 0 { 0 } else { digits + 1 })?;
    let is_shaped = |text: &str, shape: &str| {
        let fits = |(byte, shape): (u8, u8)| {
            if shape == b'0' {
                byte.is_ascii_digit()
            } else {
                byte.eq_ignore_ascii_case(&shape)
            }
        };
        text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
    };
    let sound = is_shaped(moment, "0000-00-00T00:00:00")
        && ["Z", "+00:00", "-00:00"]
            .iter()
            .any(|shape| is_shaped(offset, shape));
    sound.then_some((moment, fraction, offset))
}

/// The moment `duration` after `moment`; at the end of time, the end of time.
pub(crate) fn after(moment: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| moment.checked_add(duration).ok())
        .unwrap_or(Timestamp::MAX)
}

/// How long it is from `earlier` to `later`; nothing when it is the other way round.
pub(crate) fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// A duration such as `30s`, `5m`, `1h30m` or `250ms`: what the command line takes.
///
/// Fails with `InvalidArgument` for anything else, a negative one, or a number without a unit.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let parsed = text
        .parse::<SignedDuration>()
        .ok()
        .and_then(|signed| Duration::try_from(signed).ok());
    parsed.ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{shown:?} is no duration; write 250ms, 30s, 5m or 1h30m"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_offsets_nanoseconds_and_never_are_read() {
        let local = parse("2026-02-03T09:00:01.535148751-08:00").unwrap();
        assert_eq!(local.to_string(), "2026-02-03T17:00:01.535148751Z");
        assert!(is_never(parse(NEVER).unwrap()) && !is_never(local));
        for wrong in [
            "",
            "yesterday",
            "2026-02-03",
            "2026-02-03 09:00:01Z",
            "2026-02-03T09:00:01",
            "2026-13-03T09:00:01Z",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_rfc_3339_allows_is_read_and_nothing_else() {
        let read = |text: &str| parse(text).map(|time| time.to_string());
        assert_eq!(
            read("2026-02-03t09:00:01z").unwrap(),
            "2026-02-03T09:00:01Z"
        );
        assert_eq!(
            read("2026-02-03T09:00:01-00:00").unwrap(),
            "2026-02-03T09:00:01Z"
        );
        assert_eq!(
            read("2026-02-03T09:00:01.0000000019Z").unwrap(),
            "2026-02-03T09:00:01.000000001Z",
            "more digits than nanoseconds"
        );
        assert!(read("2026-06-30T23:59:60Z").is_some(), "a leap second");
        for wrong in [
            "2026-02-03T09:00:01,5Z",
            "2026-02-03T09:00:01+08",
            "2026-02-03T09:00:01+0800",
            "2026-02-03T09:00+08:00:00",
            "20260203T090001+00:00",
            "2026-02-03T09:00:01.Z",
            "2026-02-03T09:00:01+08:00[X]",
            "2026-02-30T09:00:01Z",
            "2026-02-03T25:00:01Z",
            "2026-02-03T09:00:01+99:00",
            "\u{662}026-02-03T09:00:01Z",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_at_the_end_of_time_is_a_time() {
        for end in [
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59.999999999-12:00",
        ] {
            assert_eq!(parse(end), Some(Timestamp::MAX), "{end}");
        }
        assert_eq!(parse("9999-12-32T23:59:59Z"), None);
        assert!(parse("0000-01-01T00:00:00Z").is_some());
    }

    #[test]
    fn durations_have_units_and_are_not_negative() {
        assert_eq!(parse_duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(parse_duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse_duration("0s").unwrap(), Duration::ZERO);
        for wrong in ["", "30", "-5s", "5 parsecs", "soon"] {
            assert_eq!(
                parse_duration(wrong).unwrap_err().kind(),
                ErrorKind::InvalidArgument,
                "{wrong}"
            );
        }
    }

    #[test]
    fn time_ends_and_does_not_wrap() {
        assert_eq!(
            after(Timestamp::MAX, Duration::from_secs(1)),
            Timestamp::MAX
        );
        assert_eq!(after(Timestamp::UNIX_EPOCH, Duration::MAX), Timestamp::MAX);
        assert_eq!(between(Timestamp::MAX, Timestamp::MIN), Duration::ZERO);
    }
}
