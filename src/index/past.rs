//! What is known of messages that are gone: how many there were, and the ids that are not to be sent again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::format::counters::Counters;
use crate::format::time::Timestamp;

/// So many ids are remembered; the oldest are forgotten first.
const MOST: usize = if cfg!(miri) { 100 } else { 100_000 };

#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    pub(crate) counters: Counters,
    /// Until when, in milliseconds since 1970.
    ids: HashMap<Arc<str>, u64>,
    by_time: BTreeSet<(u64, Arc<str>)>,
}

/// A time as it is remembered.
pub(crate) fn milliseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or_default()
}

impl Past {
    pub(crate) fn new(counters: Counters, remembered: &[(Arc<str>, u64)]) -> Self {
        let mut past = Self {
            counters,
            ..Self::default()
        };
        for (id, until) in remembered {
            past.remember(id, *until);
        }
        past
    }

    pub(crate) fn remember(&mut self, id: &Arc<str>, until: u64) {
        if let Some(before) = self.ids.insert(Arc::clone(id), until) {
            self.by_time.remove(&(before, Arc::clone(id)));
        }
        self.by_time.insert((until, Arc::clone(id)));
        while self.ids.len() > MOST {
            self.forget_first();
        }
    }

    pub(crate) fn remembers(&self, id: &str, now: Timestamp) -> bool {
        let until = self.ids.get(id);
        until.is_some_and(|until| *until > milliseconds(now))
    }

    /// Forgets those whose time is over.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        let now = milliseconds(now);
        while self.by_time.first().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
    }

    /// The ids, and until when each is remembered.
    pub(crate) fn remembered(&self) -> Vec<(Arc<str>, u64)> {
        let all = self.by_time.iter();
        all.map(|(until, id)| (Arc::clone(id), *until)).collect()
    }

    fn forget_first(&mut self) {
        if let Some((_, id)) = self.by_time.pop_first() {
            self.ids.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    #[test]
    fn an_id_is_remembered_until_its_time_and_the_latest_time_holds() {
        let mut past = Past::default();
        let id: Arc<str> = Arc::from("a");
        past.remember(&id, 1000);
        past.remember(&id, 3000);
        past.remember(&Arc::from("b"), 2000);
        assert!(past.remembers("a", at(2999)) && past.remembers("b", at(1999)));
        assert!(!past.remembers("b", at(2000)) && !past.remembers("c", at(0)));
        past.advance(at(2000));
        assert_eq!(past.remembered(), [(id, 3000)]);
        let again = Past::new(past.counters, &past.remembered());
        assert!(again.remembers("a", at(2999)));
    }

    #[test]
    fn no_more_than_the_most_are_remembered() {
        let mut past = Past::default();
        for number in 0..MOST as u64 + 10 {
            past.remember(&Arc::from(number.to_string()), number + 1);
        }
        assert_eq!((past.ids.len(), past.by_time.len()), (MOST, MOST));
        assert!(!past.remembers("9", at(0)) && past.remembers("10", at(0)));
    }
}
