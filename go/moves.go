package flockq

/*
#include "flockq.h"
*/
import "C"

import (
	"context"
	"runtime"
)

// A Filter says which messages to move. The zero value, and nil, are all that nobody has under a lease.
type Filter struct {
	// IDs are those with one of these ids: nil for any, empty for none.
	IDs []string
	// State is those in this state.
	State State
	// Error is those whose error has this in it.
	Error string
	// Limit is at most this many; 0 is all.
	Limit int
}

// Redriven is a message that a redrive moves, and the queue it goes to.
type Redriven struct {
	// ID is the message's id.
	ID string
	// To is the queue.
	To string
}

func (p *pinned) filter(op string, filter *Filter) (C.flockq_filter_options, error) {
	set := defaults(filter)
	var c C.flockq_filter_options
	limit, err := count(op, "Limit", set.Limit)
	if err != nil {
		return c, err
	}
	c.size = C.sizeof_flockq_filter_options
	c.ids, c.id_count = p.texts(set.IDs)
	if set.IDs != nil && len(set.IDs) == 0 {
		// Any place: NULL is any id.
		none := new(C.flockq_bytes)
		p.Pin(none)
		c.ids = none
	}
	c.state = C.uint32_t(set.State)
	c.error = p.text(set.Error)
	c.limit = C.uint64_t(limit)
	return c, nil
}

// MoveTo moves messages to another queue, each exactly once wherever a process dies, and returns their ids. Those under a
// lease are left. When the other queue cannot be written, they stay.
func (q *Queue) MoveTo(ctx context.Context, target string, filter *Filter) ([]string, error) {
	if err := ended(ctx, "move to"); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(q)
	var pins pinned
	defer pins.Unpin()
	c, err := pins.filter("move to", filter)
	if err != nil {
		return nil, err
	}
	pins.Pin(&c)
	var ids *C.flockq_texts
	var failed *C.flockq_error
	status := C.flockq_queue_move_to(q.c, pins.text(target), &c, &ids, &failed)
	if err := failure("move to", status, &failed); err != nil {
		return nil, err
	}
	return ownedTexts(ids), nil
}

// Redrive sends messages back to the queues that they came from, ready at once and with all attempts before them. With
// dryRun nothing is moved.
func (q *Queue) Redrive(ctx context.Context, filter *Filter, dryRun bool) ([]Redriven, error) {
	if err := ended(ctx, "redrive"); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(q)
	var pins pinned
	defer pins.Unpin()
	c, err := pins.filter("redrive", filter)
	if err != nil {
		return nil, err
	}
	pins.Pin(&c)
	var ids, targets *C.flockq_texts
	var failed *C.flockq_error
	status := C.flockq_queue_redrive(q.c, &c, flag(dryRun), &ids, &targets, &failed)
	if err := failure("redrive", status, &failed); err != nil {
		return nil, err
	}
	homes := ownedTexts(targets)
	var redriven []Redriven
	for i, id := range ownedTexts(ids) {
		redriven = append(redriven, Redriven{ID: id, To: homes[i]})
	}
	return redriven, nil
}
