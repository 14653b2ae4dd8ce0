package flockq

/*
#include "flockq.h"
*/
import "C"

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

// WorkOptions are the options of [Queue.Work]. The zero value, and nil, are the defaults.
type WorkOptions struct {
	// Lease is how long a message is this consumer's, at a time; 0 is as configured, else 5 minutes.
	Lease time.Duration
	// LetGo does not keep the lease while the handler runs.
	LetGo bool
}

// Work gives every message to handler: it acks it when handler returns nil, nacks it with the error's text when not, and
// waits for the next. What handler itself acked, nacked or detached is left as it is. The lease is kept while handler runs,
// which takes a thread.
//
// It returns nil when ctx ends or the queue is interrupted or closed: after the message that is worked on, so that nothing
// is left half done. A receipt that has become stale meanwhile is no error: the message is delivered again, or was.
func (q *Queue) Work(ctx context.Context, handler func(context.Context, *Delivery) error, options *WorkOptions) error {
	set := defaults(options)
	began := q.interrupts.Load()
	for !q.interruptedSince(began) {
		delivery, err := q.Receive(ctx, &ReceiveOptions{Lease: set.Lease})
		switch {
		case ctx.Err() != nil && delivery == nil, errors.Is(err, ErrInterrupted), errors.Is(err, ErrClosed):
			return nil
		case err != nil:
			return err
		case delivery == nil:
			continue
		}
		stop := func() {}
		if !set.LetGo {
			if stop, err = q.Keep(delivery.Receipt, set.Lease); err != nil {
				return err
			}
		}
		failed := handled(ctx, delivery, handler, stop)
		// What was worked on is settled also when ctx has ended meanwhile.
		settle := context.WithoutCancel(ctx)
		switch {
		case delivery.settled.Load():
		case failed == nil:
			err = delivery.Ack(settle)
		default:
			err = delivery.Nack(settle, &NackOptions{Reason: failed.Error()})
		}
		if errors.Is(err, ErrClosed) {
			return nil
		}
		if err != nil && !errors.Is(err, ErrStaleReceipt) {
			return err
		}
	}
	return nil
}

// interruptedSince says whether Interrupt was called since then. An interrupt that came while a handler ran may have ended
// the wait of another goroutine, or is still to end the next one: which is not this goroutine's then.
func (q *Queue) interruptedSince(began uint64) bool {
	now := q.interrupts.Load()
	if now == began {
		return false
	}
	q.told.Store(now)
	return true
}

// handled lets the lease go whatever becomes of the handler, also a panic that somebody recovers from.
func handled(ctx context.Context, delivery *Delivery, handler func(context.Context, *Delivery) error, stop func()) error {
	defer stop()
	return handler(ctx, delivery)
}

// Keep keeps the lease that a receipt names, in a thread of its own, until stop is called, the lease is lost or the queue
// closed. Lease is as long as the receive's; 0 is as configured, else 5 minutes. Stop must be called; again it does nothing.
func (q *Queue) Keep(receipt string, lease time.Duration) (stop func(), err error) {
	ms, err := milliseconds("keep", "lease", lease)
	if err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(q)
	var pins pinned
	defer pins.Unpin()
	var keeper *C.flockq_keeper
	var failed *C.flockq_error
	status := C.flockq_queue_keep(q.c, pins.text(receipt), ms, &keeper, &failed)
	if err := failure("keep", status, &failed); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() {
		C.flockq_keeper_free(keeper)
		runtime.KeepAlive(q)
	}), nil
}
