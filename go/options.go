package flockq

import (
	"math"
	"time"
)

// Forever as a lock wait waits until the lock comes; as the TTL of a [MessageUpdate] it is however old the message is.
const Forever time.Duration = math.MaxInt64

// NoWait as a lock wait tries once; as the Delay of a [MessageUpdate] it is at once.
const NoWait time.Duration = -1

// Sync is what is on stable storage when a call returns.
type Sync uint32

const (
	// SyncDefault is what the configuration says, else normal.
	SyncDefault Sync = iota
	// SyncFull is every commit.
	SyncFull
	// SyncNormal is every commit, except receive, pop, extend, detach, ack and a nack without a reason.
	SyncNormal
	// SyncOff is nothing: left to the operating system.
	SyncOff
)

// Mode is how a queue commits.
type Mode uint32

const (
	// ModePlain writes the whole file at every commit: for queues that are shared with programs that do not use the
	// library.
	ModePlain Mode = iota + 1
	// ModeJournal appends every commit to a journal beside the file.
	ModeJournal
)

// String returns the name, the same in every language.
func (m Mode) String() string {
	switch m {
	case ModePlain:
		return "plain"
	case ModeJournal:
		return "journal"
	}
	return "unknown"
}

// Priority says which messages go first.
type Priority uint32

const (
	// PriorityDefault is the payload's own priority, else normal.
	PriorityDefault Priority = iota
	// PriorityUrgent goes before all others.
	PriorityUrgent
	// PriorityHigh goes before normal.
	PriorityHigh
	// PriorityNormal is what a message has that says nothing.
	PriorityNormal
	// PriorityLow goes after all others.
	PriorityLow
)

var priorityNames = [...]string{"default", "urgent", "high", "normal", "low"}

// String returns the name, the same in every language.
func (p Priority) String() string {
	if int(p) < len(priorityNames) {
		return priorityNames[p]
	}
	return "unknown"
}

// State is how a message stands.
type State uint32

const (
	// StateAny is any state, where one is chosen.
	StateAny State = iota
	// StateReady is a message that a receive would get.
	StateReady
	// StateDelayed is a message whose time has not come.
	StateDelayed
	// StateLeased is a message that somebody has under a lease.
	StateLeased
)

var stateNames = [...]string{"any", "ready", "delayed", "leased"}

// String returns the name, the same in every language.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Options of [Open]. The zero value, and nil, are the defaults.
type Options struct {
	// Create makes the directory, and its parents, when it is missing.
	Create bool
	// Sync is the durability of this process's commits.
	Sync Sync
	// LockWait is how long operations wait for a lock: 0 is 30 seconds, or [NoWait] or [Forever].
	LockWait time.Duration
	// AllowUnverifiedFS goes on where it is not known that locks exclude.
	AllowUnverifiedFS bool
}

// InitOptions are the options of [Init]. The zero value, and nil, are the defaults.
type InitOptions struct {
	// Plain makes new queues plain files, for directories that are shared with programs without the library.
	Plain bool
	// LockDir is another lock directory, relative to the spool. It cannot be changed afterwards.
	LockDir string
	// Sync is the durability of all queues.
	Sync Sync
}

// SendOptions are the options of [Queue.Send] and [Queue.SendMany]. The zero value, and nil, are the defaults.
type SendOptions struct {
	// ID is the message's id; empty: the payload's own string id, else a new UUIDv7.
	ID string
	// Priority is the message's priority.
	Priority Priority
	// Delay is how long the message is not to be received.
	Delay time.Duration
	// TTL is how long the message is to be delivered at all; 0 is for ever.
	TTL time.Duration
	// Dedup sends nothing, and returns the id, when the id is already in the queue, or left it within its dedup_window.
	Dedup bool
	// Sync is the durability of this send alone.
	Sync Sync
	// Wait is how long to wait for room when the queue is full: 0 does not wait, or [Forever]. The end of the context ends it.
	Wait time.Duration
}

// MessageUpdate is what [Queue.UpdateMessage] changes. What is zero stays as it is.
type MessageUpdate struct {
	// Payload is another payload, as for [Queue.Send]. The message keeps its id, whatever the payload says of itself. A JSON
	// null is json.RawMessage("null").
	Payload any
	// Priority is another priority.
	Priority Priority
	// Delay is how long the message is not to be received from now; [NoWait] makes it ready at once.
	Delay time.Duration
	// TTL is how long the message is to be delivered at all from now; [Forever] is however old it is.
	TTL time.Duration
}

// ReceiveOptions are the options of the receives. The zero value, and nil, are the defaults.
type ReceiveOptions struct {
	// Lease is how long the message is this consumer's; 0 is as configured, else 5 minutes.
	Lease time.Duration
	// Detached leases end at their deadline or a reboot, but not with this process.
	Detached bool
}

// NackOptions are the options of a nack. The zero value, and nil: given back without a reason, ready at once; given up
// if that was the last attempt. What has a reason has failed: it waits and is given up as the queue's policy in
// flockq.json says.
type NackOptions struct {
	// Reason is why it failed; kept in the envelope.
	Reason string
	// Delay is how long the message is not to be received again; 0 is as the policy says.
	Delay time.Duration
}

// ListOptions are the options of [Queue.List]. The zero value, and nil, are the defaults.
type ListOptions struct {
	// State is the state of the messages to list.
	State State
	// Limit is how many to list at most; 0 is 100.
	Limit int
	// Cursor is where the page before ended.
	Cursor string
}

// FileLockOptions are the options of [AcquireFileLock]. The zero value, and nil, are the defaults.
type FileLockOptions struct {
	// Shared lets others have it shared at the same time.
	Shared bool
	// Wait is how long to wait: 0 is 30 seconds, or [NoWait] or [Forever].
	Wait time.Duration
	// AllowUnverifiedFS goes on where it is not known that locks exclude.
	AllowUnverifiedFS bool
}

// defaults returns the options, or their zero value for nil.
func defaults[T any](options *T) T {
	if options == nil {
		var zero T
		return zero
	}
	return *options
}
