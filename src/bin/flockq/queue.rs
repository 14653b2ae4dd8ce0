//! The commands on one queue.

use std::io::{self, BufRead, Read};
use std::path::Path;

use flockq::{List, Message, MessageUpdate, Nack, Queue, Receive, Spool};

use crate::arguments::{Command, ConfigAction};
use crate::{Failure, Outcome, print, take};

/// How many messages a list reads at a time.
const PAGE: usize = 1000;

#[expect(
    clippy::too_many_lines,
    reason = "one arm a command, each of a few lines"
)]
pub(crate) fn run(directory: &Path, command: Command) -> Result<Outcome, Failure> {
    let spool = Spool::open(directory)?;
    let open = |name: &str| spool.queue(name);
    match command {
        Command::Send {
            queue,
            json,
            id,
            priority,
            delay,
            ttl,
            dedup,
            wait,
            sync,
            lines,
        } => {
            let dress = |payload: Vec<u8>| {
                let mut message = Message::from_json(payload)
                    .dedup(dedup)
                    .wait(wait.unwrap_or_default());
                message = if let Some(priority) = priority {
                    message.priority(priority)
                } else {
                    message
                };
                message = if let Some(delay) = delay {
                    message.delay(delay)
                } else {
                    message
                };
                if let Some(ttl) = ttl {
                    message = message.ttl(ttl);
                }
                if let Some(sync) = sync {
                    message.sync(sync)
                } else {
                    message
                }
            };
            let payloads = payloads(json, lines)?;
            let messages = payloads.into_iter().map(|payload| {
                let message = dress(payload);
                if let Some(id) = &id {
                    message.id(id)
                } else {
                    message
                }
            });
            for sent in open(&queue)?.send_many(messages)? {
                print::done(sent)?;
            }
            Ok(Outcome::Done)
        }
        Command::Receive {
            queue,
            lease,
            wait,
            max,
        } => {
            let mut how = Receive::new().wait(wait.unwrap_or_default()).detached();
            if let Some(lease) = lease {
                how = how.lease(lease);
            }
            take::receive(&open(&queue)?, max, how).map(some)
        }
        Command::Ack { queue, receipts } => Ok(settled(&open(&queue)?.ack(&receipts)?)),
        Command::Nack {
            queue,
            receipts,
            error,
            delay,
        } => {
            let nack = Nack::new().delay(delay.unwrap_or_default());
            let nack = if let Some(error) = error {
                nack.error(error)
            } else {
                nack
            };
            Ok(settled(&open(&queue)?.nack(&receipts, &nack)?))
        }
        Command::Extend {
            queue,
            receipts,
            lease,
        } => Ok(settled(&open(&queue)?.extend(&receipts, lease)?)),
        Command::Pop { queue } => take::pop(&open(&queue)?).map(some),
        Command::Peek { queue, max } => print::envelopes(&open(&queue)?.peek(max)?),
        Command::Get { queue, id } => print::envelopes(&open(&queue)?.get(&id)?),
        Command::List {
            queue,
            state,
            limit,
        } => {
            let mut list = List::new();
            if let Some(state) = state {
                list = list.state(state);
            }
            list_all(&open(&queue)?, list, limit)
        }
        Command::Cat { queue } => {
            let array = open(&queue)?.load()?;
            let elements: Vec<&str> = array.iter().map(|element| element.get()).collect();
            let text = if elements.is_empty() {
                "[]\n".to_owned()
            } else {
                format!("[\n  {}\n]\n", elements.join(",\n  "))
            };
            print::shown(text)?;
            Ok(Outcome::Done)
        }
        Command::Update {
            queue,
            id,
            json,
            priority,
            delay,
            ttl,
            no_ttl,
        } => {
            let mut update = MessageUpdate::new();
            if json.is_some() {
                update = update.payload_from_json(payload(json)?);
            }
            if let Some(priority) = priority {
                update = update.priority(priority);
            }
            if let Some(delay) = delay {
                update = update.delay(delay);
            }
            if let Some(ttl) = ttl {
                update = update.ttl(ttl);
            }
            if no_ttl {
                update = update.no_ttl();
            }
            let updated = open(&queue)?.update_message(&id, update)?;
            print::done(updated)?;
            Ok(some(updated > 0))
        }
        Command::Remove { queue, ids } => {
            let removed = open(&queue)?.remove(&ids)?;
            print::done(removed)?;
            Ok(some(removed > 0))
        }
        Command::Purge { queue, state } => {
            let removed = open(&queue)?.purge(state)?;
            print::done(removed)?;
            Ok(Outcome::Done)
        }
        Command::Move { queue, to, which } => {
            let moved = open(&queue)?.move_to(&to, &which.into())?;
            for id in &moved {
                print::done(id)?;
            }
            Ok(some(!moved.is_empty()))
        }
        Command::Redrive {
            queue,
            which,
            dry_run,
        } => {
            let redriven = open(&queue)?.redrive(&which.into(), dry_run)?;
            for one in &redriven {
                print::done(format_args!("{} {}", one.id, one.to))?;
            }
            Ok(some(!redriven.is_empty()))
        }
        Command::Config { action } => {
            match action {
                None => print::shown(spool.config()? + "\n")?,
                Some(ConfigAction::Set { setting, value }) => spool.set_config(&setting, &value)?,
            }
            Ok(Outcome::Done)
        }
        Command::Checkpoint { queue } => {
            open(&queue)?.checkpoint()?;
            Ok(Outcome::Done)
        }
        Command::Convert { queue, to } => {
            open(&queue)?.convert(to)?;
            Ok(Outcome::Done)
        }
        Command::Init { .. }
        | Command::Run { .. }
        | Command::Check { .. }
        | Command::Repair { .. }
        | Command::Stats { .. }
        | Command::Doctor { .. }
        | Command::Lock { .. } => Ok(Outcome::Done),
    }
}

fn payloads(json: Option<String>, lines: bool) -> Result<Vec<Vec<u8>>, Failure> {
    if !lines {
        return Ok(vec![payload(json)?]);
    }
    let lines: io::Result<Vec<Vec<u8>>> = io::stdin().lock().split(b'\n').collect();
    Ok(lines
        .map_err(Failure::Input)?
        .into_iter()
        .filter(|line| !line.trim_ascii().is_empty())
        .collect())
}

/// The argument; without one, or with -, standard input.
fn payload(json: Option<String>) -> Result<Vec<u8>, Failure> {
    if let Some(json) = json.filter(|json| json != "-") {
        return Ok(json.into_bytes());
    }
    let mut payload = Vec::new();
    // One byte more than a payload may have is enough to refuse it.
    io::stdin()
        .lock()
        .take(flockq::MAX_PAYLOAD_BYTES as u64 + 1)
        .read_to_end(&mut payload)
        .map_err(Failure::Input)?;
    if payload.trim_ascii().is_empty() {
        return Err(Failure::Usage(
            "there is no payload; give it as an argument or on standard input".to_owned(),
        ));
    }
    Ok(payload)
}

fn list_all(queue: &Queue, list: List, limit: Option<usize>) -> Result<Outcome, Failure> {
    let mut left = limit.unwrap_or(usize::MAX);
    let mut next = list.clone();
    while left > 0 {
        let page = queue.list(&next.limit(left.min(PAGE)))?;
        print::envelopes(&page.envelopes)?;
        left -= page.envelopes.len();
        let Some(cursor) = page.cursor else { break };
        next = list.clone().cursor(cursor);
    }
    Ok(Outcome::Done)
}

fn some(there: bool) -> Outcome {
    if there {
        Outcome::Done
    } else {
        Outcome::Nothing
    }
}

fn settled(results: &[flockq::Result<()>]) -> Outcome {
    crate::told(results.iter().filter_map(|result| result.as_ref().err()))
}
