package flockq

/*
#include "flockq.h"
*/
import "C"

import (
	"context"
	"encoding/json"
	"runtime"
)

// An Envelope is a message as it stood in the queue. Times are texts as the file has them, empty where it has none.
type Envelope struct {
	// ID is the id; a message that another program wrote may have none until it is received.
	ID string
	// State is ready, delayed or leased.
	State State
	// Priority is the priority; an unknown one ranks as normal.
	Priority Priority
	// Attempts is how often it has been delivered.
	Attempts uint64
	// Reason is why it was given back last.
	Reason string
	// Errors is the errors so far, the last ten at most.
	Errors []Failure
	// Origin is the queue that it came from, while it waits to be tried again or was given up.
	Origin string
	// Expires is when it is delivered no more.
	Expires string
	// QueuedAt is when it was sent.
	QueuedAt string
	// LastAttempt is when it was delivered last.
	LastAttempt string
	// NotBefore is when it may be received.
	NotBefore string
	// LeaseUntil is when its lease ends, while it is leased.
	LeaseUntil string
	// Consumer is whose death ends its lease, while it is leased; empty for a detached lease.
	Consumer string
	// Payload is the payload, byte for byte as it is in the file.
	Payload json.RawMessage
}

// A Failure is one of the errors with which a message was given back.
type Failure struct {
	// At is when, as the file has it.
	At string `json:"at"`
	// Error is why.
	Error string `json:"error"`
}

// failures reads a history of errors; one that another program has put there in another shape is none.
func failures(text json.RawMessage) []Failure {
	var all []Failure
	if len(text) == 0 || json.Unmarshal(text, &all) != nil {
		return nil
	}
	return all
}

// Decode unmarshals the payload.
func (e *Envelope) Decode(into any) error { return json.Unmarshal(e.Payload, into) }

func newEnvelope(c *C.flockq_envelope) *Envelope {
	return &Envelope{
		ID:          text(C.flockq_envelope_id(c)),
		State:       State(C.flockq_envelope_state(c)),
		Priority:    Priority(C.flockq_envelope_priority(c)),
		Attempts:    uint64(C.flockq_envelope_attempts(c)),
		Reason:      text(C.flockq_envelope_reason(c)),
		Errors:      failures(content(C.flockq_envelope_errors(c))),
		Origin:      text(C.flockq_envelope_origin(c)),
		Expires:     text(C.flockq_envelope_expires(c)),
		QueuedAt:    text(C.flockq_envelope_queued_at(c)),
		LastAttempt: text(C.flockq_envelope_last_attempt(c)),
		NotBefore:   text(C.flockq_envelope_not_before(c)),
		LeaseUntil:  text(C.flockq_envelope_lease_until(c)),
		Consumer:    text(C.flockq_envelope_consumer(c)),
		Payload:     content(C.flockq_envelope_payload(c)),
	}
}

// newEnvelopes copies a list that C gave away, and frees it.
func newEnvelopes(list *C.flockq_envelopes) ([]*Envelope, string) {
	defer C.flockq_envelopes_free(list)
	all := make([]*Envelope, int(C.flockq_envelopes_size(list)))
	for i := range all {
		all[i] = newEnvelope(C.flockq_envelopes_get(list, C.size_t(i)))
	}
	return all, text(C.flockq_envelopes_cursor(list))
}

// Peek returns the next n ready messages, in order of delivery, without taking them.
func (q *Queue) Peek(ctx context.Context, n int) ([]*Envelope, error) {
	if err := ended(ctx, "peek"); err != nil {
		return nil, err
	}
	most, err := count("peek", "n", n)
	if err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(q)
	var list *C.flockq_envelopes
	var failed *C.flockq_error
	status := C.flockq_queue_peek(q.c, most, &list, &failed)
	if err := failure("peek", status, &failed); err != nil {
		return nil, err
	}
	all, _ := newEnvelopes(list)
	return all, nil
}

// List returns a page of the messages, by priority and then by age, and where the next page begins: empty when this is
// the last. Each page is consistent; what changes between two pages may be seen or not.
func (q *Queue) List(ctx context.Context, options *ListOptions) ([]*Envelope, string, error) {
	if err := ended(ctx, "list"); err != nil {
		return nil, "", err
	}
	set := defaults(options)
	limit, err := count("list", "Limit", set.Limit)
	if err != nil {
		return nil, "", err
	}
	defer runtime.KeepAlive(q)
	var pins pinned
	defer pins.Unpin()
	var c C.flockq_list_options
	c.size = C.sizeof_flockq_list_options
	c.state = C.uint32_t(set.State)
	c.limit = C.uint64_t(limit)
	c.cursor = pins.text(set.Cursor)
	pins.Pin(&c)
	var list *C.flockq_envelopes
	var failed *C.flockq_error
	status := C.flockq_queue_list(q.c, &c, &list, &failed)
	if err := failure("list", status, &failed); err != nil {
		return nil, "", err
	}
	all, cursor := newEnvelopes(list)
	return all, cursor, nil
}

// Get returns every message with this id; ids may repeat.
func (q *Queue) Get(ctx context.Context, id string) ([]*Envelope, error) {
	if err := ended(ctx, "get"); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(q)
	var pins pinned
	defer pins.Unpin()
	var list *C.flockq_envelopes
	var failed *C.flockq_error
	status := C.flockq_queue_get(q.c, pins.text(id), &list, &failed)
	if err := failure("get", status, &failed); err != nil {
		return nil, err
	}
	all, _ := newEnvelopes(list)
	return all, nil
}

// Len returns how many messages there are, in whatever state.
func (q *Queue) Len(ctx context.Context) (int, error) {
	if err := ended(ctx, "len"); err != nil {
		return 0, err
	}
	defer runtime.KeepAlive(q)
	var count C.uint64_t
	var failed *C.flockq_error
	status := C.flockq_queue_len(q.c, &count, &failed)
	return int(count), failure("len", status, &failed)
}

// UpdateMessage changes every message with this id where it is, in one commit, and returns how many there are. Their age,
// attempts and leases stay: whoever works on one has what it was when he took it, and settles it all the same. A message on
// its way to another queue is left.
func (q *Queue) UpdateMessage(ctx context.Context, id string, update *MessageUpdate) (int, error) {
	const op = "update_message"
	if err := ended(ctx, op); err != nil {
		return 0, err
	}
	set := defaults(update)
	c := C.flockq_update_options{delay_ms: C.FLOCKQ_NO_WAIT, ttl_ms: C.FLOCKQ_FOREVER}
	var err error
	if set.Delay != NoWait {
		if c.delay_ms, err = milliseconds(op, "Delay", set.Delay); err != nil {
			return 0, err
		}
	}
	if set.TTL != Forever {
		if c.ttl_ms, err = milliseconds(op, "TTL", set.TTL); err != nil {
			return 0, err
		}
	}
	defer runtime.KeepAlive(q)
	var pins pinned
	defer pins.Unpin()
	if set.Payload != nil {
		encoded, err := encode(op, set.Payload)
		if err != nil {
			return 0, err
		}
		if len(encoded) == 0 {
			// No JSON either; nothing at all would leave the payload as it is.
			encoded = []byte(" ")
		}
		c.json = pins.bytes(encoded)
	}
	c.size = C.sizeof_flockq_update_options
	c.priority = C.uint32_t(set.Priority)
	pins.Pin(&c)
	var updated C.uint64_t
	var failed *C.flockq_error
	status := C.flockq_queue_update_message(q.c, pins.text(id), &c, &updated, &failed)
	return int(updated), failure(op, status, &failed)
}

// Remove removes every message with one of these ids, leased or not, and returns how many.
func (q *Queue) Remove(ctx context.Context, ids ...string) (int, error) {
	if err := ended(ctx, "remove"); err != nil {
		return 0, err
	}
	defer runtime.KeepAlive(q)
	var pins pinned
	defer pins.Unpin()
	array, count := pins.texts(ids)
	var removed C.uint64_t
	var failed *C.flockq_error
	status := C.flockq_queue_remove(q.c, array, count, &removed, &failed)
	return int(removed), failure("remove", status, &failed)
}

// Purge removes every message in one state, or with [StateAny] every message, and returns how many.
func (q *Queue) Purge(ctx context.Context, state State) (int, error) {
	if err := ended(ctx, "purge"); err != nil {
		return 0, err
	}
	defer runtime.KeepAlive(q)
	var removed C.uint64_t
	var failed *C.flockq_error
	status := C.flockq_queue_purge(q.c, C.uint32_t(state), &removed, &failed)
	return int(removed), failure("purge", status, &failed)
}
