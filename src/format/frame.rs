//! The journal's frames: a header of fixed width, which a person can read, and a body. `docs/format.md`, section 13.

use std::ops::Range;

use super::Damage;

/// The bytes of a header, its line feed included.
pub(crate) const HEADER_BYTES: usize = 97;
/// What every frame of this version begins with.
const MAGIC: &[u8] = b"flockq1 ";
/// What a frame of any version begins with.
const FAMILY: &[u8] = b"flockq";
/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first one: what the journal builds on.
    Base,
    /// Changes.
    Commit,
    /// A checkpoint has written a snapshot that will be renamed into place.
    Switch,
    /// A sync failed: what of this generation is on stable storage is not known.
    Poison,
    /// The configuration was changed.
    Notice,
}

impl Kind {
    const fn letter(self) -> u8 {
        match self {
            Kind::Base => b'B',
            Kind::Commit => b'C',
            Kind::Switch => b'S',
            Kind::Poison => b'P',
            Kind::Notice => b'N',
        }
    }

    const fn of(letter: u8) -> Option<Self> {
        match letter {
            b'B' => Some(Kind::Base),
            b'C' => Some(Kind::Commit),
            b'S' => Some(Kind::Switch),
            b'P' => Some(Kind::Poison),
            b'N' => Some(Kind::Notice),
            _ => None,
        }
    }
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// Chosen by chance for each generation of a journal: frames of another one never fit.
    pub(crate) salt: u64,
    /// From 0, one more with each frame.
    pub(crate) number: u64,
    /// The bytes of the body.
    pub(crate) length: u32,
    /// Everything before this offset was on stable storage when the frame was written.
    pub(crate) synced: u64,
    /// The sum of the header before: a frame fits behind one frame only.
    pub(crate) previous: u32,
    body_sum: u32,
    sum: u32,
}

/// Where the next frame has to begin, and what it has to say to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) offset: u64,
    pub(crate) salt: u64,
    pub(crate) number: u64,
    pub(crate) previous: u32,
}

/// A frame that fits: its header, and where its body lies in the bytes that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) header: Header,
    pub(crate) body: Range<usize>,
}

/// How the bytes behind the last good frame look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// There are none.
    Clean,
    /// A frame that was not finished: what comes behind the last good frame was never known to be durable.
    Torn,
    /// A frame may begin there of which so many bytes have to be seen.
    More(usize),
}

impl Cursor {
    /// Where a journal begins.
    pub(crate) const fn start(salt: u64) -> Self {
        Self {
            offset: 0,
            salt,
            number: 0,
            previous: 0,
        }
    }

    /// A frame that fits here, in bytes; and where the next one goes. The body ends with a line feed.
    pub(crate) fn frame(&self, kind: Kind, synced: u64, body: &[u8]) -> (Vec<u8>, Self) {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[kind.letter(), b' ']);
        let field = |bytes: &mut Vec<u8>, value: u64, digits: u32, end: u8| {
            let digit = |place| b"0123456789abcdef"[(value >> (4 * place) & 15) as usize];
            bytes.extend((0..digits).rev().map(digit));
            bytes.push(end);
        };
        field(&mut bytes, self.salt, 16, b' ');
        field(&mut bytes, self.number, 16, b' ');
        field(&mut bytes, body.len() as u64, 8, b' ');
        field(&mut bytes, synced, 16, b' ');
        field(&mut bytes, self.previous.into(), 8, b' ');
        field(&mut bytes, crc32c::crc32c(body).into(), 8, b' ');
        let sum = crc32c::crc32c(&bytes);
        field(&mut bytes, sum.into(), 8, b'\n');
        bytes.extend_from_slice(body);
        let next = Self {
            offset: self.offset + bytes.len() as u64,
            salt: self.salt,
            number: self.number + 1,
            previous: sum,
        };
        (bytes, next)
    }

    /// The header at the start of `bytes`, if one fits here, and how long its frame is.
    fn header(&self, bytes: &[u8]) -> Option<(Header, usize)> {
        let header = Header::read(bytes)?;
        let fits = (cfg!(mutant = "no_salt") || header.salt == self.salt)
            && header.number == self.number
            && (cfg!(mutant = "no_salt") || header.previous == self.previous)
            && header.synced <= self.offset
            && (header.kind == Kind::Base) == (self.number == 0);
        let end = HEADER_BYTES.checked_add(usize::try_from(header.length).ok()?)?;
        fits.then_some((header, end))
    }

    /// The frame at the start of `bytes`, if one fits here.
    fn read(&self, bytes: &[u8]) -> Option<(Header, Self)> {
        let (header, end) = self.header(bytes)?;
        let body = bytes.get(HEADER_BYTES..end)?;
        let whole = body.ends_with(b"\n") && crc32c::crc32c(body) == header.body_sum;
        let next = Self {
            offset: self.offset + end as u64,
            salt: self.salt,
            number: self.number + 1,
            previous: header.sum,
        };
        whole.then_some((header, next))
    }

    /// How many bytes have to be seen to tell whether a frame begins here, when that is more than `bytes` and no more
    /// than the `size` that there are.
    fn more(&self, bytes: &[u8], size: u64) -> Option<usize> {
        let needed = match self.header(bytes) {
            Some((_, end)) => end,
            None => HEADER_BYTES,
        };
        (bytes.len() < needed && needed as u64 <= size).then_some(needed)
    }
}

impl Header {
    /// A header whose own sum is right; whether it fits is another question.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let text = bytes.get(..HEADER_BYTES)?;
        let rest = text.strip_prefix(MAGIC)?.strip_suffix(b"\n")?;
        let mut fields = rest.split(|byte| *byte == b' ');
        let [letter] = *fields.next()? else {
            return None;
        };
        let header = Self {
            kind: Kind::of(letter)?,
            salt: hex(fields.next()?, 16)?,
            number: hex(fields.next()?, 16)?,
            length: u32::try_from(hex(fields.next()?, 8)?).ok()?,
            synced: hex(fields.next()?, 16)?,
            previous: u32::try_from(hex(fields.next()?, 8)?).ok()?,
            body_sum: u32::try_from(hex(fields.next()?, 8)?).ok()?,
            sum: u32::try_from(hex(fields.next()?, 8)?).ok()?,
        };
        let summed = text.get(..HEADER_BYTES - 9)?;
        let sound = fields.next().is_none() && crc32c::crc32c(summed) == header.sum;
        sound.then_some(header)
    }
}

/// Exactly so many small hexadecimal digits.
fn hex(text: &[u8], digits: usize) -> Option<u64> {
    let mut value = 0;
    for byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(digit);
    }
    (text.len() == digits).then_some(value)
}

/// The frames that fit, one behind the other, from `from` on, and what stands behind the last of them.
///
/// `bytes` begin at the cursor and may be the first part of the `size` that there are. Damage is told in offsets of the
/// file: a frame behind the gap that was written when what is missing was already on stable storage.
pub(crate) fn scan(
    bytes: &[u8],
    from: Cursor,
    size: u64,
) -> Result<(Vec<Frame>, Cursor, Tail), Damage> {
    let mut frames = Vec::new();
    let (mut at, mut cursor) = (0, from);
    while let Some((header, next)) = cursor.read(bytes.get(at..).unwrap_or_default()) {
        let body = at + HEADER_BYTES;
        at = body + usize::try_from(header.length).unwrap_or_default();
        frames.push(Frame {
            header,
            body: body..at,
        });
        cursor = next;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let size = size.saturating_sub(at as u64);
    if size == 0 {
        return Ok((frames, cursor, Tail::Clean));
    }
    if let Some(needed) = cursor.more(rest, size) {
        return Ok((frames, cursor, Tail::More(needed)));
    }
    if missing_was_durable(rest, &cursor) {
        return Err(lost(&cursor));
    }
    Ok((frames, cursor, Tail::Torn))
}

/// The damage of INV-20.
pub(crate) fn lost(cursor: &Cursor) -> Damage {
    Damage {
        offset: cursor.offset,
        rule: "what stands here is no frame, and a later frame says that it was on stable storage"
            .to_owned(),
    }
}

/// Whether a later frame of this generation was written when the bytes at the cursor were already durable.
pub(crate) fn missing_was_durable(rest: &[u8], cursor: &Cursor) -> bool {
    headers(rest).any(|(_, header)| {
        header.salt == cursor.salt
            && header.number >= cursor.number
            && header.synced > cursor.offset
    })
}

/// All headers whose own sum is right, wherever they stand.
fn headers(bytes: &[u8]) -> impl Iterator<Item = (usize, Header)> {
    memchr::memmem::find_iter(bytes, MAGIC)
        .filter_map(|at| Some((at, Header::read(bytes.get(at..)?)?)))
}

/// Where the first frame of this generation begins in the last part of a journal: enough to go on from there to the end
/// without reading what is before. `offset` is where `bytes` begin in the file.
pub(crate) fn first_in_tail(bytes: &[u8], offset: u64, salt: u64) -> Option<Cursor> {
    let (at, header) = headers(bytes).find(|(_, header)| header.salt == salt)?;
    Some(Cursor {
        offset: offset + at as u64,
        salt,
        number: header.number,
        previous: header.previous,
    })
}

/// Every frame whose header and body have the right sums, wherever it stands and whatever is before it.
pub(crate) fn all_whole(bytes: &[u8]) -> Vec<(usize, Frame)> {
    let whole = |(at, header): (usize, Header)| {
        let body = at + HEADER_BYTES..at + HEADER_BYTES + usize::try_from(header.length).ok()?;
        let text = bytes.get(body.clone())?;
        let sound = text.ends_with(b"\n") && crc32c::crc32c(text) == header.body_sum;
        sound.then_some((at, Frame { header, body }))
    };
    headers(bytes).filter_map(whole).collect()
}

/// `flockq`, another number, a space.
fn is_of_another_version(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(FAMILY).unwrap_or_default();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_number = digits > 0 && rest.get(digits) == Some(&b' ');
    is_number && !bytes.starts_with(MAGIC)
}

/// The first header of a journal; `None` when the file is of a newer version.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<Header>, Damage> {
    let known =
        Header::read(bytes).filter(|header| header.kind == Kind::Base && header.number == 0);
    match known {
        Some(header) => Ok(Some(header)),
        None if is_of_another_version(bytes) => Ok(None),
        None => Err(Damage::new(
            0,
            "the journal does not begin with a base frame",
        )),
    }
}

#[cfg(test)]
mod tests;
