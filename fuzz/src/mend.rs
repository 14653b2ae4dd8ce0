//! Makes the sums, lengths, numbers and totals of a journal right after something in it was changed, so that what is tried is
//! what the frames say. Written from `docs/format.md`, sections 13 and 14, not from the library.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use twox_hash::XxHash3_128;

use super::journal::split;

const MAGIC: &[u8] = b"flockq1 ";
pub const HEADER: usize = 97;

/// Writes frames that fit, one behind the other.
pub struct Writer {
    pub bytes: Vec<u8>,
    pub salt: u64,
    number: u64,
    previous: u32,
}

impl Writer {
    pub fn new(salt: u64) -> Self {
        Self {
            bytes: Vec::new(),
            salt,
            number: 0,
            previous: 0,
        }
    }

    pub fn frame(&mut self, kind: char, synced: u64, body: &[u8]) {
        let header = format!(
            "flockq1 {kind} {:016x} {:016x} {:08x} {synced:016x} {:08x} {:08x} ",
            self.salt,
            self.number,
            body.len(),
            self.previous,
            crc32c::crc32c(body),
        );
        self.previous = crc32c::crc32c(header.as_bytes());
        self.number += 1;
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes
            .extend_from_slice(format!("{:08x}\n", self.previous).as_bytes());
        self.bytes.extend_from_slice(body);
    }
}

/// A sound journal with one more frame.
pub fn append(journal: &[u8], kind: char, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(0);
    let mut at = 0;
    while let Some(found) = header(journal.get(at..).unwrap_or_default()) {
        let sum = std::str::from_utf8(&journal[at + HEADER - 9..at + HEADER - 1]).unwrap();
        writer.salt = found.salt;
        writer.number = found.number + 1;
        writer.previous = u32::from_str_radix(sum, 16).unwrap();
        at += HEADER + found.length;
    }
    writer.bytes = journal.to_vec();
    writer.frame(kind, journal.len() as u64, body);
    writer.bytes
}

/// The hash that binds a journal to its snapshot.
pub fn hash(snapshot: &[u8]) -> u128 {
    XxHash3_128::oneshot(snapshot)
}

/// What a header says whose own sum is right.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    pub salt: u64,
    pub number: u64,
    pub length: usize,
    pub synced: u64,
}

/// The fields of the header at the start of these bytes.
fn fields(bytes: &[u8]) -> Option<Header> {
    let text = std::str::from_utf8(bytes.get(..HEADER)?).ok()?;
    let hex = |from: usize, to: usize| u64::from_str_radix(text.get(from..to)?, 16).ok();
    Some(Header {
        salt: hex(10, 26)?,
        number: hex(27, 43)?,
        length: usize::try_from(hex(44, 52)?).ok()?,
        synced: hex(53, 69)?,
    })
}

/// The header at the start of these bytes, if its own sum is right.
pub fn header(bytes: &[u8]) -> Option<Header> {
    let found = fields(bytes).filter(|_| bytes.starts_with(MAGIC))?;
    let sum = format!("{:08x}\n", crc32c::crc32c(&bytes[..HEADER - 9]));
    (&bytes[HEADER - 9..HEADER] == sum.as_bytes()).then_some(found)
}

/// The elements by number: their lengths, and those of their payloads.
#[derive(Default)]
struct Elements {
    of: BTreeMap<u64, (usize, usize)>,
    next: u64,
}

fn measure(text: &[u8]) -> (usize, usize) {
    #[derive(serde::Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        message: &'a RawValue,
    }
    let payload = serde_json::from_slice::<Envelope<'_>>(text);
    (
        text.len(),
        payload.map_or(text.len(), |one| one.message.get().len()),
    )
}

/// An input of the target `journal` in which everything fits that a change may have put out of joint.
pub fn mended(input: &[u8]) -> Vec<u8> {
    let (snapshot, journal) = split(input);
    let mut writer = Writer::new(fields(journal).map_or(7, |header| header.salt));
    let mut elements = Elements::default();
    for (place, frame) in frames(journal).into_iter().enumerate() {
        let synced = fields(frame).map_or(0, |header| header.synced);
        let kind = match (place, frame.get(MAGIC.len())) {
            (0, _) => 'B',
            (_, Some(kind @ (b'S' | b'P' | b'N'))) => char::from(*kind),
            _ => 'C',
        };
        let body = frame.get(HEADER..).unwrap_or_default();
        let mut body = match kind {
            'B' => base(body, snapshot, &mut elements),
            'C' => commit(body, &mut elements),
            _ => body.to_vec(),
        };
        if body.last() != Some(&b'\n') {
            body.push(b'\n');
        }
        writer.frame(kind, synced.min(writer.bytes.len() as u64), &body);
    }
    [snapshot, &writer.bytes].concat()
}

/// From each line that begins like a header to the next such line.
fn frames(journal: &[u8]) -> Vec<&[u8]> {
    let begins =
        |at: &usize| journal[*at..].starts_with(MAGIC) && (*at == 0 || journal[at - 1] == b'\n');
    let mut starts: Vec<usize> = (0..journal.len()).filter(begins).collect();
    starts.push(journal.len());
    starts
        .windows(2)
        .map(|ends| &journal[ends[0]..ends[1]])
        .collect()
}

/// A base for this snapshot.
fn base(body: &[u8], snapshot: &[u8], elements: &mut Elements) -> Vec<u8> {
    let Ok(texts) = serde_json::from_slice::<Vec<&RawValue>>(snapshot) else {
        return body.to_vec();
    };
    let mut said: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let numbers = said
        .get("numbers")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut numbers = listed(numbers, texts.len());
    if numbers.len() != texts.len() {
        numbers = (0..texts.len() as u64).collect();
        let last = numbers.len().saturating_sub(1);
        let all = if numbers.is_empty() {
            String::new()
        } else {
            format!("0-{last}")
        };
        said.insert("numbers".into(), all.into());
    }
    let lengths = texts.iter().map(|text| measure(text.get().as_bytes()));
    elements.of = numbers.iter().copied().zip(lengths).collect();
    let least = elements.of.keys().last().map_or(0, |last| last + 1);
    let next = said.get("next").and_then(Value::as_u64).unwrap_or_default();
    elements.next = next.max(least);
    said.entry("generation").or_insert(json!(1));
    let hash = format!("{:032x}", hash(snapshot));
    said.insert(
        "snapshot".into(),
        json!({ "bytes": snapshot.len(), "hash": hash }),
    );
    said.insert("messages".into(), texts.len().into());
    let bytes: usize = elements.of.values().map(|(length, _)| length).sum();
    said.insert("bytes".into(), bytes.into());
    said.insert("next".into(), elements.next.into());
    serde_json::to_vec(&said).unwrap()
}

/// The numbers of `0-4,7`, at most one more than so many.
fn listed(ranges: &str, most: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    for range in ranges.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) {
            if last == u64::MAX {
                return Vec::new();
            }
            numbers.extend((first..=last).take(most + 1 - numbers.len().min(most)));
        }
    }
    numbers
}

/// Records whose lengths are those of the lines behind them, which concern elements that are there; and the totals.
fn commit(body: &[u8], elements: &mut Elements) -> Vec<u8> {
    let mut lines = body.split(|byte| *byte == b'\n').skip(1);
    let mut records = Vec::new();
    while let Some(line) = lines.next() {
        let mut words = line.split(|byte| *byte == b' ').skip(1);
        let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<u64>().ok();
        let wanted = number().unwrap_or(0);
        let there = elements
            .of
            .range(wanted..)
            .chain(elements.of.range(..wanted))
            .next();
        let there = there.map(|(number, lengths)| (*number, *lengths));
        match (line.first(), there) {
            (Some(b'+'), _) if elements.next < u64::MAX => {
                let text = lines.next().unwrap_or_default();
                elements.of.insert(elements.next, measure(text));
                elements.next += 1;
                records.extend_from_slice(format!("+ {}\n", text.len()).as_bytes());
                records.extend_from_slice(&[text, b"\n"].concat());
            }
            (Some(b'='), Some((number, _))) => {
                let text = lines.next().unwrap_or_default();
                elements.of.insert(number, measure(text));
                records.extend_from_slice(format!("= {number} {}\n", text.len()).as_bytes());
                records.extend_from_slice(&[text, b"\n"].concat());
            }
            (Some(b'~'), Some((number, (_, payload)))) => {
                let head = lines.next().unwrap_or_default();
                let tail = lines.next().unwrap_or_default();
                elements
                    .of
                    .insert(number, (head.len() + payload + tail.len(), payload));
                let line = format!("~ {number} {} {}\n", head.len(), tail.len());
                records.extend_from_slice(&[line.as_bytes(), head, b"\n", tail, b"\n"].concat());
            }
            (Some(b'-'), Some((number, _))) => {
                elements.of.remove(&number);
                records.extend_from_slice(format!("- {number}\n").as_bytes());
            }
            (Some(b'#'), _) => records.extend_from_slice(&[line, b"\n"].concat()),
            (Some(b'!'), _) => {
                let id = lines.next().unwrap_or_default();
                let line = format!("! {wanted} {}\n", id.len());
                records.extend_from_slice(&[line.as_bytes(), id, b"\n"].concat());
            }
            _ => {}
        }
    }
    let bytes: usize = elements.of.values().map(|(length, _)| length).sum();
    let totals = format!("{} {bytes} {}\n", elements.of.len(), elements.next);
    [totals.as_bytes(), &records].concat()
}
