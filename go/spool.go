package flockq

/*
#include "flockq.h"
*/
import "C"

import (
	"encoding/json"
	"runtime"
)

// A Spool is a directory of queues. Use it from any goroutine.
type Spool struct {
	c *C.flockq_spool
}

// Open opens the spool in dir; nil options are the defaults.
func Open(dir string, options *Options) (*Spool, error) {
	set := defaults(options)
	wait, err := waiting("open", "LockWait", set.LockWait)
	if err != nil {
		return nil, err
	}
	var pins pinned
	defer pins.Unpin()
	var c C.flockq_spool_options
	c.size = C.sizeof_flockq_spool_options
	c.create = flag(set.Create)
	c.allow_unverified_fs = flag(set.AllowUnverifiedFS)
	c.sync = C.uint32_t(set.Sync)
	c.lock_wait_ms = wait
	var opened *C.flockq_spool
	var failed *C.flockq_error
	status := C.flockq_spool_open(pins.text(dir), &c, &opened, &failed)
	if err := failure("open", status, &failed); err != nil {
		return nil, err
	}
	spool := &Spool{c: opened}
	// The safety net for a forgotten Close; the handle is freed here and nowhere else, so that no other goroutine can
	// be using it then.
	runtime.AddCleanup(spool, func(c *C.flockq_spool) { go C.flockq_spool_free(c) }, opened)
	return spool, nil
}

// Mail opens the spool of a mail daemon in dir, which is made when it is missing. Its queues inbound, outbound and
// dead-letter have the policy of the daemon that such files come from, as far as flockq.json says nothing else: three
// attempts, five minutes between them, in outbound; then dead-letter.
func Mail(dir string, options *Options) (*Spool, error) {
	set := defaults(options)
	set.Create = true
	spool, err := Open(dir, &set)
	if err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(spool)
	var failed *C.flockq_error
	if err := failure("mail", C.flockq_spool_adopt_mail(spool.c, &failed), &failed); err != nil {
		return nil, err
	}
	return spool, nil
}

// Config returns the configuration: what is said, and for default also what holds where nothing is said.
func (s *Spool) Config() (json.RawMessage, error) {
	defer runtime.KeepAlive(s)
	var shown *C.flockq_text
	var failed *C.flockq_error
	if err := failure("config", C.flockq_spool_config(s.c, &shown, &failed), &failed); err != nil {
		return nil, err
	}
	return json.RawMessage(ownedText(shown)), nil
}

// SetConfig sets one setting, such as inbound.backoff to 10s, for every process: those that run see it at their next
// operation. The value null takes the setting away.
func (s *Spool) SetConfig(setting, value string) error {
	defer runtime.KeepAlive(s)
	var pins pinned
	defer pins.Unpin()
	var failed *C.flockq_error
	status := C.flockq_spool_set_config(s.c, pins.text(setting), pins.text(value), &failed)
	return failure("set config", status, &failed)
}

// Init sets a spool up: it makes the directory and its lock directory, and writes flockq.json. Queue files that are
// there are not touched. Doing it again with the same choice changes nothing; with another it is ErrAlreadyExists.
func Init(dir string, options *InitOptions) error {
	set := defaults(options)
	var pins pinned
	defer pins.Unpin()
	var c C.flockq_init_options
	c.size = C.sizeof_flockq_init_options
	c.plain = flag(set.Plain)
	c.sync = C.uint32_t(set.Sync)
	c.lock_dir = pins.text(set.LockDir)
	pins.Pin(&c)
	var failed *C.flockq_error
	return failure("init", C.flockq_spool_init(pins.text(dir), &c, &failed), &failed)
}

// Queue returns the queue called name. It checks the name and touches no file: a queue without a file is empty.
func (s *Spool) Queue(name string) (*Queue, error) {
	defer runtime.KeepAlive(s)
	var pins pinned
	defer pins.Unpin()
	var opened *C.flockq_queue
	var failed *C.flockq_error
	status := C.flockq_spool_queue(s.c, pins.text(name), &opened, &failed)
	if err := failure("queue", status, &failed); err != nil {
		return nil, err
	}
	queue := &Queue{c: opened, name: name}
	runtime.AddCleanup(queue, func(c *C.flockq_queue) { go C.flockq_queue_free(c) }, opened)
	return queue, nil
}

// Queues returns the names of the queues that have a file, in order.
func (s *Spool) Queues() ([]string, error) {
	defer runtime.KeepAlive(s)
	var names *C.flockq_texts
	var failed *C.flockq_error
	status := C.flockq_spool_queues(s.c, &names, &failed)
	if err := failure("queues", status, &failed); err != nil {
		return nil, err
	}
	return ownedTexts(names), nil
}

// Path returns the directory, absolute.
func (s *Spool) Path() string {
	defer runtime.KeepAlive(s)
	return text(C.flockq_spool_path(s.c))
}

// Close closes every queue opened through this spool, which gives their leases back. Using it or them afterwards is
// ErrClosed; closing again does nothing.
func (s *Spool) Close() error {
	defer runtime.KeepAlive(s)
	var failed *C.flockq_error
	return failure("close", C.flockq_spool_close(s.c, &failed), &failed)
}

// WriteAtomic replaces the file at path: readers and crashes see the old content or the new. When it returns, the new
// content is on stable storage. No lock is taken.
func WriteAtomic(path string, content []byte) error {
	var pins pinned
	defer pins.Unpin()
	var failed *C.flockq_error
	return failure("write_atomic", C.flockq_write_atomic(pins.text(path), pins.bytes(content), &failed), &failed)
}
