package flockq

/*
#include "flockq.h"
*/
import "C"

import (
	"context"
	"sync"
	"time"
)

// A FileLock is a held lock on a file, by the same protocol as a queue's. It is held until Release or the end of the
// process, also when nothing refers to it any more.
type FileLock struct {
	mutex  sync.Mutex
	c      *C.flockq_file_lock
	waited time.Duration
}

// AcquireFileLock takes the lock of the file at path: DIR/.gastown/locks/NAME.lock for DIR/NAME. The file itself is not
// touched and need not exist; the lock of a queue's file is that queue's lock. As with a sync.Mutex, a goroutine that
// asks for a lock that it has waits for itself, until ErrLockTimeout.
func AcquireFileLock(ctx context.Context, path string, options *FileLockOptions) (*FileLock, error) {
	if err := ended(ctx, "lock"); err != nil {
		return nil, err
	}
	set := defaults(options)
	wait, err := waiting("lock", "Wait", set.Wait)
	if err != nil {
		return nil, err
	}
	var pins pinned
	defer pins.Unpin()
	var c C.flockq_file_lock_options
	c.size = C.sizeof_flockq_file_lock_options
	c.shared = flag(set.Shared)
	c.allow_unverified_fs = flag(set.AllowUnverifiedFS)
	// A goroutine is no thread: the one that has the lock and the one that asks may share one.
	c.untied = 1
	c.wait_ms = wait
	var held *C.flockq_file_lock
	var failed *C.flockq_error
	status := C.flockq_file_lock_acquire(pins.text(path), &c, &held, &failed)
	if err := failure("lock", status, &failed); err != nil {
		return nil, err
	}
	return &FileLock{c: held, waited: time.Duration(C.flockq_file_lock_waited_us(held)) * time.Microsecond}, nil
}

// Waited returns how long it took to get the lock.
func (l *FileLock) Waited() time.Duration { return l.waited }

// Release gives the lock back; releasing again does nothing.
func (l *FileLock) Release() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.c != nil {
		C.flockq_file_lock_free(l.c)
		l.c = nil
	}
}
