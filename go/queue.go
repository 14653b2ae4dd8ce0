package flockq

/*
#include "flockq.h"
*/
import "C"

import (
	"bytes"
	"context"
	"encoding/json"
	"runtime"
	"sync/atomic"
	"time"
)

// A Queue of a spool. Use it from any goroutine.
type Queue struct {
	c    *C.flockq_queue
	name string
	// interrupts counts the calls of Interrupt, told those that have ended a wait: to tell them from the interrupts of
	// contexts.
	interrupts, told atomic.Uint64
}

// Name returns the queue's name.
func (q *Queue) Name() string { return q.name }

// encode returns the payload as JSON; json.RawMessage and []byte go through untouched.
func encode(op string, payload any) ([]byte, error) {
	switch encoded := payload.(type) {
	case json.RawMessage:
		return encoded, nil
	case []byte:
		return encoded, nil
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(payload); err != nil {
		message := "the payload cannot be written as JSON: " + err.Error()
		return nil, &Error{Op: op, Code: CodeInvalidJson, Message: message, Offset: -1, cause: err}
	}
	return buffer.Bytes(), nil
}

// Send sends payload and returns the message's id. A json.RawMessage or []byte is JSON already and goes through
// untouched; anything else is marshalled. When it returns without error, the message is in the queue and, at the default
// durability, on stable storage.
func (q *Queue) Send(ctx context.Context, payload any, options *SendOptions) (string, error) {
	if err := ended(ctx, "send"); err != nil {
		return "", err
	}
	encoded, err := encode("send", payload)
	if err != nil {
		return "", err
	}
	defer runtime.KeepAlive(q)
	var pins pinned
	defer pins.Unpin()
	json := pins.bytes(encoded)
	var id *C.flockq_text
	err = q.send(ctx, "send", &pins, options, func(c *C.flockq_send_options) error {
		var failed *C.flockq_error
		return failure("send", C.flockq_queue_send(q.c, json, c, &id, &failed), &failed)
	})
	if err != nil {
		return "", err
	}
	return ownedText(id), nil
}

// send calls send, again for as long as it may wait for room and only another goroutine's context has ended that.
func (q *Queue) send(ctx context.Context, op string, pins *pinned, options *SendOptions, send func(*C.flockq_send_options) error) error {
	set := defaults(options)
	var c C.flockq_send_options
	var err error
	if c.delay_ms, err = milliseconds(op, "Delay", set.Delay); err != nil {
		return err
	}
	if c.ttl_ms, err = milliseconds(op, "TTL", set.TTL); err != nil {
		return err
	}
	if _, err = waiting(op, "Wait", set.Wait); err != nil {
		return err
	}
	c.size = C.sizeof_flockq_send_options
	c.id = pins.text(set.ID)
	c.priority = C.uint32_t(set.Priority)
	c.dedup = flag(set.Dedup)
	c.sync = C.uint32_t(set.Sync)
	pins.Pin(&c)
	if set.Wait <= 0 {
		return send(&c)
	}
	end := time.Now().Add(set.Wait)
	return q.wait(ctx, op, func() (bool, error) {
		c.wait_ms = C.FLOCKQ_FOREVER
		if set.Wait != Forever {
			c.wait_ms = roundedUp(max(time.Until(end), 0))
		}
		return true, send(&c)
	})
}

// SendMany sends all payloads or none, in one commit, and returns their ids in order. The options are those of each; only
// one message can have the ID.
func (q *Queue) SendMany(ctx context.Context, payloads []any, options *SendOptions) ([]string, error) {
	if err := ended(ctx, "send_many"); err != nil {
		return nil, err
	}
	all := make([]string, len(payloads))
	for i, payload := range payloads {
		encoded, err := encode("send_many", payload)
		if err != nil {
			return nil, err
		}
		all[i] = string(encoded)
	}
	defer runtime.KeepAlive(q)
	var pins pinned
	defer pins.Unpin()
	array, count := pins.texts(all)
	var ids *C.flockq_texts
	err := q.send(ctx, "send_many", &pins, options, func(c *C.flockq_send_options) error {
		var failed *C.flockq_error
		return failure("send_many", C.flockq_queue_send_many(q.c, array, count, c, &ids, &failed), &failed)
	})
	if err != nil {
		return nil, err
	}
	return ownedTexts(ids), nil
}

// Receive takes the next ready message under a lease, and waits for one until ctx ends. The attempt is counted before
// it returns.
func (q *Queue) Receive(ctx context.Context, options *ReceiveOptions) (*Delivery, error) {
	deliveries, err := q.ReceiveMany(ctx, 1, options)
	if err != nil {
		return nil, err
	}
	return deliveries[0], nil
}

// ReceiveMany takes up to max ready messages in one commit, and waits for the first until ctx ends.
func (q *Queue) ReceiveMany(ctx context.Context, max int, options *ReceiveOptions) ([]*Delivery, error) {
	if err := ended(ctx, "receive"); err != nil {
		return nil, err
	}
	var deliveries []*Delivery
	err := q.wait(ctx, "receive", func() (bool, error) {
		var err error
		deliveries, err = q.receive(max, options, C.FLOCKQ_FOREVER)
		return len(deliveries) > 0, err
	})
	return deliveries, err
}

// wait calls wait until it has what it waits for or ctx ends. It is called again when an interrupt ended it that was
// another goroutine's.
func (q *Queue) wait(ctx context.Context, op string, wait func() (bool, error)) error {
	listening := q.interruptAtTheEndOf(ctx)
	defer listening()
	began := q.interrupts.Load()
	for {
		done, err := wait()
		switch {
		case err == nil && done:
			return nil
		case CodeOf(err) != CodeInterrupted && err != nil:
			return err
		case ended(ctx, op) != nil:
			q.told.Store(q.interrupts.Load())
			return ended(ctx, op)
		}
		now := q.interrupts.Load()
		if told := q.told.Swap(now); now != told || now != began {
			return err
		}
		// Another goroutine's context ended its own wait on this handle: go on with this one.
	}
}

// TryReceive takes the next ready message under a lease. It does not wait: nil without an error when nothing is ready.
func (q *Queue) TryReceive(ctx context.Context, options *ReceiveOptions) (*Delivery, error) {
	deliveries, err := q.TryReceiveMany(ctx, 1, options)
	if err != nil || len(deliveries) == 0 {
		return nil, err
	}
	return deliveries[0], nil
}

// TryReceiveMany takes up to max ready messages in one commit, without waiting.
func (q *Queue) TryReceiveMany(ctx context.Context, max int, options *ReceiveOptions) ([]*Delivery, error) {
	if err := ended(ctx, "receive"); err != nil {
		return nil, err
	}
	return q.receive(max, options, 0)
}

func (q *Queue) receive(max int, options *ReceiveOptions, wait C.uint64_t) ([]*Delivery, error) {
	defer runtime.KeepAlive(q)
	set := defaults(options)
	most, err := count("receive", "max", max)
	if err != nil {
		return nil, err
	}
	var c C.flockq_receive_options
	c.size = C.sizeof_flockq_receive_options
	if c.lease_ms, err = milliseconds("receive", "Lease", set.Lease); err != nil {
		return nil, err
	}
	c.wait_ms = wait
	c.detached = flag(set.Detached)
	var list *C.flockq_deliveries
	var failed *C.flockq_error
	status := C.flockq_queue_receive_many(q.c, most, &c, &list, &failed)
	if err := failure("receive", status, &failed); err != nil {
		return nil, err
	}
	defer C.flockq_deliveries_free(list)
	deliveries := make([]*Delivery, int(C.flockq_deliveries_size(list)))
	for i := range deliveries {
		deliveries[i] = newDelivery(q, C.flockq_deliveries_get(list, C.size_t(i)))
	}
	return deliveries, nil
}

// interruptAtTheEndOf interrupts this handle's waits from the end of ctx until the returned function is called. An
// interrupt ends the waits in progress, or else the next one: it is repeated, because this goroutine's wait may be just
// about to begin while another one is in progress.
func (q *Queue) interruptAtTheEndOf(ctx context.Context) func() {
	if ctx == nil || ctx.Done() == nil {
		return func() {}
	}
	returned, finished := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(finished)
		again := time.NewTicker(2 * time.Millisecond)
		defer again.Stop()
		for {
			C.flockq_queue_interrupt(q.c)
			select {
			case <-returned:
				return
			case <-again.C:
			}
		}
	})
	return func() {
		close(returned)
		if !stop() {
			<-finished
		}
	}
}

// Interrupt ends the waits in progress on this handle with ErrInterrupted; when there is none, the next one.
func (q *Queue) Interrupt() {
	defer runtime.KeepAlive(q)
	q.interrupts.Add(1)
	C.flockq_queue_interrupt(q.c)
}

// Pop receives and acks in one commit: the message is the caller's, and gone if it dies with it. It does not wait: nil
// without an error when nothing is ready.
func (q *Queue) Pop(ctx context.Context) (*Envelope, error) {
	if err := ended(ctx, "pop"); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(q)
	var c *C.flockq_envelope
	var failed *C.flockq_error
	status := C.flockq_queue_pop(q.c, &c, &failed)
	if err := failure("pop", status, &failed); err != nil || c == nil {
		return nil, err
	}
	defer C.flockq_envelope_free(c)
	return newEnvelope(c), nil
}

// Sync makes everything committed so far durable, whatever the durability of the commits was.
func (q *Queue) Sync(ctx context.Context) error {
	if err := ended(ctx, "sync"); err != nil {
		return err
	}
	defer runtime.KeepAlive(q)
	var failed *C.flockq_error
	return failure("sync", C.flockq_queue_sync(q.c, &failed), &failed)
}

// Checkpoint folds the journal into the queue's file. There is nothing to do for a plain queue.
func (q *Queue) Checkpoint(ctx context.Context) error {
	if err := ended(ctx, "checkpoint"); err != nil {
		return err
	}
	defer runtime.KeepAlive(q)
	var failed *C.flockq_error
	return failure("checkpoint", C.flockq_queue_checkpoint(q.c, &failed), &failed)
}

// Check checks every byte of the queue's files. Damage is in the report and no error.
func (q *Queue) Check(ctx context.Context) (*Report, error) {
	if err := ended(ctx, "check"); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(q)
	var report *C.flockq_text
	var failed *C.flockq_error
	status := C.flockq_queue_check(q.c, &report, &failed)
	if err := failure("check", status, &failed); err != nil {
		return nil, err
	}
	return readReport("check", report)
}

// Repair saves what can be saved of a damaged queue, message by message, and keeps the damaged files beside it, as
// NAME.json.damaged-N and NAME.json.journal.damaged-N. The report says what could not be saved. Nothing is done to a sound
// queue. A message may be delivered again whose ack was in what is lost.
func (q *Queue) Repair(ctx context.Context) (*Report, error) {
	if err := ended(ctx, "repair"); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(q)
	var report *C.flockq_text
	var failed *C.flockq_error
	status := C.flockq_queue_repair(q.c, &report, &failed)
	if err := failure("repair", status, &failed); err != nil {
		return nil, err
	}
	return readReport("repair", report)
}

// Mode returns how the queue commits.
func (q *Queue) Mode(ctx context.Context) (Mode, error) {
	if err := ended(ctx, "mode"); err != nil {
		return 0, err
	}
	defer runtime.KeepAlive(q)
	var mode C.flockq_mode
	var failed *C.flockq_error
	status := C.flockq_queue_mode(q.c, &mode, &failed)
	if err := failure("mode", status, &failed); err != nil {
		return 0, err
	}
	return Mode(mode), nil
}

// Convert gives the queue a journal, or folds it and takes it away. Its messages and their leases stay.
func (q *Queue) Convert(ctx context.Context, to Mode) error {
	if err := ended(ctx, "convert"); err != nil {
		return err
	}
	defer runtime.KeepAlive(q)
	var failed *C.flockq_error
	return failure("convert", C.flockq_queue_convert(q.c, C.uint32_t(to), &failed), &failed)
}

// Close gives back the leases taken through this handle and not yet settled. Detached leases go on. Waits in progress
// end with ErrClosed, and so does every later use; closing again does nothing.
func (q *Queue) Close() error {
	defer runtime.KeepAlive(q)
	var failed *C.flockq_error
	return failure("close", C.flockq_queue_close(q.c, &failed), &failed)
}
