//! Bodies stay on disk: this reads them from the files that hold them. Descriptors of files that have been replaced
//! stay open as long as the index has bodies in them.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use crate::error::{Error, Result};
use crate::index::text::{Piece, Place, Source, Texts};
use crate::store::File;
use crate::sync::{Mutex, MutexGuard};

/// So much is read at once for one message: those that come next are mostly behind it.
const WINDOW: usize = 32 * 1024;
/// The same where all are read.
const LARGE_WINDOW: usize = 128 * 1024;
/// So much of what was appended last is kept: what was sent just now is mostly received first.
const RECENT: usize = 64 * 1024;
/// Messages of several priorities stand at several places.
const WINDOWS: usize = 4;
/// So many files are numbered before all is read anew: a number stands for one file as long as anything is known of it, and a checkpoint
/// takes two. Reading anew costs no more than a checkpoint.
const NUMBERS: usize = 512;

/// The files of one queue that hold bodies.
#[derive(Debug)]
pub(crate) struct Bodies(Mutex<Reader>);

/// Reads bodies, with what was read last at hand.
#[derive(Debug)]
pub(crate) struct Reader {
    files: Vec<Option<Held>>,
    recent: Window,
    windows: [Window; WINDOWS],
    /// The window that is used for the next read.
    turn: usize,
    size: usize,
}

#[derive(Debug, Clone)]
struct Held {
    file: Arc<dyn File>,
    path: PathBuf,
    /// Behind it nothing has been committed yet.
    end: u64,
}

/// Bytes of one file.
#[derive(Debug, Default, Clone)]
struct Window {
    source: Source,
    at: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn get(&self, piece: &Piece) -> Option<&[u8]> {
        let from = usize::try_from(piece.at.checked_sub(self.at)?).ok()?;
        let bytes = self.bytes.get(from..from.checked_add(piece.length)?)?;
        (self.source == piece.source).then_some(bytes)
    }
}

impl Bodies {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Reader::new(Vec::new(), WINDOW)))
    }

    /// One more file, whose bytes before `end` are committed.
    pub(crate) fn add(&self, file: Arc<dyn File>, path: PathBuf, end: u64) -> Source {
        let mut reader = self.reader();
        reader.files.push(Some(Held { file, path, end }));
        Source::try_from(reader.files.len() - 1).unwrap_or(Source::MAX)
    }

    /// Whether the numbers for files are nearly used up.
    pub(crate) fn are_many(&self) -> bool {
        self.reader().files.len() >= NUMBERS
    }

    /// How many files are open.
    pub(crate) fn count(&self) -> usize {
        self.reader().files.iter().flatten().count()
    }

    /// Whether this file is still open.
    pub(crate) fn has(&self, source: Source) -> bool {
        self.reader().held(source).is_some()
    }

    /// Closes the files in which no body is, except for the journal.
    pub(crate) fn keep(&self, used: &[bool], journal: Source) {
        for (source, held) in self.reader().files.iter_mut().enumerate() {
            let is_used = used.get(source).copied().unwrap_or(false);
            if !is_used && source != usize::from(journal) {
                *held = None;
            }
        }
    }

    /// These bytes were committed at the end of this file.
    pub(crate) fn appended(&self, source: Source, at: u64, bytes: &[u8]) {
        self.reader().appended(source, at, bytes);
    }

    /// What stands before `end` of this file is committed.
    pub(crate) fn committed(&self, source: Source, end: u64) {
        if let Some(held) = self.reader().held(source) {
            held.end = end;
        }
    }

    /// A reader for all bodies.
    pub(crate) fn all(&self) -> Reader {
        Reader::new(self.reader().files.clone(), LARGE_WINDOW)
    }

    fn reader(&self) -> MutexGuard<'_, Reader> {
        // Windows are set as wholes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Texts for Bodies {
    fn read(&self, place: &Place) -> Result<Arc<[u8]>> {
        let mut reader = self.reader();
        let mut pieces = place.pieces();
        if let (Some(piece), None) = (pieces.next(), pieces.next()) {
            return Ok(Arc::from(reader.bytes(&piece)?));
        }
        let length = usize::try_from(place.lengths().sum()).unwrap_or_default();
        let mut text = Vec::with_capacity(length);
        reader.read(place, &mut text)?;
        Ok(Arc::from(text))
    }
}

impl Reader {
    fn new(files: Vec<Option<Held>>, size: usize) -> Self {
        Self {
            files,
            recent: Window::default(),
            windows: Default::default(),
            turn: 0,
            size,
        }
    }

    /// Adds the element at this place to `text`.
    pub(crate) fn read(&mut self, place: &Place, text: &mut Vec<u8>) -> Result<()> {
        for piece in place.pieces() {
            text.extend_from_slice(self.bytes(&piece)?);
        }
        Ok(())
    }

    /// The bytes of one piece.
    fn bytes(&mut self, piece: &Piece) -> Result<&[u8]> {
        let is_recent = self.recent.get(piece).is_some();
        let known = self
            .windows
            .iter()
            .position(|window| window.get(piece).is_some());
        let window = match known {
            _ if is_recent => &self.recent,
            Some(known) => &self.windows[known],
            None => self.look(piece)?,
        };
        Ok(window.get(piece).unwrap_or_default())
    }

    /// Reads a piece, and what stands behind it.
    fn look(&mut self, piece: &Piece) -> Result<&Window> {
        let held = self.files.get(usize::from(piece.source));
        let Some(held) = held.and_then(Option::as_ref) else {
            let text = "a message is in a file that is no longer open";
            return Err(Error::new(crate::ErrorKind::Internal, text));
        };
        let committed = usize::try_from(held.end.saturating_sub(piece.at)).unwrap_or(usize::MAX);
        let bytes = held
            .file
            .read_at(piece.at, self.size.max(piece.length).min(committed))
            .map_err(|error| Error::io("read", &held.path, error))?;
        if bytes.len() < piece.length {
            let rule = "it ends before a message that was read of it already";
            return Err(Error::corrupt(&held.path, piece.at, rule));
        }
        self.turn = (self.turn + 1) % WINDOWS;
        let window = &mut self.windows[self.turn];
        *window = Window {
            source: piece.source,
            at: piece.at,
            bytes,
        };
        Ok(window)
    }

    fn held(&mut self, source: Source) -> Option<&mut Held> {
        self.files.get_mut(usize::from(source))?.as_mut()
    }

    fn appended(&mut self, source: Source, at: u64, bytes: &[u8]) {
        let end = at + bytes.len() as u64;
        if let Some(held) = self.held(source) {
            held.end = end;
        }
        let recent = &mut self.recent;
        if recent.source != source || recent.at + recent.bytes.len() as u64 != at {
            (recent.source, recent.at) = (source, at);
            recent.bytes.clear();
        }
        recent.bytes.extend_from_slice(bytes);
        if recent.bytes.len() > 2 * RECENT {
            let old = recent.bytes.len() - RECENT;
            recent.bytes.drain(..old);
            recent.at += old as u64;
        }
    }
}

#[cfg(all(test, not(shuttle)))]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::fault::FaultStore;
    use crate::{Queue, Spool, Sync};

    fn queue(store: &FaultStore) -> Queue {
        let spool = Spool::builder("unused").sync(Sync::Off);
        let spool = spool.open_on(Arc::new(store.clone())).unwrap();
        spool.queue("inbound").unwrap()
    }

    /// How many numbers its process has given to files.
    fn numbers(queue: &Queue) -> usize {
        let attached = queue.handle.attached().unwrap();
        let state = attached.entry.state();
        let journal = state.files.journal().unwrap();
        journal.bodies.reader().files.len()
    }

    #[test]
    fn however_many_checkpoints_there_are_the_numbers_of_files_do_not_run_out() {
        let store = FaultStore::new();
        let (folds, follows) = (queue(&store), queue(&store.another_process()));
        let (mut most, mut begun_anew) = (0, 0);
        for number in 0..NUMBERS {
            folds.send(&json!(number)).unwrap();
            assert_eq!(follows.len().unwrap(), 1);
            folds.checkpoint().unwrap();
            let popped = [&follows, &folds][number % 2].pop().unwrap().unwrap();
            assert_eq!(popped.message::<usize>().unwrap(), number);
            for queue in [&folds, &follows] {
                begun_anew += usize::from(numbers(queue) < most);
                most = most.max(numbers(queue));
            }
        }
        assert!((NUMBERS..NUMBERS + 4).contains(&most), "{most}");
        assert!(begun_anew > 0);
    }
}
