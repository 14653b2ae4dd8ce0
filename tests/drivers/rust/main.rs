//! The Rust driver: one JSON request a line on standard input, one JSON reply a line on standard
//! output. `tests/conformance/README.md` describes the requests, which are the same in every language.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use flockq::{
    Delivery, Envelope, Error, ErrorKind, FileLock, Filter, Init, List, LockKind, LockWait,
    Message, MessageUpdate, Nack, Queue, Receive, Spool, Transaction,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};

#[derive(Default)]
struct Driver {
    spool: Option<Spool>,
    queues: HashMap<String, Queue>,
    deliveries: HashMap<String, Delivery>,
    transactions: HashMap<String, Transaction>,
    locks: HashMap<String, FileLock>,
}

/// A request: its fields by name.
struct Request(Value);

impl Request {
    fn text(&self, name: &str) -> Option<&str> {
        self.0[name].as_str()
    }

    fn required(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.0[name].as_i64()
    }

    fn flag(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or(false)
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let items = self.0[name].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect()
    }

    fn duration(&self, name: &str) -> Option<Duration> {
        self.number(name)
            .map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
    }

    fn payload(&self) -> Vec<u8> {
        match self.text("payload_hex") {
            Some(hex) => (0..hex.len() / 2)
                .filter_map(|at| u8::from_str_radix(hex.get(at * 2..at * 2 + 2)?, 16).ok())
                .collect(),
            None => self.required("payload").into(),
        }
    }

    fn lock_wait(&self, text: &str, ms: &str) -> Option<LockWait> {
        match self.text(text) {
            Some("no_wait") => Some(LockWait::NoWait),
            Some("forever") => Some(LockWait::Forever),
            _ => self.duration(ms).map(LockWait::For),
        }
    }

    fn receive(&self) -> Receive {
        let mut how = Receive::new();
        if let Some(lease) = self.duration("lease_ms") {
            how = how.lease(lease);
        }
        how = match self.number("wait_ms") {
            Some(ms) if ms < 0 => how.wait_forever(),
            Some(_) => how.wait(self.duration("wait_ms").unwrap_or_default()),
            None => how,
        };
        if self.flag("detached") {
            how.detached()
        } else {
            how
        }
    }

    fn array(&self, name: &str) -> Vec<Box<RawValue>> {
        // The caller's text is the test's own; nonsense is its mistake.
        serde_json::from_str(self.required(name)).unwrap_or_default()
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn envelope(envelope: &Envelope) -> Value {
    json!({
        "id": envelope.id(), "state": envelope.state().name(), "priority": envelope.priority().name(), "attempts": envelope.attempts(),
        "error": envelope.error(), "queued_at": envelope.queued_at(), "last_attempt": envelope.last_attempt(),
        "not_before": envelope.not_before(), "lease_until": envelope.lease_until(), "consumer": envelope.consumer(),
        "payload": text_of(envelope.payload()), "from": envelope.origin(), "expires": envelope.expires(),
        "errors": envelope.errors(),
    })
}

fn lock_stats(lock: &flockq::LockStats) -> Value {
    let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    json!({
        "acquired": lock.acquired, "contended": lock.contended, "timed_out": lock.timed_out, "replaced": lock.replaced,
        "wait_us": us(lock.wait), "wait_max_us": us(lock.wait_max), "waits": lock.waits.iter().sum::<u64>(),
    })
}

fn update(request: &Request) -> Result<MessageUpdate, Failure> {
    let mut update = MessageUpdate::new();
    if let Some(payload) = request.text("payload") {
        update = update.payload_from_json(payload);
    }
    if let Some(priority) = request.text("priority") {
        update = update.priority(priority.parse()?);
    }
    if let Some(delay) = request.duration("delay_ms") {
        update = update.delay(delay);
    }
    Ok(match request.duration("ttl_ms") {
        None => update,
        Some(Duration::ZERO) => update.no_ttl(),
        Some(ttl) => update.ttl(ttl),
    })
}

fn message(payload: Vec<u8>, request: &Request) -> Result<Message, Failure> {
    let mut message = Message::from_json(payload).dedup(request.flag("dedup"));
    if let Some(id) = request.text("id") {
        message = message.id(id);
    }
    if let Some(priority) = request.text("priority") {
        message = message.priority(priority.parse()?);
    }
    if let Some(delay) = request.duration("delay_ms") {
        message = message.delay(delay);
    }
    if let Some(ttl) = request.duration("ttl_ms") {
        message = message.ttl(ttl);
    }
    if let Some(sync) = request.text("sync") {
        message = message.sync(sync.parse()?);
    }
    Ok(message.wait(request.duration("wait_ms").unwrap_or_default()))
}

fn envelopes(all: &[Envelope]) -> Value {
    all.iter().map(envelope).collect()
}

fn settled(results: &[flockq::Result<()>]) -> Value {
    results
        .iter()
        .map(|result| result.as_ref().err().map(|error| error.kind().name()))
        .collect()
}

/// Why a request failed: the library's error, or the request itself.
struct Failure {
    kind: &'static str,
    message: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind().name(),
            message: error.to_string(),
        }
    }
}

type Answer = Result<Value, Failure>;

/// A request for something that the driver does not have.
fn not_there(what: &str) -> Failure {
    Failure {
        kind: ErrorKind::InvalidArgument.name(),
        message: format!("the driver has no {what}"),
    }
}

impl Driver {
    fn queue(&mut self, request: &Request) -> Result<Queue, Failure> {
        let name = request.required("queue").to_owned();
        if let Some(queue) = self.queues.get(&name) {
            return Ok(queue.clone());
        }
        let Some(spool) = &self.spool else {
            return Err(not_there("spool"));
        };
        let queue = spool.queue(&name)?;
        self.queues.insert(name, queue.clone());
        Ok(queue)
    }

    fn delivered(&mut self, delivery: Delivery) -> Value {
        let told = json!({
            "id": delivery.id(), "receipt": delivery.receipt(), "attempts": delivery.attempts(), "payload": text_of(delivery.payload()),
        });
        self.deliveries
            .insert(delivery.receipt().to_owned(), delivery);
        told
    }

    fn answer(&mut self, request: &Request) -> Answer {
        match request.required("op") {
            "open" | "init" | "close" | "queues" | "config" | "set_config" | "metrics"
            | "write_metrics" | "doctor" | "errors" | "pid" => self.spool(request),
            "lock" | "unlock" | "write_atomic" => self.file(request),
            "begin" | "transaction_set" | "commit" | "rollback" | "load" | "save" | "update" => {
                self.whole(request)
            }
            "send" | "send_many" | "receive" | "receive_many" | "pop" => self.pass(request),
            "ack" | "nack" | "extend" | "detach" => self.settle(request),
            _ => self.look(request),
        }
    }

    fn spool(&mut self, request: &Request) -> Answer {
        match request.required("op") {
            "open" => {
                let mut builder = Spool::builder(request.required("dir"))
                    .create(request.flag("create") || request.flag("mail"))
                    .allow_unverified_fs(request.flag("allow_unverified_fs"));
                if let Some(sync) = request.text("sync") {
                    builder = builder.sync(sync.parse()?);
                }
                if let Some(wait) = request.lock_wait("lock_wait", "lock_wait_ms") {
                    builder = builder.lock_wait(wait);
                }
                let spool = builder.open()?;
                if request.flag("mail") {
                    spool.adopt_mail()?;
                }
                *self = Self {
                    spool: Some(spool),
                    ..Self::default()
                };
                Ok(Value::Null)
            }
            "init" => {
                let mut init = Init::new().plain(request.flag("plain"));
                if let Some(directory) = request.text("lock_dir") {
                    init = init.lock_dir(directory);
                }
                Spool::init(request.required("dir"), &init)?;
                Ok(Value::Null)
            }
            "errors" => Ok(ErrorKind::ALL
                .iter()
                .map(|kind| json!([kind.code(), kind.name()]))
                .collect()),
            "pid" => Ok(json!(std::process::id())),
            op => match (&self.spool, op) {
                (Some(spool), "close") => Ok(spool.close().map(|()| Value::Null)?),
                (Some(spool), "config") => {
                    Ok(serde_json::from_str(&spool.config()?).unwrap_or_default())
                }
                (Some(spool), "set_config") => {
                    let (setting, value) = (request.required("setting"), request.required("value"));
                    Ok(spool.set_config(setting, value).map(|()| Value::Null)?)
                }
                (Some(spool), "metrics") => Ok(json!(spool.metrics()?)),
                (Some(spool), "write_metrics") => {
                    let path = request.required("path");
                    Ok(spool.write_metrics(path).map(|()| Value::Null)?)
                }
                (Some(spool), "doctor") => {
                    let advice = flockq::Advice::to_json(&spool.doctor()?);
                    Ok(serde_json::from_str(&advice).unwrap_or_default())
                }
                (Some(spool), _) => Ok(json!(spool.queues()?)),
                (None, _) => Err(not_there("spool")),
            },
        }
    }

    fn file(&mut self, request: &Request) -> Answer {
        let path = request.required("path");
        match request.required("op") {
            "lock" => {
                let kind = if request.flag("shared") {
                    LockKind::Shared
                } else {
                    LockKind::Exclusive
                };
                let lock = FileLock::acquire(
                    path,
                    kind,
                    request.lock_wait("wait", "wait_ms").unwrap_or_default(),
                )?;
                self.locks.insert(path.to_owned(), lock);
            }
            "unlock" => drop(self.locks.remove(path)),
            _ => flockq::write_atomic(path, request.required("text").as_bytes())?,
        }
        Ok(Value::Null)
    }

    fn whole(&mut self, request: &Request) -> Answer {
        let queue = self.queue(request)?;
        let name = queue.name().to_owned();
        match request.required("op") {
            "begin" => drop(self.transactions.insert(name, queue.begin()?)),
            "transaction_set" => {
                let array = request.array("array");
                self.transactions
                    .get_mut(&name)
                    .ok_or_else(|| not_there("transaction"))?
                    .set(array);
            }
            "commit" => self
                .transactions
                .remove(&name)
                .ok_or_else(|| not_there("transaction"))?
                .commit()?,
            "rollback" => self
                .transactions
                .remove(&name)
                .ok_or_else(|| not_there("transaction"))?
                .rollback(),
            "load" => {
                let texts: Vec<String> = queue
                    .load()?
                    .iter()
                    .map(|element| element.get().to_owned())
                    .collect();
                return Ok(json!(format!("[{}]", texts.join(","))));
            }
            "save" => queue.save(&request.array("array"))?,
            _ => {
                let more = request.array("append");
                queue.update(|array| array.extend(more))?;
            }
        }
        Ok(Value::Null)
    }

    fn pass(&mut self, request: &Request) -> Answer {
        let queue = self.queue(request)?;
        match request.required("op") {
            "send" => {
                let message = message(request.payload(), request)?;
                Ok(json!(queue.send(message)?))
            }
            "send_many" => {
                let payloads = request.texts("payloads").into_iter();
                let messages = payloads.map(|payload| message(payload.into_bytes(), request));
                Ok(json!(queue.send_many(
                    messages.collect::<Result<Vec<_>, Failure>>()?
                )?))
            }
            "receive" => Ok(queue
                .receive(request.receive())?
                .map_or(Value::Null, |delivery| self.delivered(delivery))),
            "receive_many" => {
                let max = usize::try_from(request.number("max").unwrap_or(1)).unwrap_or(0);
                let deliveries = queue.receive_many(max, request.receive())?;
                Ok(deliveries
                    .into_iter()
                    .map(|delivery| self.delivered(delivery))
                    .collect())
            }
            _ => Ok(queue.pop()?.map_or(
                Value::Null,
                |taken| json!({"id": taken.id(), "payload": text_of(taken.payload())}),
            )),
        }
    }

    fn settle(&mut self, request: &Request) -> Answer {
        let queue = self.queue(request)?;
        let receipts = request.texts("receipts");
        match request.required("op") {
            "ack" => Ok(settled(&queue.ack(&receipts)?)),
            "nack" => {
                let mut nack = Nack::new().delay(request.duration("delay_ms").unwrap_or_default());
                if let Some(error) = request.text("error") {
                    nack = nack.error(error);
                }
                Ok(settled(&queue.nack(&receipts, &nack)?))
            }
            "extend" => Ok(settled(
                &queue.extend(&receipts, request.duration("lease_ms").unwrap_or_default())?,
            )),
            _ => {
                let delivery = self
                    .deliveries
                    .get(request.required("receipt"))
                    .ok_or_else(|| not_there("delivery"))?;
                Ok(delivery.detach().map(|()| Value::Null)?)
            }
        }
    }

    fn look(&mut self, request: &Request) -> Answer {
        let queue = self.queue(request)?;
        match request.required("op") {
            "peek" => Ok(envelopes(&queue.peek(
                usize::try_from(request.number("count").unwrap_or(1)).unwrap_or(0),
            )?)),
            "list" => {
                let mut list = List::new();
                if let Some(state) = request.text("state") {
                    list = list.state(state.parse()?);
                }
                if let Some(limit) = request.number("limit") {
                    list = list.limit(usize::try_from(limit).unwrap_or(0));
                }
                if let Some(cursor) = request.text("cursor") {
                    list = list.cursor(cursor);
                }
                let page = queue.list(&list)?;
                Ok(json!({"items": envelopes(&page.envelopes), "cursor": page.cursor}))
            }
            "get" => Ok(envelopes(&queue.get(request.required("id"))?)),
            "len" => Ok(json!(queue.len()?)),
            "stats" => {
                let stats = queue.stats()?;
                Ok(json!({
                    "messages": stats.messages, "ready": stats.ready, "delayed": stats.delayed, "leased": stats.leased, "bytes": stats.bytes,
                    "oldest_age_ms": stats.oldest_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
                    "foreign_writes": stats.foreign_writes, "checkpoints": stats.checkpoints,
                    "counters": stats.counters.named().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
                    "lock": lock_stats(&stats.lock),
                }))
            }
            "remove" => Ok(json!(queue.remove(&request.texts("ids"))?)),
            "update_message" => Ok(json!(
                queue.update_message(request.required("id"), update(request)?)?
            )),
            "purge" => Ok(json!(
                queue.purge(request.text("state").map(str::parse).transpose()?)?
            )),
            "move_to" => Ok(json!(
                queue.move_to(request.required("to"), &filter(request)?)?
            )),
            "redrive" => {
                let redriven = queue.redrive(&filter(request)?, request.flag("dry_run"))?;
                Ok(redriven.iter().map(|one| json!([one.id, one.to])).collect())
            }
            "sync" => Ok(queue.sync().map(|()| Value::Null)?),
            "checkpoint" => Ok(queue.checkpoint().map(|()| Value::Null)?),
            "check" => Ok(serde_json::from_str(&queue.check()?.to_json()).unwrap_or_default()),
            "repair" => Ok(serde_json::from_str(&queue.repair()?.to_json()).unwrap_or_default()),
            "mode" => Ok(json!(queue.mode()?.name())),
            "convert" => {
                let to = request.text("to").unwrap_or_default().parse()?;
                Ok(queue.convert(to).map(|()| Value::Null)?)
            }
            "close_queue" => Ok(queue.close().map(|()| Value::Null)?),
            "interrupt" => {
                queue.interrupt();
                Ok(Value::Null)
            }
            _ => Err(not_there("such operation")),
        }
    }
}

/// Installs a handler that does nothing, so that the signal interrupts what the library waits for.
#[expect(unsafe_code, reason = "signal handlers are set by libc alone")]
fn be_interrupted() {
    extern "C" fn interrupted(_: libc::c_int) {}
    // SAFETY: zero bytes are a valid sigaction: no flags, so no restart, and an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = interrupted as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler is a function that touches nothing.
    unsafe { libc::sigaction(libc::SIGURG, &raw const action, std::ptr::null_mut()) };
}

fn main() -> io::Result<()> {
    if std::env::var_os("FLOCKQ_DRIVER_INTERRUPTED").is_some() {
        be_interrupted();
    }
    let mut driver = Driver::default();
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        let request = Request(serde_json::from_str(&line?).unwrap_or_default());
        let reply = match driver.answer(&request) {
            Ok(result) => json!({"ok": result}),
            Err(error) => json!({"error": error.kind, "message": error.message}),
        };
        writeln!(out, "{reply}")?;
        out.flush()?;
    }
    Ok(())
}

/// Which messages to move.
fn filter(request: &Request) -> flockq::Result<Filter> {
    let mut filter = Filter::new();
    if request.0.get("ids").is_some() {
        filter = filter.ids(request.texts("ids"));
    }
    if let Some(state) = request.text("state") {
        filter = filter.state(state.parse()?);
    }
    if let Some(error) = request.text("error") {
        filter = filter.error(error);
    }
    if let Some(limit) = request.0.get("limit").and_then(Value::as_u64) {
        filter = filter.limit(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    Ok(filter)
}
