//! The boundary with its pointers, on a file system in memory: for Miri, which knows no system calls. What the functions do
//! is tested in C.

use std::ptr::{null, null_mut};
use std::sync::Arc;

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
