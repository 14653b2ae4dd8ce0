//! Where the bytes of an element are: in memory, or in files that whoever made the index can read.

use std::fmt::Debug;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// One of the files that hold bodies; whoever made the index knows which.
pub(crate) type Source = u16;

/// Where the bytes of an element are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text {
    Here(Arc<[u8]>),
    There(Place),
}

/// The three parts of an element in files: what stands before the payload, the payload, what stands behind it.
///
/// An element that was written as a whole has them behind each other. A change of its envelope writes the first and the
/// last part anew, with a line feed in between, and the payload stays where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    head_at: u64,
    payload_at: u64,
    head: u32,
    payload: u32,
    tail: u32,
    around_source: Source,
    payload_source: Source,
}

/// A part of an element in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) source: Source,
    pub(crate) at: u64,
    pub(crate) length: usize,
}

/// The lengths of an element's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) head: u32,
    pub(crate) payload: u32,
    pub(crate) tail: u32,
}

/// Reads bodies from files.
pub(crate) trait Texts: Debug + Send + Sync {
    /// The whole element at a place.
    fn read(&self, place: &Place) -> Result<Arc<[u8]>>;
}

/// An index whose elements are all in memory has no files.
#[derive(Debug)]
pub(crate) struct NoFiles;

impl Texts for NoFiles {
    fn read(&self, _: &Place) -> Result<Arc<[u8]>> {
        let text = "an element is in a file of which nothing is known";
        Err(Error::new(ErrorKind::Internal, text))
    }
}

impl Lengths {
    pub(crate) fn sum(self) -> u64 {
        u64::from(self.head) + u64::from(self.payload) + u64::from(self.tail)
    }
}

impl Place {
    /// An element that stands at `at` as a whole.
    pub(crate) fn whole(source: Source, at: u64, lengths: Lengths) -> Self {
        Self {
            head_at: at,
            payload_at: at + u64::from(lengths.head),
            head: lengths.head,
            payload: lengths.payload,
            tail: lengths.tail,
            around_source: source,
            payload_source: source,
        }
    }

    /// The same payload in another envelope, which stands at `at`.
    pub(crate) fn in_envelope(&self, source: Source, at: u64, head: u32, tail: u32) -> Self {
        Self {
            head_at: at,
            head,
            tail,
            around_source: source,
            ..*self
        }
    }

    pub(crate) fn lengths(&self) -> Lengths {
        Lengths {
            head: self.head,
            payload: self.payload,
            tail: self.tail,
        }
    }

    /// Where its bytes are, in order; neighbours are one piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece> {
        let head_end = self.head_at + u64::from(self.head);
        let together = self.around_source == self.payload_source && self.payload_at == head_end;
        let piece = |source, at, length: u64| Piece {
            source,
            at,
            length: usize::try_from(length).unwrap_or(usize::MAX),
        };
        let parts = if together {
            [
                Some(piece(
                    self.around_source,
                    self.head_at,
                    self.lengths().sum(),
                )),
                None,
                None,
            ]
        } else {
            [
                Some(piece(self.around_source, self.head_at, self.head.into())),
                Some(piece(
                    self.payload_source,
                    self.payload_at,
                    self.payload.into(),
                )),
                Some(piece(self.around_source, head_end + 1, self.tail.into())),
            ]
        };
        parts.into_iter().flatten()
    }

    /// The files that hold a part of it; twice the same when it is one.
    pub(crate) fn sources(&self) -> [Source; 2] {
        [self.around_source, self.payload_source]
    }
}

impl Text {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Text::Here(bytes) => bytes.len() as u64,
            Text::There(place) => place.lengths().sum(),
        }
    }

    pub(crate) fn place(&self) -> Option<&Place> {
        match self {
            Text::Here(_) => None,
            Text::There(place) => Some(place),
        }
    }
}
