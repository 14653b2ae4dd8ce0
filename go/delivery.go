package flockq

/*
#include "flockq.h"
*/
import "C"

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"sync/atomic"
	"time"
)

// A Delivery is a message under a lease. Dropping one settles nothing: its lease goes on.
type Delivery struct {
	// ID is the message's id.
	ID string
	// Receipt names this delivery of this message, for any process in any language. Its first part is a number that
	// grows with each delivery of the message: a fencing token.
	Receipt string
	// Attempts is how often the message has been delivered, this time included.
	Attempts uint64
	// Priority is the message's priority.
	Priority Priority
	// QueuedAt is when it was sent, as the file has it, or empty.
	QueuedAt string
	// Payload is the payload, byte for byte as it was sent.
	Payload json.RawMessage

	queue *Queue
	// settled is whether it was acked, nacked or detached through this value.
	settled atomic.Bool
}

func newDelivery(q *Queue, c *C.flockq_delivery) *Delivery {
	return &Delivery{
		ID:       text(C.flockq_delivery_id(c)),
		Receipt:  text(C.flockq_delivery_receipt(c)),
		Attempts: uint64(C.flockq_delivery_attempts(c)),
		Priority: Priority(C.flockq_delivery_priority(c)),
		QueuedAt: text(C.flockq_delivery_queued_at(c)),
		Payload:  content(C.flockq_delivery_payload(c)),
		queue:    q,
	}
}

// Decode unmarshals the payload.
func (d *Delivery) Decode(into any) error { return json.Unmarshal(d.Payload, into) }

// Ack says that the message is done, and removes it. ErrStaleReceipt: the lease has ended, nothing was changed.
func (d *Delivery) Ack(ctx context.Context) error { return d.settle(d.queue.Ack(ctx, d.Receipt)) }

// Nack says that it failed, or gives it back.
func (d *Delivery) Nack(ctx context.Context, options *NackOptions) error {
	return d.settle(d.queue.Nack(ctx, options, d.Receipt))
}

// Extend lets the lease run for lease from now, which is more than 0.
func (d *Delivery) Extend(ctx context.Context, lease time.Duration) error {
	return d.queue.Extend(ctx, lease, d.Receipt)
}

// Detach unties the lease from this process, before the receipt is handed to another: from now on it ends at its
// deadline or a reboot.
func (d *Delivery) Detach(ctx context.Context) error {
	return d.settle(d.queue.settle(ctx, "detach", []string{d.Receipt}, func(c *C.flockq_bytes, n C.size_t, results *C.flockq_status, failed **C.flockq_error) C.flockq_status {
		return C.flockq_queue_detach(d.queue.c, c, n, results, failed)
	}))
}

func (d *Delivery) settle(err error) error {
	if err == nil {
		d.settled.Store(true)
	}
	return err
}

// Ack removes the messages that these receipts name: they are done. One commit. Receipts that are stale
// (ErrStaleReceipt) or none (ErrInvalidArgument) are joined into the error, each as a [ReceiptError]; the others are done.
func (q *Queue) Ack(ctx context.Context, receipts ...string) error {
	return q.settle(ctx, "ack", receipts, func(c *C.flockq_bytes, n C.size_t, results *C.flockq_status, failed **C.flockq_error) C.flockq_status {
		return C.flockq_queue_ack(q.c, c, n, results, failed)
	})
}

// Nack gives the messages back; errors as for [Queue.Ack].
func (q *Queue) Nack(ctx context.Context, options *NackOptions, receipts ...string) error {
	set := defaults(options)
	delay, err := milliseconds("nack", "Delay", set.Delay)
	if err != nil {
		return err
	}
	return q.settle(ctx, "nack", receipts, func(c *C.flockq_bytes, n C.size_t, results *C.flockq_status, failed **C.flockq_error) C.flockq_status {
		var pins pinned
		defer pins.Unpin()
		var how C.flockq_nack_options
		how.size = C.sizeof_flockq_nack_options
		how.reason = pins.text(set.Reason)
		how.delay_ms = delay
		pins.Pin(&how)
		return C.flockq_queue_nack(q.c, c, n, &how, results, failed)
	})
}

// Extend lets the leases run for lease from now, which is more than 0; errors as for [Queue.Ack].
func (q *Queue) Extend(ctx context.Context, lease time.Duration, receipts ...string) error {
	ms, err := milliseconds("extend", "lease", lease)
	if err != nil {
		return err
	}
	return q.settle(ctx, "extend", receipts, func(c *C.flockq_bytes, n C.size_t, results *C.flockq_status, failed **C.flockq_error) C.flockq_status {
		return C.flockq_queue_extend(q.c, c, n, ms, results, failed)
	})
}

// A ReceiptError is what became of one receipt.
type ReceiptError struct {
	// Index is its place among the receipts that were given.
	Index int
	// Receipt is the text that was given.
	Receipt string
	// Err is what was wrong with it.
	Err error
}

// Error returns the error with the receipt.
func (e *ReceiptError) Error() string { return e.Err.Error() + " (" + e.Receipt + ")" }

// Unwrap returns what was wrong.
func (e *ReceiptError) Unwrap() error { return e.Err }

func (q *Queue) settle(ctx context.Context, op string, receipts []string, call func(*C.flockq_bytes, C.size_t, *C.flockq_status, **C.flockq_error) C.flockq_status) error {
	if err := ended(ctx, op); err != nil {
		return err
	}
	if len(receipts) == 0 {
		return nil
	}
	defer runtime.KeepAlive(q)
	var pins pinned
	defer pins.Unpin()
	array, count := pins.texts(receipts)
	results := make([]C.flockq_status, len(receipts))
	pins.Pin(&results[0])
	var failed *C.flockq_error
	pins.Pin(&failed)
	if err := failure(op, call(array, count, &results[0], &failed), &failed); err != nil {
		return err
	}
	var wrong []error
	for i, result := range results {
		if result != C.FLOCKQ_STATUS_OK {
			code := Code(result)
			err := &Error{Op: op, Code: code, Message: statusSummary(code), Offset: -1}
			wrong = append(wrong, &ReceiptError{Index: i, Receipt: receipts[i], Err: err})
		}
	}
	return errors.Join(wrong...)
}
