package flockq

/*
#include "flockq.h"
*/
import "C"

import (
	"context"
	"encoding/json"
	"runtime"
	"time"
)

// Stats is how a queue stands, and what has been done with it by all processes together.
type Stats struct {
	// Messages is all messages, in whatever state.
	Messages uint64
	// Ready is those that a receive would get.
	Ready uint64
	// Delayed is those whose time has not come.
	Delayed uint64
	// Leased is those that somebody has under a lease.
	Leased uint64
	// Bytes is the bytes of all envelopes.
	Bytes uint64
	// OldestAge is the age of the oldest message; negative when there is none or its age is unknown.
	OldestAge time.Duration
	// ForeignWrites is how often another program has written or replaced the file, as far as it was noticed.
	ForeignWrites uint64
	// Checkpoints is how often the journal was folded.
	Checkpoints uint64
	// Counters is what has been done with messages.
	Counters Counters
	// Lock is how the lock was used.
	Lock LockStats
}

// Counters is what has been done with a queue's messages. Each count only grows, until the queue's files are made anew.
type Counters struct {
	// Sent is messages that were sent.
	Sent uint64 `json:"sent"`
	// Received is deliveries.
	Received uint64 `json:"received"`
	// Acked is messages that were acked or popped.
	Acked uint64 `json:"acked"`
	// Nacked is deliveries that were given back, with or without a reason.
	Nacked uint64 `json:"nacked"`
	// Retried is messages that went to the retry queue.
	Retried uint64 `json:"retried"`
	// DeadLettered is messages that were given up, to the dead-letter queue.
	DeadLettered uint64 `json:"dead_lettered"`
	// Expired is messages whose time to live had ended; those that were not dropped are dead-lettered too.
	Expired uint64 `json:"expired"`
	// Removed is messages that were removed by hand.
	Removed uint64 `json:"removed"`
	// MovedIn is messages that came from another queue.
	MovedIn uint64 `json:"moved_in"`
	// MovedOut is messages that went to another queue, for whatever reason.
	MovedOut uint64 `json:"moved_out"`
	// RedeliveredNacked is deliveries of messages that had been given back.
	RedeliveredNacked uint64 `json:"redelivered_nacked"`
	// RedeliveredExpiredLease is deliveries of messages whose lease had come to its deadline.
	RedeliveredExpiredLease uint64 `json:"redelivered_expired_lease"`
	// RedeliveredDeadConsumer is deliveries of messages whose consumer had died.
	RedeliveredDeadConsumer uint64 `json:"redelivered_dead_consumer"`
	// RedeliveredReboot is deliveries of messages that were leased before a reboot.
	RedeliveredReboot uint64 `json:"redelivered_reboot"`
	// RedeliveredErasedLease is deliveries of messages whose lease another program had erased.
	RedeliveredErasedLease uint64 `json:"redelivered_erased_lease"`
}

// LockStats is how the lock of a queue was used. A process tells once a second, with what it does next, and when it closes
// the queue.
type LockStats struct {
	// Acquired is how often it was taken to change something.
	Acquired uint64
	// Contended is how often somebody had to wait for it.
	Contended uint64
	// TimedOut is how often somebody waited in vain.
	TimedOut uint64
	// Replaced is how often its file had been removed or replaced by another program.
	Replaced uint64
	// Wait is all waits together.
	Wait time.Duration
	// WaitMax is the longest wait.
	WaitMax time.Duration
	// Waits is how many waits were at most 100 us, 1 ms, 10 ms, 100 ms, 1 s, 10 s, 1 min, and longer.
	Waits [8]uint64
}

// An Advice is one thing that a spool's owner should know.
type Advice struct {
	// Severity is problem, risk or note.
	Severity string `json:"severity"`
	// About is the queue, the file or the directory.
	About string `json:"about"`
	// Text is what was found, in one line.
	Text string `json:"text"`
	// Command is a command of the shell, to be run in the directory, that mends it or shows more; empty for none.
	Command string `json:"command"`
}

// Stats returns how the queue stands.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	if err := ended(ctx, "stats"); err != nil {
		return Stats{}, err
	}
	defer runtime.KeepAlive(q)
	var c C.flockq_stats
	var failed *C.flockq_error
	status := C.flockq_queue_stats(q.c, &c, &failed)
	if err := failure("stats", status, &failed); err != nil {
		return Stats{}, err
	}
	stats := Stats{
		Messages:      uint64(c.messages),
		Ready:         uint64(c.ready),
		Delayed:       uint64(c.delayed),
		Leased:        uint64(c.leased),
		Bytes:         uint64(c.bytes),
		OldestAge:     time.Duration(c.oldest_age_ms) * time.Millisecond,
		ForeignWrites: uint64(c.foreign_writes),
		Checkpoints:   uint64(c.checkpoints),
		Counters: Counters{
			Sent:                    uint64(c.counters.sent),
			Received:                uint64(c.counters.received),
			Acked:                   uint64(c.counters.acked),
			Nacked:                  uint64(c.counters.nacked),
			Retried:                 uint64(c.counters.retried),
			DeadLettered:            uint64(c.counters.dead_lettered),
			Expired:                 uint64(c.counters.expired),
			Removed:                 uint64(c.counters.removed),
			MovedIn:                 uint64(c.counters.moved_in),
			MovedOut:                uint64(c.counters.moved_out),
			RedeliveredNacked:       uint64(c.counters.redelivered_nacked),
			RedeliveredExpiredLease: uint64(c.counters.redelivered_expired_lease),
			RedeliveredDeadConsumer: uint64(c.counters.redelivered_dead_consumer),
			RedeliveredReboot:       uint64(c.counters.redelivered_reboot),
			RedeliveredErasedLease:  uint64(c.counters.redelivered_erased_lease),
		},
		Lock: LockStats{
			Acquired:  uint64(c.lock.acquired),
			Contended: uint64(c.lock.contended),
			TimedOut:  uint64(c.lock.timed_out),
			Replaced:  uint64(c.lock.replaced),
			Wait:      time.Duration(c.lock.wait_us) * time.Microsecond,
			WaitMax:   time.Duration(c.lock.wait_max_us) * time.Microsecond,
		},
	}
	for i, count := range c.lock.waits {
		stats.Lock.Waits[i] = uint64(count)
	}
	return stats, nil
}

// Metrics returns the figures of all queues in the text format that Prometheus reads.
func (s *Spool) Metrics() (string, error) {
	defer runtime.KeepAlive(s)
	var metrics *C.flockq_text
	var failed *C.flockq_error
	if err := failure("metrics", C.flockq_spool_metrics(s.c, &metrics, &failed), &failed); err != nil {
		return "", err
	}
	return ownedText(metrics), nil
}

// WriteMetrics writes the figures of all queues to a file, which is replaced as a whole: for node_exporter's textfile collector, whose files end
// with .prom.
func (s *Spool) WriteMetrics(path string) error {
	defer runtime.KeepAlive(s)
	var pins pinned
	defer pins.Unpin()
	var failed *C.flockq_error
	return failure("write_metrics", C.flockq_spool_write_metrics(s.c, pins.text(path), &failed), &failed)
}

// Doctor looks at the directory and at every queue, and says what is wrong or risky, the worst first; nothing is no advice.
func (s *Spool) Doctor() ([]Advice, error) {
	defer runtime.KeepAlive(s)
	var found *C.flockq_text
	var failed *C.flockq_error
	if err := failure("doctor", C.flockq_spool_doctor(s.c, &found, &failed), &failed); err != nil {
		return nil, err
	}
	var all []Advice
	if err := json.Unmarshal([]byte(ownedText(found)), &all); err != nil {
		return nil, &Error{Op: "doctor", Code: CodeInternal, Message: "the advice cannot be read: " + err.Error(), Offset: -1}
	}
	return all, nil
}
