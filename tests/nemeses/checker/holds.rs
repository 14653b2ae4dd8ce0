//! A lock that two take in turn, and the counter that they change under it.

use super::super::history::{Act, Outcome};
use super::{Known, Rule, Verdict};

pub(super) fn judge(known: &Known<'_>, counter: u64, verdict: &mut Verdict) {
    let mut until = 0;
    let mut last = 0;
    let (mut sure, mut possible) = (0, 0);
    for event in known.events {
        let Act::Hold { value } = event.act else {
            continue;
        };
        verdict.holds += 1;
        // Who was killed before its answers were read has held it no longer, or not at all any more.
        let killed = known.ends.get(&event.process).copied();
        let end = event.end.min(killed.unwrap_or(event.end));
        if event.begin < until && event.begin < end {
            verdict.find(Rule::TwoHolders, format!("at {}", event.begin));
        }
        until = until.max(end);
        match event.outcome {
            Outcome::Ok => {
                if value <= last {
                    verdict.find(Rule::LostUpdate, format!("{value} after {last}"));
                }
                last = value;
                sure += 1;
            }
            Outcome::Unknown => possible += 1,
            Outcome::Failed(_) => {}
        }
    }
    if counter < sure || counter > sure + possible {
        let found = format!("{counter} after {sure} changes and perhaps {possible}");
        verdict.find(Rule::LostUpdate, found);
    }
}
