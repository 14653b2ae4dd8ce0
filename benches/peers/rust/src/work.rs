//! What is measured: the same loops with every peer.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::peer::{Failure, Peer, Result, remaining};
use crate::protocol::{Failures, Receive, ReceiveStamped, Reply, Send, SendStamped};
use crate::{payload, ranges};

const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(1);

/// What it gave and how many seconds it took.
pub fn timed<T>(what: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let started = Instant::now();
    let gave = what()?;
    Ok((gave, started.elapsed().as_secs_f64()))
}

impl Failures {
    /// What a call gave; none when it failed, which is counted, and is to be tried again.
    fn tolerate<T>(&mut self, called: Result<T>) -> Result<Option<T>> {
        match called {
            Ok(gave) => Ok(Some(gave)),
            Err(Failure::Error(error)) => {
                *self.failed.get_or_insert(0) += 1;
                self.failure.get_or_insert(error);
                sleep(PAUSE_AFTER_FAILURE);
                Ok(None)
            }
            Err(unsupported) => Err(unsupported),
        }
    }
}

/// Sends messages in order, in one commit each or in batches.
pub fn send(peer: &mut dyn Peer, request: &Send) -> Result<Reply> {
    let mut batch = vec![payload::numbered(0); request.batch.max(1)];
    let (mut done, mut failures) = (0, Failures::default());
    let until = Instant::now() + Duration::from_secs_f64(request.limit_s);
    let ((), seconds) = timed(|| {
        while done < request.count && remaining(until).is_some() {
            let left = usize::try_from(request.count - done)?;
            batch.truncate(left);
            for (number, text) in (request.first + done..).zip(&mut batch) {
                payload::renumber(text, number);
            }
            let sent = match request.batch {
                0 | 1 => peer.send(&batch[0]),
                _ => peer.send_many(&batch),
            };
            if failures.tolerate(sent)?.is_some() {
                done += u32::try_from(batch.len())?;
            }
        }
        Ok(())
    })?;
    Ok(Reply::Sent {
        done,
        seconds,
        failures,
    })
}

/// Receives messages and acks them.
pub fn receive(peer: &mut dyn Peer, request: &Receive) -> Result<Reply> {
    let mut numbers = Vec::with_capacity(usize::try_from(request.count)?.min(1_000_000));
    let (mut in_hand, mut done, mut failures) = (Vec::new(), 0, Failures::default());
    let until = Instant::now() + Duration::from_secs_f64(request.limit_s);
    let wait = request.wait.then_some(until);
    let ((), seconds) = timed(|| {
        while done < request.count && remaining(until).is_some() {
            let max = usize::try_from(request.count - done)?.min(request.batch.max(1));
            in_hand.clear();
            let acked = peer.deliver(max, wait, &mut |message| {
                in_hand.push(payload::number(message)?);
                Ok(())
            });
            match failures.tolerate(acked)? {
                // Nothing came: the queue is empty, or the wait is over.
                Some(0) => break,
                Some(came) => {
                    numbers.append(&mut in_hand);
                    done += u32::try_from(came)?;
                }
                None => {}
            }
        }
        Ok(())
    })?;
    let (ranges, again) = ranges::of(numbers);
    Ok(Reply::Received {
        done,
        seconds,
        ranges,
        again,
        failures,
    })
}

/// Sends messages one at a time, and notes when each send began and when it had returned.
pub fn send_stamped(peer: &mut dyn Peer, request: &SendStamped) -> Result<Reply> {
    let pause = Duration::from_secs_f64(request.pause_ms / 1000.0);
    let (mut before_ns, mut after_ns) = (Vec::new(), Vec::new());
    for number in 0..request.count {
        sleep(pause);
        let before = now_ns();
        peer.send(&payload::stamped(number, before))?;
        before_ns.push(before);
        after_ns.push(now_ns());
    }
    Ok(Reply::SentStamped {
        done: request.count,
        before_ns,
        after_ns,
    })
}

/// Waits for messages, and notes when each was in hand.
pub fn receive_stamped(peer: &mut dyn Peer, request: &ReceiveStamped) -> Result<Reply> {
    let (mut numbers, mut had_ns) = (Vec::new(), Vec::new());
    let until = Instant::now() + Duration::from_secs_f64(request.limit_s);
    let mut done = 0;
    while done < request.count && remaining(until).is_some() {
        let came = peer.deliver(1, Some(until), &mut |message| {
            had_ns.push(now_ns());
            numbers.push(payload::number(message)?);
            Ok(())
        })?;
        done += u32::try_from(came)?;
    }
    Ok(Reply::ReceivedStamped {
        done,
        numbers,
        had_ns,
    })
}

/// The monotonic clock, which all processes of a machine share.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).expect("the clock counts from the boot");
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}
