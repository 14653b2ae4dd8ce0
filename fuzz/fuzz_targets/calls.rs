//! Any sequence of calls of the C ABI, with handles of which some are NULL: each returns a status, and an error with a message
//! if that is not OK.
#![no_main]

mod place;

use std::ptr::{null, null_mut};

use arbitrary::Arbitrary;
use flockq::capi::*;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Call {
    Queue(String),
    FreeQueue(u8),
    CloseSpool,
    Send(u8, Vec<u8>, bool),
    Receive(u8),
    Ack(u8),
    Settle(u8, Vec<String>),
    Pop(u8),
    Len(u8),
    Stats(u8),
    List(u8, String),
    Config(String, String),
    Checkpoint(u8),
    Doctor,
}

fn bytes(of: &[u8]) -> flockq_bytes {
    flockq_bytes {
        data: of.as_ptr().cast(),
        size: of.len(),
    }
}

struct Session {
    spool: *mut flockq_spool,
    queues: Vec<*mut flockq_queue>,
    deliveries: Vec<*mut flockq_delivery>,
}

impl Session {
    fn queue(&self, place: u8) -> *mut flockq_queue {
        *self.queues.get(usize::from(place)).unwrap_or(&null_mut())
    }

    /// One call; its error is told and freed.
    fn call(&self, call: impl FnOnce(*mut *mut flockq_error) -> flockq_status) -> bool {
        let mut error = null_mut();
        let status = call(&raw mut error);
        let ok = status == flockq_status::Ok;
        assert_eq!(ok, error.is_null());
        if !ok {
            assert!(flockq_error_message(error).size > 0);
            flockq_error_free(error);
        }
        ok
    }

    fn make(&mut self, call: Call) {
        match call {
            Call::Queue(name) => {
                let mut queue = null_mut();
                let name = bytes(name.as_bytes());
                if self.call(|error| flockq_spool_queue(self.spool, name, &raw mut queue, error)) {
                    self.queues.push(queue);
                }
            }
            Call::FreeQueue(place) => {
                if usize::from(place) < self.queues.len() {
                    flockq_queue_free(self.queues.remove(usize::from(place)));
                }
            }
            Call::CloseSpool => drop(self.call(|error| flockq_spool_close(self.spool, error))),
            Call::Send(place, payload, wants_id) => {
                let mut id = null_mut();
                let to = if wants_id { &raw mut id } else { null_mut() };
                let queue = self.queue(place);
                self.call(|error| flockq_queue_send(queue, bytes(&payload), null(), to, error));
                flockq_text_free(id);
            }
            Call::Receive(place) => {
                let mut delivery = null_mut();
                let queue = self.queue(place);
                let ok = self
                    .call(|error| flockq_queue_receive(queue, null(), &raw mut delivery, error));
                if ok && !delivery.is_null() {
                    self.deliveries.push(delivery);
                }
            }
            Call::Ack(place) => {
                let delivery = self.deliveries.get(usize::from(place));
                let delivery = *delivery.unwrap_or(&null_mut());
                self.call(|error| flockq_delivery_ack(delivery, error));
            }
            Call::Settle(place, receipts) => {
                let all: Vec<_> = receipts.iter().map(|one| bytes(one.as_bytes())).collect();
                let queue = self.queue(place);
                let mut results = vec![flockq_status::Ok; all.len()];
                self.call(|error| {
                    flockq_queue_ack(queue, all.as_ptr(), all.len(), results.as_mut_ptr(), error)
                });
            }
            Call::Pop(place) => {
                let mut envelope = null_mut();
                let queue = self.queue(place);
                self.call(|error| flockq_queue_pop(queue, &raw mut envelope, error));
                flockq_envelope_free(envelope);
            }
            Call::Len(place) => {
                let mut len = 0;
                let queue = self.queue(place);
                self.call(|error| flockq_queue_len(queue, &raw mut len, error));
            }
            Call::Stats(place) => {
                let mut stats = std::mem::MaybeUninit::zeroed();
                let queue = self.queue(place);
                self.call(|error| flockq_queue_stats(queue, stats.as_mut_ptr(), error));
            }
            Call::List(place, cursor) => {
                let mut list = null_mut();
                let queue = self.queue(place);
                let options = flockq_list_options {
                    size: size_of::<flockq_list_options>(),
                    state: 0,
                    reserved: 0,
                    limit: 3,
                    cursor: bytes(cursor.as_bytes()),
                };
                self.call(|error| {
                    flockq_queue_list(queue, &raw const options, &raw mut list, error)
                });
                for place in 0..flockq_envelopes_size(list) + 1 {
                    let envelope = flockq_envelopes_get(list, place);
                    flockq_envelope_payload(envelope);
                    flockq_envelope_errors(envelope);
                }
                flockq_envelopes_free(list);
            }
            Call::Config(setting, value) => {
                let (setting, value) = (bytes(setting.as_bytes()), bytes(value.as_bytes()));
                self.call(|error| flockq_spool_set_config(self.spool, setting, value, error));
            }
            Call::Checkpoint(place) => {
                let queue = self.queue(place);
                self.call(|error| flockq_queue_checkpoint(queue, error));
            }
            Call::Doctor => {
                let mut json = null_mut();
                self.call(|error| flockq_spool_doctor(self.spool, &raw mut json, error));
                flockq_text_free(json);
            }
        }
    }
}

fuzz_target!(|calls: Vec<Call>| {
    let directory = place::empty();
    let mut session = Session {
        spool: null_mut(),
        queues: Vec::new(),
        deliveries: Vec::new(),
    };
    let mut spool = null_mut();
    let path = bytes(directory.as_os_str().as_encoded_bytes());
    let opened = session.call(|error| flockq_spool_open(path, null(), &raw mut spool, error));
    assert!(opened);
    session.spool = spool;
    for call in calls.into_iter().take(60) {
        session.make(call);
    }
    for delivery in session.deliveries {
        flockq_delivery_free(delivery);
    }
    for queue in session.queues {
        flockq_queue_free(queue);
    }
    flockq_spool_free(session.spool);
});
