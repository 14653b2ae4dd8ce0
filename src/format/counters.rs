//! What has been done with a queue's messages since its files were made. `docs/format.md`, section 19.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

macro_rules! counters {
    ($($(#[doc = $text:literal])+ $name:ident),+ $(,)?) => {
        /// What has been done with a queue's messages, by all processes together. Each count only grows, until the queue's
        /// files are made anew.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[doc = $text])+ pub $name: u64,)+
        }

        impl Counters {
            /// Every count with its name, the same in every language, in files and in metrics.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),+]
            }

            fn count(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }

            pub(crate) fn add(&mut self, more: &Self) {
                $(self.$name = self.$name.saturating_add(more.$name);)+
            }
        }
    };
}

counters! {
    /// Messages that were sent.
    sent,
    /// Deliveries.
    received,
    /// Messages that were acked or popped.
    acked,
    /// Deliveries that were given back, with or without a reason.
    nacked,
    /// Messages that went to the retry queue.
    retried,
    /// Messages that were given up, to the dead-letter queue.
    dead_lettered,
    /// Messages whose time to live had ended; those that were not dropped are dead-lettered too.
    expired,
    /// Messages that were removed by hand.
    removed,
    /// Messages that came from another queue.
    moved_in,
    /// Messages that went to another queue, for whatever reason.
    moved_out,
    /// Deliveries of messages that had been given back.
    redelivered_nacked,
    /// Deliveries of messages whose lease had come to its deadline.
    redelivered_expired_lease,
    /// Deliveries of messages whose consumer had died.
    redelivered_dead_consumer,
    /// Deliveries of messages that were leased before a reboot.
    redelivered_reboot,
    /// Deliveries of messages whose lease another program had erased.
    redelivered_erased_lease,
}

impl Counters {
    pub(crate) fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Those that are not zero, as text: `sent 1 acked 2`.
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(64);
        for (name, count) in self.named() {
            if count > 0 {
                let space = if text.is_empty() { "" } else { " " };
                text.extend([space, name, " ", &count.to_string()]);
            }
        }
        text
    }

    /// Reads such a text. What a later version counts is not known here.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let mut counters = Self::default();
        let mut words = text.split(' ');
        while let Some(name) = words.next() {
            let value = words.next()?.parse().ok()?;
            if let Some(count) = counters.count(name) {
                *count = value;
            }
        }
        Some(counters)
    }
}

impl Serialize for Counters {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let some = self.named().into_iter().filter(|(_, count)| *count > 0);
        serializer.collect_map(some)
    }
}

impl<'de> Deserialize<'de> for Counters {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut counters = Self::default();
        for (name, value) in BTreeMap::<String, u64>::deserialize(deserializer)? {
            if let Some(count) = counters.count(&name) {
                *count = value;
            }
        }
        Ok(counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_back_and_unknown_ones_are_left_out() {
        let counters = Counters {
            sent: 3,
            redelivered_reboot: u64::MAX,
            ..Counters::default()
        };
        let text = counters.text();
        assert_eq!(text, format!("sent 3 redelivered_reboot {}", u64::MAX));
        assert_eq!(Counters::of_text(&text), Some(counters));
        let newer = format!("{text} juggled 7");
        assert_eq!(Counters::of_text(&newer), Some(counters));
        let json = serde_json::to_string(&counters).unwrap();
        assert_eq!(serde_json::from_str::<Counters>(&json).unwrap(), counters);
        for wrong in ["", "sent", "sent x", "sent 1 acked", "sent -1"] {
            assert_eq!(Counters::of_text(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn counts_are_added_and_stay_at_the_top() {
        let mut counters = Counters {
            sent: u64::MAX,
            acked: 1,
            ..Counters::default()
        };
        let more = counters;
        counters.add(&more);
        assert_eq!((counters.sent, counters.acked), (u64::MAX, 2));
    }
}
