//! Looking without taking, and removing without looking.

use crate::envelope::Envelope;
use crate::error::Result;
use crate::index::plan;
use crate::index::state::State;
use crate::store::files::Need;

use super::Queue;
use super::change::Wish;
use super::look::Probe;

/// The envelopes of a page that names no limit.
const DEFAULT_LIMIT: usize = 100;

/// Which messages to list.
#[derive(Debug, Clone)]
#[must_use = "it does nothing until it is given to `list`"]
pub struct List {
    state: Option<State>,
    limit: usize,
    cursor: Option<String>,
}

/// A part of a list.
#[derive(Debug)]
#[non_exhaustive]
pub struct Page {
    /// The messages.
    pub envelopes: Vec<Envelope>,
    /// Where the next page begins; `None` when this is the last.
    pub cursor: Option<String>,
}

impl List {
    /// All messages, a hundred at a time.
    pub fn new() -> Self {
        Self {
            state: None,
            limit: DEFAULT_LIMIT,
            cursor: None,
        }
    }

    /// Only those in this state.
    pub fn state(mut self, state: State) -> Self {
        self.state = Some(state);
        self
    }

    /// At most this many.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// From where the page before ended.
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl Queue {
    /// The next `count` ready messages, in order of delivery.
    pub fn peek(&self, count: usize) -> Result<Vec<Envelope>> {
        self.handle.look(Probe::Now, |index, now| {
            Ok(index
                .peek(count, now)?
                .into_iter()
                .map(Envelope::from)
                .collect())
        })
    }

    /// A page of the messages, by priority and then by age. Each page is consistent; what changes between
    /// two pages may be seen or not. `InvalidArgument` for a cursor that is none.
    pub fn list(&self, list: &List) -> Result<Page> {
        self.handle.look(Probe::Now, |index, now| {
            let (views, cursor) =
                index.list(list.state, list.limit, list.cursor.as_deref(), now)?;
            Ok(Page {
                envelopes: views.into_iter().map(Envelope::from).collect(),
                cursor,
            })
        })
    }

    /// Every message with this id; ids may repeat. None is an empty list.
    pub fn get(&self, id: &str) -> Result<Vec<Envelope>> {
        self.handle.look(Probe::Now, |index, now| {
            Ok(index
                .get(id, now)?
                .into_iter()
                .map(Envelope::from)
                .collect())
        })
    }

    /// How many messages there are, in whatever state.
    #[expect(
        clippy::len_without_is_empty,
        reason = "an answer that is old when it arrives invites no decision"
    )]
    pub fn len(&self) -> Result<u64> {
        self.handle
            .look(Probe::None, |index, _| Ok(index.len() as u64))
    }

    /// Removes every message with one of these ids, leased or not; says how many.
    pub fn remove<I: AsRef<str>>(&self, ids: &[I]) -> Result<u64> {
        let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
        let wish = Wish::Keep(None);
        self.handle
            .change(wish, Need::Index, Probe::None, |index, _, _| {
                plan::remove(index, &ids)
            })
    }

    /// Removes every message, or every message in one state; says how many.
    pub fn purge(&self, state: Option<State>) -> Result<u64> {
        let wish = Wish::Keep(None);
        self.handle
            .change(wish, Need::Index, Probe::Now, |index, now, _| {
                plan::purge(index, now, state)
            })
    }
}
