package flockq

/*
#include "flockq.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
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

// Work gives every message to handler: it acks it when handler returns nil, nacks it with the error's text when not (its
// type's name when that is empty), and waits for the next. What handler itself acked, nacked or detached is left as it is.
// The lease is kept while handler runs, which takes a thread.
//
// It returns nil when ctx ends or the queue is interrupted or closed: after the message that is worked on, so that nothing
// is left half done. A handler that returns ctx's error then has not failed: the message is given back without a reason. A
// receipt that has become stale meanwhile is no error: the message is delivered again, or was.
func (q *Queue) Work(ctx context.Context, handler func(context.Context, *Delivery) error, options *WorkOptions) error {
	set := defaults(options)
	if ctx == nil {
		ctx = context.Background()
	}
	began := q.interrupts.Load()
	for !q.interruptedSince(began) {
		delivery, err := q.Receive(ctx, &ReceiveOptions{Lease: set.Lease})
		if err == nil {
			err = q.work(ctx, delivery, handler, &set)
		}
		switch {
		case err == nil, errors.Is(err, ErrStaleReceipt):
		case endsWork(err):
			return nil
		default:
			return err
		}
	}
	return nil
}

// endsWork says whether an error is only that somebody has ended the work. That the context has ended is not enough: what
// failed meanwhile has failed.
func endsWork(err error) bool {
	var over *contextError
	return errors.As(err, &over) || errors.Is(err, ErrInterrupted) || errors.Is(err, ErrClosed)
}

// work has handler do one delivery, under a lease that is kept meanwhile, and settles it.
func (q *Queue) work(ctx context.Context, delivery *Delivery, handler func(context.Context, *Delivery) error, set *WorkOptions) error {
	stop := func() {}
	if !set.LetGo {
		var err error
		if stop, err = q.Keep(delivery.Receipt, set.Lease); err != nil {
			// No fault of the message.
			_ = delivery.Nack(context.WithoutCancel(ctx), nil)
			return err
		}
	}
	failed := handled(ctx, delivery, handler, stop)
	// What was worked on is settled also when ctx has ended meanwhile.
	settle := context.WithoutCancel(ctx)
	switch {
	case delivery.settled.Load():
		return nil
	case failed == nil:
		return delivery.Ack(settle)
	case ctx.Err() != nil && errors.Is(failed, ctx.Err()):
		// The worker was told to stop, which is no fault of the message.
		return delivery.Nack(settle, nil)
	default:
		return delivery.Nack(settle, &NackOptions{Reason: reason(failed)})
	}
}

// reason says what an error says, in text that the file can hold. It is not empty: a nack without a reason is no failure,
// and the message would come again at once.
func reason(failed error) string {
	if text := strings.ToValidUTF8(failed.Error(), "\uFFFD"); text != "" {
		return text
	}
	return fmt.Sprintf("%T", failed)
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
