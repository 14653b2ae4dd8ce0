//! What the frames of a journal say: the base, changes, a switch. `docs/format.md`, section 14.

use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Damage;
use super::counters::Counters;

/// Which file a journal builds on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binding {
    pub(crate) bytes: u64,
    /// 128 bits as hexadecimal digits.
    pub(crate) hash: String,
    /// The file that flockq wrote: while it is that, its hash need not be made again. Another one may have the same bytes.
    #[serde(flatten)]
    pub(crate) file: Option<Written>,
}

/// Which file it is, and when it was written, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) inode: u64,
    pub(crate) modified: i64,
}

impl Binding {
    /// Whether it is a binding to the same bytes.
    pub(crate) fn is(&self, other: &Binding) -> bool {
        self.bytes == other.bytes && self.hash == other.hash
    }
}

/// The body of a base: what its journal builds on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    /// From 1, one more with each new journal of a queue.
    pub(crate) generation: u64,
    /// The inode number of the lock file under which this journal is appended to; 0 is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) lock: u64,
    /// How often another program has replaced the snapshot of this queue.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) replaced: u64,
    /// What was done before.
    #[serde(default, skip_serializing_if = "Counters::is_zero")]
    pub(crate) counters: Counters,
    /// The ids that are not to be sent again, and until when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) remembered: Vec<(Arc<str>, u64)>,
    pub(crate) snapshot: Binding,
    #[serde(flatten)]
    pub(crate) totals: Totals,
    /// The numbers of the snapshot's elements, in order: `0-4,7,9-16`.
    #[serde(with = "ranges")]
    pub(crate) numbers: Vec<Range<u64>>,
}

/// The body of a switch: what the next journal builds on, and how it goes on from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Switch {
    /// The salt of the next journal, in hexadecimal.
    pub(crate) salt: String,
    /// Where in this journal the frames begin that are not in that snapshot.
    pub(crate) from: u64,
    /// How many commits stand between there and this frame: the next journal begins with copies of them.
    pub(crate) copied: u64,
    /// The array was set anew: what is known of it is of no use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) anew: bool,
    #[serde(flatten)]
    pub(crate) base: Base,
}

/// What a queue holds after a frame: a sender needs to know no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) messages: u64,
    /// Of all elements.
    pub(crate) bytes: u64,
    /// The number of the next element.
    pub(crate) next: u64,
}

impl Totals {
    /// One more element, of so many bytes. What a journal says of itself may be nonsense; whoever reads all of it finds out.
    pub(crate) fn append(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_add(1);
        self.next = self.next.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

/// One change as it stands in a commit. Texts are borrowed from the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// A new element.
    Append(&'a [u8]),
    /// Another envelope around the same payload: what stands before it and behind it.
    Envelope {
        number: u64,
        head: &'a [u8],
        tail: &'a [u8],
    },
    /// Another text.
    Replace {
        number: u64,
        text: &'a [u8],
    },
    Remove(u64),
    /// What the commit counts for.
    Count(Counters),
    /// An id that is not to be sent again before this time, in milliseconds since 1970.
    Remember {
        id: &'a str,
        until: u64,
    },
}

/// No line of numbers is longer, but for counts.
const LINE: usize = 64;

impl Record<'_> {
    /// About as many bytes as it takes.
    fn length(&self) -> usize {
        LINE + match self {
            Record::Append(text) | Record::Replace { text, .. } => text.len(),
            Record::Envelope { head, tail, .. } => head.len() + tail.len(),
            Record::Remember { id, .. } => id.len(),
            Record::Remove(_) | Record::Count(_) => 0,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde asks for"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Makes the binding to a file that is seen part by part.
pub(crate) struct Binder {
    bytes: u64,
    hasher: twox_hash::XxHash3_128,
}

impl Binder {
    pub(crate) fn new() -> Self {
        Self {
            bytes: 0,
            hasher: twox_hash::XxHash3_128::new(),
        }
    }

    pub(crate) fn write(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        self.hasher.write(part);
    }

    pub(crate) fn end(&self) -> Binding {
        Binding {
            bytes: self.bytes,
            hash: format!("{:032x}", self.hasher.finish_128()),
            file: None,
        }
    }
}

/// The binding to a file that is seen at once.
pub(crate) fn binding(snapshot: &[u8]) -> Binding {
    let mut binder = Binder::new();
    binder.write(snapshot);
    binder.end()
}

/// A body of one JSON object.
pub(crate) fn write_object(object: &impl Serialize) -> Vec<u8> {
    // Numbers and texts only: nothing of it can fail.
    let mut body = serde_json::to_vec(object).unwrap_or_default();
    body.push(b'\n');
    body
}

pub(crate) fn read_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Damage> {
    serde_json::from_slice(body).map_err(|error| {
        Damage::new(
            error.column().saturating_sub(1),
            format!("the frame's body is wrong: {error}"),
        )
    })
}

/// The body of a commit, and where in it the text of each record begins.
pub(crate) fn write_commit<'a>(
    totals: &Totals,
    records: impl IntoIterator<Item = Record<'a>, IntoIter: Clone>,
) -> (Vec<u8>, Vec<usize>) {
    let Totals {
        messages,
        bytes,
        next,
    } = totals;
    let records = records.into_iter();
    let length: usize = records.clone().map(|record| record.length()).sum();
    let mut body = Vec::with_capacity(LINE + length);
    // Writing to memory does not fail.
    let _ = writeln!(body, "{messages} {bytes} {next}");
    let mut places = Vec::new();
    let mut line = |what: fmt::Arguments<'_>, texts: &[&[u8]]| {
        let _ = body.write_fmt(what);
        places.push(body.len() + 1);
        for text in texts {
            body.push(b'\n');
            body.extend_from_slice(text);
        }
        body.push(b'\n');
    };
    for record in records {
        match record {
            Record::Append(text) => line(format_args!("+ {}", text.len()), &[text]),
            Record::Envelope { number, head, tail } => {
                line(
                    format_args!("~ {number} {} {}", head.len(), tail.len()),
                    &[head, tail],
                );
            }
            Record::Replace { number, text } => {
                line(format_args!("= {number} {}", text.len()), &[text]);
            }
            Record::Remove(number) => line(format_args!("- {number}"), &[]),
            Record::Count(counters) => line(format_args!("# {}", counters.text()), &[]),
            Record::Remember { id, until } => {
                line(format_args!("! {until} {}", id.len()), &[id.as_bytes()]);
            }
        }
    }
    (body, places)
}

/// Reads the totals that a commit leads to.
pub(crate) fn read_totals(body: &[u8]) -> Result<Totals, Damage> {
    Reader { body, at: 0 }.totals()
}

/// Reads the body of a commit.
pub(crate) fn read_commit(body: &[u8]) -> Result<(Totals, Vec<Record<'_>>), Damage> {
    let mut reader = Reader { body, at: 0 };
    let totals = reader.totals()?;
    let mut records = Vec::new();
    while let Some(kind) = body.get(reader.at) {
        records.push(match kind {
            b'+' => {
                let [length] = reader.numbers(2)?;
                Record::Append(reader.text(length)?)
            }
            b'~' => {
                let [number, head, tail] = reader.numbers(2)?;
                let (head, tail) = (reader.text(head)?, reader.text(tail)?);
                Record::Envelope { number, head, tail }
            }
            b'=' => {
                let [number, length] = reader.numbers(2)?;
                let text = reader.text(length)?;
                Record::Replace { number, text }
            }
            b'-' => {
                let [number] = reader.numbers(2)?;
                Record::Remove(number)
            }
            b'#' => Record::Count(reader.counters()?),
            b'!' => {
                let [until, length] = reader.numbers(2)?;
                let text = std::str::from_utf8(reader.text(length)?);
                let id = text.map_err(|_| reader.wrong("is no id"))?;
                Record::Remember { id, until }
            }
            _ => return Err(reader.wrong("is no kind of record")),
        });
    }
    Ok((totals, records))
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &str) -> Damage {
        Damage::new(self.at, format!("what stands here in a commit {what}"))
    }

    fn totals(&mut self) -> Result<Totals, Damage> {
        let [messages, bytes, next] = self.numbers(0)?;
        Ok(Totals {
            messages,
            bytes,
            next,
        })
    }

    fn counters(&mut self) -> Result<Counters, Damage> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let text = line.get(2..).filter(|_| line.len() < rest.len());
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        let counters = text.and_then(Counters::of_text);
        let counters = counters.ok_or_else(|| self.wrong("is no list of counts"))?;
        self.at += line.len() + 1;
        Ok(counters)
    }

    /// The rest of the line behind `skip` bytes, as so many whole numbers.
    fn numbers<const N: usize>(&mut self, skip: usize) -> Result<[u64; N], Damage> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let text = line
            .get(skip..)
            .and_then(|text| std::str::from_utf8(text).ok());
        let numbers: Option<Vec<u64>> = text
            .filter(|_| line.len() < rest.len())
            .and_then(|text| text.split(' ').map(|number| number.parse().ok()).collect());
        let numbers: [u64; N] = numbers
            .and_then(|numbers| numbers.try_into().ok())
            .ok_or_else(|| self.wrong("is not the numbers that it should be"))?;
        self.at += line.len() + 1;
        Ok(numbers)
    }

    /// So many bytes, with the line feed behind them.
    fn text(&mut self, length: u64) -> Result<&'a [u8], Damage> {
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| self.at.checked_add(length));
        let text = end.and_then(|end| self.body.get(self.at..end)).zip(end);
        match text.filter(|(_, end)| self.body.get(*end) == Some(&b'\n')) {
            Some((text, end)) => {
                self.at = end + 1;
                Ok(text)
            }
            None => Err(self.wrong("is cut off")),
        }
    }
}

/// Ranges of numbers as a text.
mod ranges {
    use std::fmt::Write;
    use std::ops::Range;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        ranges: &[Range<u64>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut text = String::new();
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            let comma = if text.is_empty() { "" } else { "," };
            let _ = match range.end - range.start {
                1 => write!(text, "{comma}{}", range.start),
                _ => write!(text, "{comma}{}-{}", range.start, range.end - 1),
            };
        }
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Range<u64>>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = first.parse().ok().zip(last.parse::<u64>().ok());
            let after = ranges.last().map_or(0, |range| range.end);
            match range {
                Some((first, last)) if after <= first && first <= last && last < u64::MAX => {
                    ranges.push(first..last + 1);
                }
                _ => {
                    return Err(D::Error::custom(format!(
                        "{part:?} is no range of numbers behind {after}"
                    )));
                }
            }
        }
        Ok(ranges)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_commit_says_is_read_back() {
        let records = vec![
            Record::Append(b"{\"message\":1}\n"),
            Record::Append(b""),
            Record::Envelope {
                number: 7,
                head: b"{\"message\":",
                tail: b"}",
            },
            Record::Replace {
                number: 8,
                text: b"[\n]",
            },
            Record::Remove(9),
            Record::Count(Counters {
                sent: 2,
                ..Counters::default()
            }),
            Record::Remember {
                id: "one of\nthem",
                until: 1_790_000_000_000,
            },
        ];
        let totals = Totals {
            messages: 2,
            bytes: 300,
            next: 12,
        };
        let (body, places) = write_commit(&totals, records.clone());
        assert_eq!(read_commit(&body), Ok((totals, records)));
        assert_eq!(read_totals(&body), Ok(totals));
        assert!(body[places[0]..].starts_with(b"{\"message\":1}"));
        assert!(body[places[2]..].starts_with(b"{\"message\":\n}"));
    }

    #[test]
    fn a_base_is_read_back() {
        let base = Base {
            generation: 3,
            lock: 131,
            replaced: 0,
            counters: Counters {
                acked: 7,
                ..Counters::default()
            },
            remembered: vec![(Arc::from("a"), 5)],
            snapshot: binding(b"[]\n"),
            totals: Totals {
                messages: 13,
                bytes: 900,
                next: 17,
            },
            numbers: vec![0..5, 7..8, 9..17],
        };
        let body = write_object(&base);
        assert!(String::from_utf8_lossy(&body).contains("\"0-4,7,9-16\""));
        assert_eq!(read_object::<Base>(&body), Ok(base.clone()));
        let empty = Base {
            numbers: Vec::new(),
            ..base
        };
        assert_eq!(read_object::<Base>(&write_object(&empty)), Ok(empty));
    }

    #[test]
    fn ranges_that_go_back_are_damage() {
        for numbers in [
            "5-4",
            "3,3",
            "0-4,2",
            "x",
            "1-",
            ",",
            "0-18446744073709551615",
        ] {
            let body = format!(
                "{{\"generation\":1,\"snapshot\":{{\"bytes\":0,\"hash\":\"\"}},\"messages\":1,\"bytes\":1,\"next\":9,\"numbers\":\"{numbers}\"}}\n"
            );
            assert!(read_object::<Base>(body.as_bytes()).is_err(), "{numbers}");
        }
    }

    #[test]
    fn a_hash_is_that_of_the_bytes() {
        assert_eq!(binding(b"").hash, "99aa06d3014798d86001c324468d497f");
        assert_ne!(binding(b"[]\n").hash, binding(b"[]").hash);
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_commit(&body);
            let _ = read_object::<Base>(&body);
        }

        #[test]
        fn a_body_that_was_cut_is_damage_or_fewer_records(cut in 0usize..60) {
            let records = vec![Record::Append(b"{\"message\":1}"), Record::Remove(3), Record::Append(b"2")];
            let (body, _) = write_commit(&Totals::default(), records.clone());
            let cut = cut.min(body.len());
            if let Ok((_, read)) = read_commit(&body[..cut]) {
                prop_assert!(records.starts_with(&read));
            }
        }
    }
}
