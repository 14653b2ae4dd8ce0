//! Reading the frames of a journal, part by part: a journal may be longer than what fits into memory.

use std::path::PathBuf;
use std::sync::Arc;

use super::replay::{Checked, corrupt};
use crate::error::{Error, Result};
use crate::format::frame::{self, Cursor, Frame, HEADER_BYTES, Tail};
use crate::store::File;

/// So much is read at once, unless a frame is longer.
const PART: usize = 1024 * 1024;

/// A journal as far as it goes.
pub(super) struct Frames {
    pub(super) file: Arc<dyn File>,
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

/// A frame with its body, and where the body begins in the file.
pub(super) struct Seen<'a> {
    pub(super) frame: &'a Frame,
    pub(super) body: &'a [u8],
    pub(super) at: u64,
}

impl Seen<'_> {
    /// Where its header begins.
    pub(super) fn header_at(&self) -> u64 {
        self.at - HEADER_BYTES as u64
    }
}

impl Frames {
    /// Gives the frames from the cursor on to `each`; says where they end and what stands there.
    pub(super) fn read(
        &self,
        from: Cursor,
        mut each: impl FnMut(Seen<'_>) -> Checked<()>,
    ) -> Result<(Cursor, Tail)> {
        let (mut cursor, mut needed) = (from, PART);
        loop {
            let left = self.size.saturating_sub(cursor.offset);
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(needed);
            let bytes = self.bytes(cursor.offset, part)?;
            // Another process may have cut a torn tail off meanwhile.
            let left = if bytes.len() < part {
                bytes.len() as u64
            } else {
                left
            };
            let damaged = |damage| corrupt(&self.path, &damage);
            let (frames, next, tail) = frame::scan(&bytes, cursor, left).map_err(damaged)?;
            for frame in &frames {
                let body = bytes.get(frame.body.clone()).unwrap_or_default();
                let at = cursor.offset + frame.body.start as u64;
                each(Seen { frame, body, at }).map_err(|mut damage| {
                    damage.offset += at;
                    damaged(damage)
                })?;
            }
            cursor = next;
            match tail {
                Tail::Clean => return Ok((cursor, tail)),
                Tail::Torn => {
                    self.search(&cursor)?;
                    return Ok((cursor, tail));
                }
                Tail::More(more) => needed = more.max(PART),
            }
        }
    }

    /// Looks for a later frame that says that what is missing was on stable storage. Only as far as the file went at first: what was
    /// being written then may be whole by now, and have others behind it.
    fn search(&self, cursor: &Cursor) -> Result<()> {
        let mut at = cursor.offset;
        loop {
            let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
            let bytes = self.bytes(at, PART.min(left))?;
            if frame::missing_was_durable(&bytes, cursor) {
                return Err(corrupt(&self.path, &frame::lost(cursor)));
            }
            if bytes.len() < PART {
                return Ok(());
            }
            // A header may stand on the border between two parts.
            at += (PART - HEADER_BYTES) as u64;
        }
    }

    pub(super) fn bytes(&self, at: u64, length: usize) -> Result<Vec<u8>> {
        let read = self.file.read_at(at, length);
        read.map_err(|error| Error::io("read", &self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::frame::Kind;
    use crate::store::fault::FaultStore;
    use crate::store::{Open, Store};

    #[test]
    fn half_a_frame_that_is_finished_meanwhile_is_no_damage() {
        let store = FaultStore::new();
        let (first, start) = Cursor::start(1).frame(Kind::Base, 0, b"{}\n");
        let (second, next) = start.frame(Kind::Notice, 0, b"{}\n");
        let (third, _) = next.frame(Kind::Notice, next.offset, b"{}\n");
        store.put("journal", &[first, second, third].concat());
        let frames = |size| Frames {
            file: store.open("journal", Open::Read).unwrap(),
            path: PathBuf::from("journal"),
            size,
        };
        // So long was the file when it was looked at.
        let (end, tail) = frames(next.offset - 5).read(start, |_| Ok(())).unwrap();
        assert_eq!((end, tail), (start, Tail::Torn));
        let whole = frames(u64::MAX).file.stat().unwrap().size;
        let mut damaged = store.content("journal").unwrap();
        damaged[usize::try_from(start.offset).unwrap()] ^= 1;
        store.overwrite("journal", &damaged);
        assert!(frames(whole).read(start, |_| Ok(())).is_err());
    }
}
