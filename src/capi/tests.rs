//! The boundary with its pointers, on a file system in memory: for Miri, which knows no system calls. What the functions do
//! is tested in C.

use std::ptr::{null, null_mut};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::Spool;
use crate::store::fault::FaultStore;

fn text(of: &str) -> flockq_bytes {
    flockq_bytes::of(of.as_bytes())
}

fn is(found: flockq_bytes, expected: &str) {
    assert_eq!(
        super::guard::bytes(found, "text").unwrap(),
        expected.as_bytes()
    );
}

/// A call that must be well; it is given the place for an error, and for its result.
fn ok<T>(call: impl FnOnce(*mut *mut T, *mut *mut flockq_error) -> flockq_status) -> *mut T {
    let (mut result, mut error) = (null_mut(), null_mut());
    let status = call(&raw mut result, &raw mut error);
    assert!(status == flockq_status::Ok && error.is_null());
    result
}

/// A call that must fail, with a message.
fn fails(status: flockq_status, call: impl FnOnce(*mut *mut flockq_error) -> flockq_status) {
    let mut error = null_mut();
    assert_eq!(call(&raw mut error), status);
    assert_eq!(flockq_error_status(error), status);
    assert!(flockq_error_message(error).size > 0);
    flockq_error_free(error);
}

/// An options struct of an older header, which ends behind its first field.
#[repr(C)]
struct Older(usize, flockq_bytes);

#[test]
fn every_pointer_that_goes_out_comes_back_and_none_is_followed_too_far() {
    let spool = Spool::builder("unused").open_on(Arc::new(FaultStore::plain()));
    let queue = flockq_queue(spool.unwrap().queue("inbound").unwrap());
    let queue = Box::into_raw(Box::new(queue));
    is(flockq_queue_name(queue), "inbound");

    let id = ok(|id, error| flockq_queue_send(queue, text("{\"n\":1}"), null(), id, error));
    assert!(flockq_text_bytes(id).size > 0);
    flockq_text_free(id);
    let older = Older(size_of::<Older>(), text("m2"));
    let options = (&raw const older).cast();
    let id = ok(|id, error| flockq_queue_send(queue, text("2"), options, id, error));
    is(flockq_text_bytes(id), "m2");
    flockq_text_free(id);
    let jsons = [text("3"), text("4")];
    let ids = ok(|ids, error| {
        flockq_queue_send_many(queue, jsons.as_ptr(), jsons.len(), null(), ids, error)
    });
    assert!(flockq_texts_size(ids) == 2 && flockq_texts_get(ids, 2).data.is_null());
    flockq_texts_free(ids);

    let delivery = ok(|delivery, error| flockq_queue_receive(queue, null(), delivery, error));
    is(flockq_delivery_payload(delivery), "{\"n\":1}");
    assert_eq!(flockq_delivery_attempts(delivery), 1);
    let receipts = [flockq_delivery_receipt(delivery), text("stale")];
    let mut results = [flockq_status::Internal; 2];
    let mut error = null_mut();
    flockq_queue_ack(
        queue,
        receipts.as_ptr(),
        2,
        results.as_mut_ptr(),
        &raw mut error,
    );
    flockq_error_free(error);
    assert_eq!(results[0], flockq_status::Ok);
    fails(flockq_status::StaleReceipt, |error| {
        flockq_delivery_ack(delivery, error)
    });
    flockq_delivery_free(delivery);

    let all = ok(|all, error| flockq_queue_receive_many(queue, 2, null(), all, error));
    let second = flockq_deliveries_get(all, 1);
    assert!(flockq_deliveries_size(all) == 2 && flockq_deliveries_get(all, 2).is_null());
    is(flockq_delivery_payload(second), "3");
    let nacked = ok::<()>(|_, error| flockq_delivery_nack(second, null(), error));
    assert!(nacked.is_null());

    let list = ok(|list, error| flockq_queue_list(queue, null(), list, error));
    assert_eq!(flockq_envelopes_size(list), 3);
    is(flockq_envelope_id(flockq_envelopes_get(list, 0)), "m2");
    assert!(flockq_envelopes_get(list, 3).is_null());
    flockq_envelopes_free(list);
    // The deliveries outlive the handle of their queue.
    let change = ok(|change, error| flockq_queue_begin(queue, change, error));
    let array = ok(|array, error| flockq_transaction_get(change, array, error));
    ok::<()>(|_, error| flockq_transaction_set(change, flockq_text_bytes(array), error));
    flockq_text_free(array);
    ok::<()>(|_, error| flockq_transaction_commit(change, error));
    fails(flockq_status::Closed, |error| {
        flockq_transaction_commit(change, error)
    });
    flockq_transaction_free(change);
    ok::<()>(|_, error| flockq_queue_close(queue, error));
    fails(flockq_status::Closed, |error| {
        flockq_queue_checkpoint(queue, error)
    });
    flockq_queue_free(queue);
    is(flockq_delivery_id(flockq_deliveries_get(all, 0)), "m2");
    flockq_deliveries_free(all);

    let none = flockq_bytes {
        data: null(),
        size: 3,
    };
    fails(flockq_status::InvalidArgument, |error| {
        flockq_queue_send(null(), none, null(), null_mut(), error)
    });
    flockq_queue_free(null_mut());
}

/// What a sequence of calls has in hand.
struct Hand {
    queue: *mut flockq_queue,
    deliveries: Vec<*mut flockq_delivery>,
    transactions: Vec<*mut flockq_transaction>,
}

/// A call that may fail: with a message then, and without its result.
fn may<T>(
    call: impl FnOnce(*mut *mut T, *mut *mut flockq_error) -> flockq_status,
) -> Option<*mut T> {
    let (mut result, mut error) = (null_mut(), null_mut());
    let status = call(&raw mut result, &raw mut error);
    assert_eq!(status == flockq_status::Ok, error.is_null());
    if status != flockq_status::Ok {
        assert!(status != flockq_status::Internal && result.is_null());
        assert!(flockq_error_status(error) == status && flockq_error_message(error).size > 0);
        flockq_error_free(error);
    }
    Some(result).filter(|result| !result.is_null())
}

impl Hand {
    fn call(&mut self, what: u8, which: usize) {
        let queue = if which == 9 { null_mut() } else { self.queue };
        let json = ["{\"id\":\"m1\"}", "2", "[", ""][which % 4];
        let delivery = self.deliveries.get(which).copied().unwrap_or(null_mut());
        let change = self.transactions.first().copied().unwrap_or(null_mut());
        let options = Older([0, 8, size_of::<Older>(), 4097][which % 4], text("m2"));
        let options = (&raw const options).cast();
        match what {
            0 => {
                let id = may(|id, error| flockq_queue_send(queue, text(json), null(), id, error));
                flockq_text_free(id.unwrap_or(null_mut()));
            }
            1 => {
                let id = may(|id, error| flockq_queue_send(queue, text("3"), options, id, error));
                flockq_text_free(id.unwrap_or(null_mut()));
            }
            2 => self.deliveries.extend(may(|to, error| {
                flockq_queue_receive(queue, null(), to, error)
            })),
            3 => drop(may::<()>(|_, error| flockq_delivery_ack(delivery, error))),
            4 => drop(may::<()>(|_, error| {
                flockq_delivery_nack(delivery, null(), error)
            })),
            5 => drop(may::<()>(|_, error| {
                flockq_delivery_extend(delivery, 1000, error)
            })),
            6 => drop(may::<()>(|_, error| {
                flockq_delivery_detach(delivery, error)
            })),
            7 if self.transactions.is_empty() => {
                let begun = may(|to, error| flockq_queue_begin(queue, to, error));
                self.transactions.extend(begun);
            }
            8 => drop(may::<()>(|_, error| {
                flockq_transaction_set(change, text(json), error)
            })),
            9 => drop(may::<()>(|_, error| {
                flockq_transaction_commit(change, error)
            })),
            10 => flockq_transaction_free(self.transactions.pop().unwrap_or(null_mut())),
            11 => drop(may::<()>(|_, error| flockq_queue_checkpoint(queue, error))),
            12 => {
                let one = may(|to, error| flockq_queue_pop(queue, to, error));
                flockq_envelope_free(one.unwrap_or(null_mut()));
            }
            13 => flockq_delivery_free(self.deliveries.pop().unwrap_or(null_mut())),
            14 if which == 0 => drop(may::<()>(|_, error| flockq_queue_close(queue, error))),
            _ => {
                let list = may(|to, error| flockq_queue_list(queue, null(), to, error));
                flockq_envelopes_free(list.unwrap_or(null_mut()));
            }
        }
    }
}

proptest! {
    #[test]
    fn no_sequence_of_calls_ends_in_anything_but_a_status(
        journalled in any::<bool>(),
        calls in proptest::collection::vec((0u8..16, 0usize..10), 0..40),
    ) {
        let store = if journalled { FaultStore::new() } else { FaultStore::plain() };
        let another = store.another_process();
        let spool = Spool::builder("unused").lock_wait(crate::LockWait::NoWait).open_on(Arc::new(store));
        let queue = flockq_queue(spool.unwrap().queue("inbound").unwrap());
        let mut hand = Hand {
            queue: Box::into_raw(Box::new(queue)),
            deliveries: Vec::new(),
            transactions: Vec::new(),
        };
        for (what, which) in calls {
            hand.call(what, which);
        }
        flockq_queue_free(hand.queue);
        hand.transactions.into_iter().for_each(|one| flockq_transaction_free(one));
        hand.deliveries.into_iter().for_each(|one| flockq_delivery_free(one));
        let seen = Spool::builder("unused").open_on(Arc::new(another)).unwrap();
        prop_assert!(seen.queue("inbound").unwrap().check().unwrap().is_sound());
    }
}
