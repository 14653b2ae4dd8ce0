package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// MailDaemon is the pattern of the daemon that such queue files come from: a JSON array that is read, changed and
// written whole under a lock file, which is removed after the unlock. The daemon itself loads and saves under two locks,
// and loses far more; here each change has one.
type MailDaemon struct{ file, lock string }

// daemonPoll is how often an empty queue is looked at again.
const daemonPoll = 100 * time.Millisecond

const daemonPatience = 30 * time.Second

type daemonEnvelope struct {
	Message     daemonMessage `json:"message"`
	Attempts    int           `json:"attempts"`
	LastAttempt time.Time     `json:"last_attempt"`
	QueuedAt    time.Time     `json:"queued_at"`
}

// daemonMessage has the keys in the order of the messages of this benchmark, so that they come out as they went in.
type daemonMessage struct {
	ID       string `json:"id"`
	From     string `json:"from"`
	To       string `json:"to"`
	Subject  string `json:"subject"`
	BeforeNS int64  `json:"before_ns,omitempty"`
	Body     string `json:"body"`
}

func openMailDaemon(place string, power bool) (Peer, error) {
	if power {
		return nil, Unsupported("it never syncs: after a power cut the renamed file may be empty")
	}
	locks := filepath.Join(place, ".gastown", "locks")
	if err := os.MkdirAll(locks, 0o755); err != nil {
		return nil, err
	}
	return &MailDaemon{file: filepath.Join(place, "inbound.json"), lock: filepath.Join(locks, "inbound.json.lock")}, nil
}

// Send appends one.
func (m *MailDaemon) Send(payload []byte) error { return m.SendMany([][]byte{payload}) }

// SendMany appends all in one change.
func (m *MailDaemon) SendMany(payloads [][]byte) error {
	return m.change(func(queue []*daemonEnvelope) ([]*daemonEnvelope, error) {
		for _, payload := range payloads {
			envelope := &daemonEnvelope{QueuedAt: time.Now()}
			if err := json.Unmarshal(payload, &envelope.Message); err != nil {
				return nil, err
			}
			queue = append(queue, envelope)
		}
		return queue, nil
	})
}

// Receive takes them out: a crash loses what is in hand.
func (m *MailDaemon) Receive(_ context.Context, max int) ([]Delivery, error) {
	var deliveries []Delivery
	err := m.change(func(queue []*daemonEnvelope) ([]*daemonEnvelope, error) {
		count := min(max, len(queue))
		for _, envelope := range queue[:count] {
			payload, err := json.Marshal(envelope.Message)
			if err != nil {
				return nil, err
			}
			deliveries = append(deliveries, Delivery{Payload: payload})
		}
		return queue[count:], nil
	})
	return deliveries, err
}

// Wait polls.
func (m *MailDaemon) Wait(ctx context.Context, max int) ([]Delivery, error) {
	for {
		deliveries, err := m.Receive(ctx, max)
		if err != nil || len(deliveries) > 0 {
			return deliveries, err
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(daemonPoll):
		}
	}
}

// Ack does nothing: what was received is gone already.
func (m *MailDaemon) Ack([]Delivery) error { return nil }

// Depth is the length of the array.
func (m *MailDaemon) Depth() (int, error) {
	queue, err := m.load()
	return len(queue), err
}

// About tells what it does.
func (m *MailDaemon) About() About {
	return About{
		Version: "the pattern of the mail daemon, " + pinned("golang.org/x/sys") + " of golang.org/x/sys for flock",
		Power:   "not to be had: it never syncs",
		System:  "the array is written to a temporary file and renamed over the queue, without a sync",
		Ack:     "none: a receive takes the messages out, and a crash loses what is in hand",
		Batch:   "one change of the array",
		Wait:    "looks every 100 ms",
		Note:    "it loses messages while several processes run, because the lock file is removed after the unlock: two can then hold it",
	}
}

// Close does nothing: there is nothing open.
func (m *MailDaemon) Close() error { return nil }

// change reads the array, changes and writes it under the lock. An array that stays empty is not written.
func (m *MailDaemon) change(change func([]*daemonEnvelope) ([]*daemonEnvelope, error)) error {
	unlock, err := m.locked()
	if err != nil {
		return err
	}
	defer unlock()
	queue, err := m.load()
	if err != nil {
		return err
	}
	changed, err := change(queue)
	if err != nil || len(changed) == 0 && len(queue) == 0 {
		return err
	}
	return m.store(changed)
}

// locked takes the lock, without waiting in the kernel: again after 10 ms five times, after 50 ms to the tenth attempt,
// then after 100 ms.
func (m *MailDaemon) locked() (unlock func(), err error) {
	until := time.Now().Add(daemonPatience)
	for attempt := 1; ; attempt++ {
		file, err := os.OpenFile(m.lock, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			_ = file.Truncate(0)
			_, _ = fmt.Fprintf(file, "%d\n", os.Getpid())
			return func() {
				_ = unix.Flock(int(file.Fd()), unix.LOCK_UN)
				_ = file.Close()
				_ = os.Remove(m.lock)
			}, nil
		}
		_ = file.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(until) {
			return nil, fmt.Errorf("the lock after %d attempts: %w", attempt, err)
		}
		switch {
		case attempt <= 5:
			time.Sleep(10 * time.Millisecond)
		case attempt <= 10:
			time.Sleep(50 * time.Millisecond)
		default:
			time.Sleep(100 * time.Millisecond)
		}
	}
}

func (m *MailDaemon) load() ([]*daemonEnvelope, error) {
	text, err := os.ReadFile(m.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var queue []*daemonEnvelope
	return queue, json.Unmarshal(text, &queue)
}

func (m *MailDaemon) store(queue []*daemonEnvelope) error {
	text, err := json.MarshalIndent(queue, "", "  ")
	if err != nil {
		return err
	}
	temporary := m.file + ".tmp"
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return err
	}
	err = os.Rename(temporary, m.file)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("somebody else has renamed the temporary file: two held the lock")
	}
	return err
}
