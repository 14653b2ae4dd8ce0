//! Looking without taking.

use std::time::Duration;

use super::entry::Entry;
use super::state::State;
use super::{Index, Now, Order, Seq};
use crate::error::{Error, ErrorKind, Result};
use crate::format::envelope::Element;
use crate::format::priority::Priority;
use crate::format::time::{Timestamp, between};

/// One message as it stands.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) element: Element,
    pub(crate) state: State,
}

/// How a queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) messages: u64,
    pub(crate) ready: u64,
    pub(crate) delayed: u64,
    pub(crate) leased: u64,
    pub(crate) bytes: u64,
    pub(crate) oldest_age: Option<Duration>,
}

impl Index {
    pub(crate) fn peek(&mut self, count: usize, now: &Now) -> Result<Vec<View>> {
        let next = self.next_ready(count, now)?.into_iter();
        let state = State::Ready;
        Ok(next.map(|(_, element)| View { element, state }).collect())
    }

    /// A page of the messages in a state, in order of delivery, and where the next page begins.
    pub(crate) fn list(
        &mut self,
        state: Option<State>,
        limit: usize,
        cursor: Option<&str>,
        now: &Now,
    ) -> Result<(Vec<View>, Option<String>)> {
        self.advance(now);
        let after = cursor.map(parse_cursor).transpose()?;
        let is_wanted = |entry: &&Entry| {
            state.is_none_or(|state| state == entry.state)
                && after.is_none_or(|after| entry.order() > after)
        };
        let mut found: Vec<Order> = self
            .entries
            .iter()
            .filter(is_wanted)
            .map(Entry::order)
            .collect();
        let more = found.len() > limit;
        if more && limit > 0 {
            // Only the page is sorted: the queue may be long.
            found.select_nth_unstable(limit - 1);
        }
        found.truncate(limit);
        found.sort_unstable();
        let next = found.last().filter(|_| more).copied().map(cursor_text);
        let views = found.iter().filter_map(|(_, _, seq)| self.entry(*seq));
        let views = views.map(|entry| self.view(entry)).collect::<Result<_>>()?;
        Ok((views, next))
    }

    pub(crate) fn get(&mut self, id: &str, now: &Now) -> Result<Vec<View>> {
        self.advance(now);
        let found = self.with_id(id)?.into_iter();
        let view = |(entry, element): (&Entry, _)| View {
            state: entry.state,
            element,
        };
        Ok(found.map(view).collect())
    }

    fn view(&self, entry: &Entry) -> Result<View> {
        Ok(View {
            element: self.element(entry)?,
            state: entry.state,
        })
    }

    pub(crate) fn stats(&mut self, now: &Now) -> Counts {
        self.advance(now);
        let ages = self.entries.iter().map(|entry| entry.queued);
        let oldest = ages.filter(|queued| *queued != i64::MIN).min();
        let oldest = oldest.and_then(|oldest| Timestamp::from_nanosecond(i128::from(oldest)).ok());
        Counts {
            messages: self.len() as u64,
            ready: self.ready.len() as u64,
            delayed: self.delayed.len() as u64,
            leased: (self.leased.len() + self.in_transit.len()) as u64,
            bytes: self.bytes,
            oldest_age: oldest.map(|oldest| between(oldest, now.wall)),
        }
    }

    /// The places of the messages in a state.
    pub(crate) fn in_state(&mut self, wanted: Option<State>, now: &Now) -> Vec<Seq> {
        self.advance(now);
        let is_wanted = |entry: &&Entry| wanted.is_none_or(|wanted| wanted == entry.state);
        let mut found: Vec<Seq> = self
            .entries
            .iter()
            .filter(is_wanted)
            .map(|entry| entry.seq)
            .collect();
        found.sort_unstable();
        found
    }
}

/// `PRIORITY.NANOSECONDS.PLACE`, with nothing for an unknown time.
fn cursor_text((priority, queued_at, seq): Order) -> String {
    let nanoseconds = match queued_at {
        i64::MIN => String::new(),
        queued_at => queued_at.to_string(),
    };
    format!("{priority}.{nanoseconds}.{seq}")
}

fn parse_cursor(text: &str) -> Result<Order> {
    let read = || {
        let mut parts = text.splitn(3, '.');
        let (priority, time, seq) = (parts.next()?, parts.next()?, parts.next()?);
        let priority: Priority = priority.parse().ok()?;
        let time = match time {
            "" => i64::MIN,
            time => time.parse().ok()?,
        };
        Some((priority, time, seq.parse().ok()?))
    };
    read().ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{shown:?} is no cursor; use the text that the page before returned"),
        )
    })
}
