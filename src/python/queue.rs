//! Queues.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::value::RawValue;

use super::convert::{Time, count, duration, named, optional, time};
use super::delivery::Delivery;
use super::envelope::Envelope;
use super::error::{call, cancellable, exception, refused};
use super::released::Released;
use crate::{
    Array, ErrorKind, Filter, List, Message, MessageUpdate, Mode, Nack, Priority, Receive, State,
    Sync,
};

#[pyclass(frozen, module = "flockq._flockq")]
pub(super) struct Queue(pub(super) Released<crate::Queue>);

type Standing = (u64, u64, u64, u64, u64, Option<f64>, u64, u64);
type LockUse = (u64, u64, u64, u64, f64, f64, Vec<u64>);
type Stats = (Standing, Vec<(&'static str, u64)>, LockUse);

/// What became of each receipt: nothing to say, or the exception.
type Settled = Vec<Option<Py<PyAny>>>;

fn settled(py: Python<'_>, results: Vec<crate::Result<()>>) -> Settled {
    results
        .into_iter()
        .map(|result| {
            result
                .err()
                .map(|error| exception(py, &error).into_value(py).into_any())
        })
        .collect()
}

/// The options of a send, to be given to each of its messages.
fn dress(
    py: Python<'_>,
    priority: Option<&str>,
    delay: Option<&Bound<'_, PyAny>>,
    ttl: Option<&Bound<'_, PyAny>>,
    dedup: bool,
    sync: Option<&str>,
    wait: Option<&Bound<'_, PyAny>>,
) -> PyResult<impl Fn(Message) -> Message + Send + use<>> {
    let (priority, sync) = (named::<Priority>(py, priority)?, named::<Sync>(py, sync)?);
    let (delay, ttl) = (optional(delay, "delay")?, optional(ttl, "ttl")?);
    let wait = wait.map(|wait| time(wait, "wait")).transpose()?;
    Ok(move |mut message: Message| {
        message = message.dedup(dedup);
        if let Some(priority) = priority {
            message = message.priority(priority);
        }
        if let Some(delay) = delay {
            message = message.delay(delay);
        }
        if let Some(ttl) = ttl {
            message = message.ttl(ttl);
        }
        if let Some(sync) = sync {
            message = message.sync(sync);
        }
        match wait {
            None => message,
            Some(Time::Forever) => message.wait_forever(),
            Some(Time::Of(wait)) => message.wait(wait),
        }
    })
}

fn receive(
    lease: Option<&Bound<'_, PyAny>>,
    wait: Option<&Bound<'_, PyAny>>,
    detached: bool,
) -> PyResult<Receive> {
    let mut how = Receive::new();
    if let Some(lease) = optional(lease, "lease")? {
        how = how.lease(lease);
    }
    how = match wait.map(|wait| time(wait, "wait")).transpose()? {
        None => how,
        Some(Time::Forever) => how.wait_forever(),
        Some(Time::Of(wait)) => how.wait(wait),
    };
    Ok(if detached { how.detached() } else { how })
}

fn array(py: Python<'_>, texts: Vec<Vec<u8>>) -> PyResult<Array> {
    let wrong = |error: serde_json::Error| {
        let text = format!("an element of the array is not JSON: {error}; nothing was written");
        refused(py, ErrorKind::InvalidJson, text)
    };
    texts
        .iter()
        .map(|text| serde_json::from_slice(text).map_err(wrong))
        .collect()
}

fn texts<'py>(py: Python<'py>, array: &[Box<RawValue>]) -> Vec<Bound<'py, PyBytes>> {
    array
        .iter()
        .map(|element| PyBytes::new(py, element.get().as_bytes()))
        .collect()
}

#[pymethods]
impl Queue {
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "they have names where this is called"
    )]
    #[pyo3(signature = (payload, id, priority, delay, ttl, dedup, sync, wait))]
    fn send(
        &self,
        py: Python<'_>,
        payload: &[u8],
        id: Option<String>,
        priority: Option<&str>,
        delay: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
        dedup: bool,
        sync: Option<&str>,
        wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let dress = dress(py, priority, delay, ttl, dedup, sync, wait)?;
        let message = dress(Message::from_json(payload));
        let message = match id {
            Some(id) => message.id(id),
            None => message,
        };
        call(py, || self.0.send(message))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "they have names where this is called"
    )]
    #[pyo3(signature = (payloads, priority, delay, ttl, dedup, sync, wait))]
    fn send_many(
        &self,
        py: Python<'_>,
        payloads: Vec<Vec<u8>>,
        priority: Option<&str>,
        delay: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
        dedup: bool,
        sync: Option<&str>,
        wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<String>> {
        let dress = dress(py, priority, delay, ttl, dedup, sync, wait)?;
        let messages = payloads.into_iter().map(Message::from_json).map(dress);
        call(py, || self.0.send_many(messages))
    }

    #[pyo3(signature = (lease, wait, detached, cancel=None))]
    fn receive(
        &self,
        py: Python<'_>,
        lease: Option<&Bound<'_, PyAny>>,
        wait: Option<&Bound<'_, PyAny>>,
        detached: bool,
        cancel: Option<&Bound<'_, Cancel>>,
    ) -> PyResult<Option<Delivery>> {
        let mut how = receive(lease, wait, detached)?;
        let cancel = cancel.map(|cancel| cancel.get().0.clone());
        if let Some(cancel) = &cancel {
            how = how.cancel(cancel);
        }
        let delivery = cancellable(py, cancel, || self.0.receive(how))?;
        Ok(delivery.map(|delivery| Delivery(Released::new(delivery))))
    }

    #[pyo3(signature = (max, lease, wait, detached))]
    fn receive_many(
        &self,
        py: Python<'_>,
        max: &Bound<'_, PyAny>,
        lease: Option<&Bound<'_, PyAny>>,
        wait: Option<&Bound<'_, PyAny>>,
        detached: bool,
    ) -> PyResult<Vec<Delivery>> {
        let (max, how) = (count(max, "max")?, receive(lease, wait, detached)?);
        Ok(call(py, || self.0.receive_many(max, how))?
            .into_iter()
            .map(|delivery| Delivery(Released::new(delivery)))
            .collect())
    }

    fn ack(&self, py: Python<'_>, receipts: Vec<String>) -> PyResult<Settled> {
        Ok(settled(py, call(py, || self.0.ack(&receipts))?))
    }

    #[pyo3(signature = (receipts, error, delay))]
    fn nack(
        &self,
        py: Python<'_>,
        receipts: Vec<String>,
        error: Option<String>,
        delay: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Settled> {
        let nack = nack(error, delay)?;
        Ok(settled(py, call(py, || self.0.nack(&receipts, &nack))?))
    }

    fn extend(
        &self,
        py: Python<'_>,
        receipts: Vec<String>,
        lease: &Bound<'_, PyAny>,
    ) -> PyResult<Settled> {
        let lease = duration(lease, "lease")?;
        Ok(settled(py, call(py, || self.0.extend(&receipts, lease))?))
    }

    fn pop(&self, py: Python<'_>) -> PyResult<Option<Envelope>> {
        Ok(call(py, || self.0.pop())?.map(Envelope))
    }

    fn peek(&self, py: Python<'_>, max: &Bound<'_, PyAny>) -> PyResult<Vec<Envelope>> {
        let max = count(max, "count")?;
        Ok(call(py, || self.0.peek(max))?
            .into_iter()
            .map(Envelope)
            .collect())
    }

    #[pyo3(signature = (state, limit, cursor))]
    fn list(
        &self,
        py: Python<'_>,
        state: Option<&str>,
        limit: &Bound<'_, PyAny>,
        cursor: Option<&str>,
    ) -> PyResult<(Vec<Envelope>, Option<String>)> {
        let mut list = List::new().limit(count(limit, "limit")?);
        if let Some(state) = named::<State>(py, state)? {
            list = list.state(state);
        }
        if let Some(cursor) = cursor {
            list = list.cursor(cursor);
        }
        let page = call(py, || self.0.list(&list))?;
        Ok((
            page.envelopes.into_iter().map(Envelope).collect(),
            page.cursor,
        ))
    }

    fn get(&self, py: Python<'_>, id: &str) -> PyResult<Vec<Envelope>> {
        Ok(call(py, || self.0.get(id))?
            .into_iter()
            .map(Envelope)
            .collect())
    }

    fn count(&self, py: Python<'_>) -> PyResult<u64> {
        call(py, || self.0.len())
    }

    /// Messages, ready, delayed, leased, bytes, seconds of the oldest, foreign writes, checkpoints; counts by name; and of
    /// the lock: acquired, contended, timed out, replaced, seconds of all waits and of the longest, waits by length.
    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        let stats = call(py, || self.0.stats())?;
        let lock = &stats.lock;
        let standing = (
            stats.messages,
            stats.ready,
            stats.delayed,
            stats.leased,
            stats.bytes,
            stats.oldest_age.map(|age| age.as_secs_f64()),
            stats.foreign_writes,
            stats.checkpoints,
        );
        let lock_use = (
            lock.acquired,
            lock.contended,
            lock.timed_out,
            lock.replaced,
            lock.wait.as_secs_f64(),
            lock.wait_max.as_secs_f64(),
            lock.waits.to_vec(),
        );
        Ok((standing, stats.counters.named(), lock_use))
    }

    #[pyo3(signature = (id, payload, priority, delay, ttl))]
    fn update_message(
        &self,
        py: Python<'_>,
        id: &str,
        payload: Option<&[u8]>,
        priority: Option<&str>,
        delay: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let mut update = MessageUpdate::new();
        if let Some(payload) = payload {
            update = update.payload_from_json(payload);
        }
        if let Some(priority) = named::<Priority>(py, priority)? {
            update = update.priority(priority);
        }
        if let Some(delay) = optional(delay, "delay")? {
            update = update.delay(delay);
        }
        update = match ttl.map(|ttl| time(ttl, "ttl")).transpose()? {
            None => update,
            Some(Time::Forever) => update.no_ttl(),
            Some(Time::Of(ttl)) => update.ttl(ttl),
        };
        call(py, || self.0.update_message(id, update))
    }

    fn remove(&self, py: Python<'_>, ids: Vec<String>) -> PyResult<u64> {
        call(py, || self.0.remove(&ids))
    }

    #[pyo3(signature = (state))]
    fn purge(&self, py: Python<'_>, state: Option<&str>) -> PyResult<u64> {
        let state = named::<State>(py, state)?;
        call(py, || self.0.purge(state))
    }

    fn load<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let array = call(py, || self.0.load())?;
        Ok(texts(py, &array))
    }

    fn save(&self, py: Python<'_>, elements: Vec<Vec<u8>>) -> PyResult<()> {
        let array = array(py, elements)?;
        call(py, || self.0.save(&array))
    }

    fn begin(&self, py: Python<'_>) -> PyResult<Transaction> {
        call(py, || self.0.begin()).map(|open| Transaction(Mutex::new(Some(open))))
    }

    #[pyo3(signature = (receipt, lease))]
    fn keep(
        &self,
        py: Python<'_>,
        receipt: &str,
        lease: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Keeper> {
        let lease = optional(lease, "lease")?;
        let keeper = call(py, || self.0.keep(receipt, lease))?;
        Ok(Keeper(Mutex::new(Some(Released::new(keeper)))))
    }

    #[pyo3(signature = (target, ids, state, error, limit))]
    fn move_to(
        &self,
        py: Python<'_>,
        target: &str,
        ids: Option<Vec<String>>,
        state: Option<&str>,
        error: Option<String>,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<String>> {
        let filter = filter(py, ids, state, error, limit)?;
        call(py, || self.0.move_to(target, &filter))
    }

    #[pyo3(signature = (ids, state, error, limit, dry_run))]
    fn redrive(
        &self,
        py: Python<'_>,
        ids: Option<Vec<String>>,
        state: Option<&str>,
        error: Option<String>,
        limit: Option<&Bound<'_, PyAny>>,
        dry_run: bool,
    ) -> PyResult<Vec<(String, String)>> {
        let filter = filter(py, ids, state, error, limit)?;
        let redriven = call(py, || self.0.redrive(&filter, dry_run))?;
        Ok(redriven.into_iter().map(|one| (one.id, one.to)).collect())
    }

    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        call(py, || self.0.sync())
    }

    fn checkpoint(&self, py: Python<'_>) -> PyResult<()> {
        call(py, || self.0.checkpoint())
    }

    fn check(&self, py: Python<'_>) -> PyResult<String> {
        call(py, || self.0.check()).map(|report| report.to_json())
    }

    fn repair(&self, py: Python<'_>) -> PyResult<String> {
        call(py, || self.0.repair()).map(|report| report.to_json())
    }

    fn mode(&self, py: Python<'_>) -> PyResult<&'static str> {
        call(py, || self.0.mode()).map(Mode::name)
    }

    fn convert(&self, py: Python<'_>, to: &str) -> PyResult<()> {
        // Always some: a text was given.
        let to = named::<Mode>(py, Some(to))?.unwrap_or(Mode::Plain);
        call(py, || self.0.convert(to))
    }

    fn interrupt(&self) {
        self.0.interrupt();
    }

    fn interrupts(&self) -> u64 {
        self.0.interrupts()
    }

    fn is_interrupted_since(&self, began: u64) -> bool {
        self.0.is_interrupted_since(began)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        call(py, || self.0.close())
    }
}

/// Which messages to move.
fn filter(
    py: Python<'_>,
    ids: Option<Vec<String>>,
    state: Option<&str>,
    error: Option<String>,
    limit: Option<&Bound<'_, PyAny>>,
) -> PyResult<Filter> {
    let mut filter = Filter::new();
    if let Some(ids) = ids {
        filter = filter.ids(ids);
    }
    if let Some(state) = named::<State>(py, state)? {
        filter = filter.state(state);
    }
    if let Some(error) = error {
        filter = filter.error(error);
    }
    if let Some(limit) = limit {
        filter = filter.limit(count(limit, "limit")?);
    }
    Ok(filter)
}

/// How a message is given back.
pub(super) fn nack(error: Option<String>, delay: Option<&Bound<'_, PyAny>>) -> PyResult<Nack> {
    let nack = Nack::new().delay(optional(delay, "delay")?.unwrap_or_default());
    Ok(match error {
        Some(error) => nack.error(error),
        None => nack,
    })
}

/// Ends one wait.
#[pyclass(frozen, module = "flockq._flockq")]
pub(super) struct Cancel(crate::Cancel);

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Self {
        Self(crate::Cancel::new())
    }

    fn cancel(&self) {
        self.0.cancel();
    }
}

/// Keeps a lease; none after its end.
#[pyclass(frozen, module = "flockq._flockq")]
pub(super) struct Keeper(Mutex<Option<Released<crate::Keeper>>>);

#[pymethods]
impl Keeper {
    fn stop(&self) {
        let keeper = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(keeper);
    }
}

/// A change of the whole array; none after its end.
#[pyclass(frozen, module = "flockq._flockq")]
pub(super) struct Transaction(Mutex<Option<crate::Transaction>>);

impl Transaction {
    fn take(&self) -> Option<crate::Transaction> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl Transaction {
    fn array<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref()
            .map(|open| texts(py, open.array()))
            .unwrap_or_default()
    }

    fn commit(&self, py: Python<'_>, elements: Vec<Vec<u8>>) -> PyResult<()> {
        let array = array(py, elements)?;
        let mut open = self.take().ok_or_else(|| {
            let text = "the update has ended; begin another".to_owned();
            refused(py, ErrorKind::Closed, text)
        })?;
        call(py, || {
            open.set(array);
            open.commit()
        })
    }

    fn rollback(&self, py: Python<'_>) {
        let open = self.take();
        py.detach(|| drop(open));
    }
}
