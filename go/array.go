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
)

// Load returns the whole array, read under a shared lock: every element byte for byte as it is in the file.
func (q *Queue) Load(ctx context.Context) ([]json.RawMessage, error) {
	if err := ended(ctx, "load"); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(q)
	var array *C.flockq_text
	var failed *C.flockq_error
	status := C.flockq_queue_load(q.c, &array, &failed)
	if err := failure("load", status, &failed); err != nil {
		return nil, err
	}
	return split("load", ownedText(array))
}

// Save replaces the whole array under an exclusive lock. Live leases are kept by message: an element without a lease
// whose id is that of a leased message gets that lease. What others changed since the load is lost; [Queue.Update] is
// the change that loses nothing.
func (q *Queue) Save(ctx context.Context, array []json.RawMessage) error {
	if err := ended(ctx, "save"); err != nil {
		return err
	}
	defer runtime.KeepAlive(q)
	var pins pinned
	defer pins.Unpin()
	var failed *C.flockq_error
	return failure("save", C.flockq_queue_save(q.c, pins.bytes(join(array)), &failed), &failed)
}

// Update changes the whole array under one exclusive lock: what load and save should have been. The array that change
// returns is written; an error from it writes nothing and is returned. Change must not use this queue: it would get
// ErrWouldDeadlock.
func (q *Queue) Update(ctx context.Context, change func([]json.RawMessage) ([]json.RawMessage, error)) error {
	if err := ended(ctx, "update"); err != nil {
		return err
	}
	defer runtime.KeepAlive(q)
	// The library tells a thread that would wait for itself; the thread must be this goroutine's alone meanwhile.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var transaction *C.flockq_transaction
	var failed *C.flockq_error
	status := C.flockq_queue_begin(q.c, &transaction, &failed)
	if err := failure("update", status, &failed); err != nil {
		return err
	}
	defer C.flockq_transaction_free(transaction)
	var array *C.flockq_text
	status = C.flockq_transaction_get(transaction, &array, &failed)
	if err := failure("update", status, &failed); err != nil {
		return err
	}
	elements, err := split("update", ownedText(array))
	if err != nil {
		return err
	}
	if elements, err = change(elements); err != nil {
		return err
	}
	var pins pinned
	defer pins.Unpin()
	status = C.flockq_transaction_set(transaction, pins.bytes(join(elements)), &failed)
	if err := failure("update", status, &failed); err != nil {
		return err
	}
	return failure("update", C.flockq_transaction_commit(transaction, &failed), &failed)
}

// split returns the elements of an array with their bytes as they are.
func split(op, array string) ([]json.RawMessage, error) {
	var elements []json.RawMessage
	if err := json.Unmarshal([]byte(array), &elements); err != nil {
		return nil, &Error{Op: op, Code: CodeInternal, Message: err.Error(), Offset: -1}
	}
	return elements, nil
}

// join returns an array of these elements with their bytes as they are.
func join(elements []json.RawMessage) []byte {
	var array bytes.Buffer
	array.WriteByte('[')
	for i, element := range elements {
		if i > 0 {
			array.WriteByte(',')
		}
		array.Write(element)
	}
	array.WriteByte(']')
	return array.Bytes()
}
