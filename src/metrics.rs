//! The figures of a spool in the text format that Prometheus reads, for an exporter's text file.

use std::fmt::{Display, Write};
use std::path::Path;
use std::time::Duration;

use crate::State;
use crate::error::Result;
use crate::format::counters::Counters;
use crate::lockfile::write_atomic;
use crate::queue::{LockStats, Stats};
use crate::spool::Spool;

/// Counters that are values of one metric.
const REDELIVERED: &str = "redelivered_";

impl Spool {
    /// The figures of all queues in the text format that Prometheus reads. Of one that cannot be read it says only that.
    pub fn metrics(&self) -> Result<String> {
        let spool = self.path().display().to_string();
        Ok(metrics(&spool, &self.stats()?))
    }

    /// Writes them to a file, which is replaced as a whole: for node_exporter's textfile collector, whose files end with
    /// `.prom`.
    pub fn write_metrics(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomic(path, self.metrics()?.as_bytes())
    }
}

/// A metric that has one value for each queue.
struct Figure {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    of: fn(&Stats) -> String,
}

const FIGURES: &[Figure] = &[
    Figure {
        name: "flockq_queue_bytes",
        kind: "gauge",
        help: "Bytes of all envelopes.",
        of: |stats| stats.bytes.to_string(),
    },
    Figure {
        name: "flockq_oldest_message_age_seconds",
        kind: "gauge",
        help: "Age of the oldest message; 0 when there is none.",
        of: |stats| seconds(stats.oldest_age.unwrap_or_default()),
    },
    Figure {
        name: "flockq_foreign_writes_total",
        kind: "counter",
        help: "Writes of the file by other programs, as far as noticed.",
        of: |stats| stats.foreign_writes.to_string(),
    },
    Figure {
        name: "flockq_checkpoints_total",
        kind: "counter",
        help: "Times the journal was folded.",
        of: |stats| stats.checkpoints.to_string(),
    },
    Figure {
        name: "flockq_lock_acquired_total",
        kind: "counter",
        help: "Times the lock was taken to change something.",
        of: |stats| stats.lock.acquired.to_string(),
    },
    Figure {
        name: "flockq_lock_timed_out_total",
        kind: "counter",
        help: "Waits for the lock that were in vain.",
        of: |stats| stats.lock.timed_out.to_string(),
    },
    Figure {
        name: "flockq_lock_replaced_total",
        kind: "counter",
        help: "Times another program had removed or replaced the lock file.",
        of: |stats| stats.lock.replaced.to_string(),
    },
    Figure {
        name: "flockq_lock_wait_max_seconds",
        kind: "gauge",
        help: "The longest wait for the lock.",
        of: |stats| seconds(stats.lock.wait_max),
    },
];

/// The text as it grows.
struct Exposition<'a> {
    text: String,
    spool: String,
    /// Those that could be read.
    all: &'a [(&'a str, &'a Stats)],
}

fn metrics(spool: &str, all: &[(String, Result<Stats>)]) -> String {
    let escaped = spool.replace('\\', "\\\\").replace('"', "\\\"");
    let read = all
        .iter()
        .filter_map(|(name, stats)| Some((name.as_str(), stats.as_ref().ok()?)));
    let read: Vec<(&str, &Stats)> = read.collect();
    let mut to = Exposition {
        text: String::new(),
        spool: escaped.replace('\n', "\\n"),
        all: &read,
    };
    to.readable(all);
    to.messages();
    for figure in FIGURES {
        to.begin(figure.name, figure.kind, figure.help);
        for (queue, stats) in to.all {
            to.value(figure.name, queue, None, (figure.of)(stats));
        }
    }
    to.counters();
    to.redelivered();
    to.waits();
    to.text
}

impl Exposition<'_> {
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, queue: &str, label: Option<(&str, &str)>, value: impl Display) {
        let label = label.map(|(name, value)| format!(",{name}=\"{value}\""));
        let (label, spool) = (label.unwrap_or_default(), &self.spool);
        let labels = format!("spool=\"{spool}\",queue=\"{queue}\"{label}");
        let _ = writeln!(self.text, "{name}{{{labels}}} {value}");
    }

    fn readable(&mut self, all: &[(String, Result<Stats>)]) {
        let name = "flockq_queue_readable";
        let help = "Whether the queue could be read: 0 for one that is damaged or cannot be locked, and has no other figures.";
        self.begin(name, "gauge", help);
        for (queue, stats) in all {
            self.value(name, queue, None, u8::from(stats.is_ok()));
        }
    }

    fn messages(&mut self) {
        let name = "flockq_messages";
        self.begin(name, "gauge", "Messages in the queue, by state.");
        for (queue, stats) in self.all {
            let states = [
                (State::Ready, stats.ready),
                (State::Delayed, stats.delayed),
                (State::Leased, stats.leased),
            ];
            for (state, count) in states {
                self.value(name, queue, Some(("state", state.name())), count);
            }
        }
    }

    fn counters(&mut self) {
        let named = Counters::default().named().into_iter();
        for (name, _) in named.filter(|(name, _)| !name.starts_with(REDELIVERED)) {
            let metric = format!("flockq_{name}_total");
            let help = format!("Messages or deliveries: {}.", name.replace('_', " "));
            self.begin(&metric, "counter", &help);
            for (queue, stats) in self.all {
                let found = stats.counters.named().into_iter();
                for (_, count) in found.filter(|(other, _)| *other == name) {
                    self.value(&metric, queue, None, count);
                }
            }
        }
    }

    fn redelivered(&mut self) {
        let name = "flockq_redelivered_total";
        let help = "Deliveries of messages that had been delivered before, by cause.";
        self.begin(name, "counter", help);
        for (queue, stats) in self.all {
            for (counter, count) in stats.counters.named() {
                if let Some(cause) = counter.strip_prefix(REDELIVERED) {
                    self.value(name, queue, Some(("cause", cause)), count);
                }
            }
        }
    }

    fn waits(&mut self) {
        let name = "flockq_lock_wait_seconds";
        let help = "Waits for the lock, of those who had to wait.";
        self.begin(name, "histogram", help);
        for (queue, stats) in self.all {
            let bounds = LockStats::BOUNDS.map(seconds).into_iter();
            let mut sum = 0u64;
            for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(stats.lock.waits) {
                // A damaged file of counts may say anything.
                sum = sum.saturating_add(count);
                let bucket = format!("{name}_bucket");
                self.value(&bucket, queue, Some(("le", &bound)), sum);
            }
            self.value(
                &format!("{name}_sum"),
                queue,
                None,
                seconds(stats.lock.wait),
            );
            self.value(&format!("{name}_count"), queue, None, sum);
        }
    }
}

fn seconds(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}
