//! Looking without taking.

use std::time::Duration;

use super::state::State;
use super::{Index, Now, Order, Seq, order};
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
    pub(crate) fn peek(&mut self, count: usize, now: &Now) -> Vec<View> {
        self.next_ready(count, now)
            .into_iter()
            .map(|(_, element)| View {
                element,
                state: State::Ready,
            })
            .collect()
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
        let mut found: Vec<(Order, State, &Element)> = self
            .entries
            .iter()
            .map(|(seq, element)| (order(*seq, element), self.state(*seq, element), element))
            .filter(|(order, found, _)| {
                state.is_none_or(|state| state == *found)
                    && after.is_none_or(|after| *order > after)
            })
            .collect();
        found.sort_unstable_by_key(|(order, _, _)| *order);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found
            .last()
            .filter(|_| more)
            .map(|(order, _, _)| cursor_text(*order));
        Ok((
            found
                .into_iter()
                .map(|(_, state, element)| View {
                    element: element.clone(),
                    state,
                })
                .collect(),
            next,
        ))
    }

    pub(crate) fn get(&mut self, id: &str, now: &Now) -> Vec<View> {
        self.advance(now);
        self.with_id(id)
            .into_iter()
            .map(|(seq, element)| View {
                state: self.state(seq, &element),
                element,
            })
            .collect()
    }

    pub(crate) fn stats(&mut self, now: &Now) -> Counts {
        self.advance(now);
        let oldest = self.entries.values().filter_map(Element::queued_at).min();
        Counts {
            messages: self.entries.len() as u64,
            ready: self.ready.len() as u64,
            delayed: self.delayed.len() as u64,
            leased: self.leased.len() as u64,
            bytes: self.bytes,
            oldest_age: oldest.map(|oldest| between(oldest, now.wall)),
        }
    }

    /// The places of the messages in a state.
    pub(crate) fn in_state(&mut self, wanted: Option<State>, now: &Now) -> Vec<Seq> {
        self.advance(now);
        let is_wanted = |seq: &Seq, element: &Element| {
            wanted.is_none_or(|wanted| self.state(*seq, element) == wanted)
        };
        self.entries
            .iter()
            .filter(|(seq, element)| is_wanted(seq, element))
            .map(|(seq, _)| *seq)
            .collect()
    }
}

/// `PRIORITY.NANOSECONDS.PLACE`, with nothing for an unknown time.
fn cursor_text((priority, queued_at, seq): Order) -> String {
    let nanoseconds = queued_at
        .map(|time| time.as_nanosecond().to_string())
        .unwrap_or_default();
    format!("{priority}.{nanoseconds}.{seq}")
}

fn parse_cursor(text: &str) -> Result<Order> {
    let read = || {
        let mut parts = text.splitn(3, '.');
        let (priority, time, seq) = (parts.next()?, parts.next()?, parts.next()?);
        let priority: Priority = priority.parse().ok()?;
        let time = match time {
            "" => None,
            time => Some(Timestamp::from_nanosecond(time.parse().ok()?).ok()?),
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
