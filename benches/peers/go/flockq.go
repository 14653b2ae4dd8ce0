package main

import (
	"context"
	"encoding/json"
	"errors"

	flockq "github.com/flockq/flockq/go"
)

// Flockq is this library.
type Flockq struct {
	spool *flockq.Spool
	queue *flockq.Queue
	full  bool
}

func openFlockq(place string, power, full bool) (Peer, error) {
	sync := flockq.SyncOff
	switch {
	case power && full:
		sync = flockq.SyncFull
	case power:
		sync = flockq.SyncNormal
	case full:
		return nil, Unsupported("the same as flockq: it differs in what it syncs")
	}
	spool, err := flockq.Open(place, &flockq.Options{Create: true, Sync: sync})
	if err != nil {
		return nil, err
	}
	queue, err := spool.Queue("inbound")
	if err != nil {
		return nil, err
	}
	return &Flockq{spool: spool, queue: queue, full: full}, nil
}

// Send sends one.
func (f *Flockq) Send(payload []byte) error {
	_, err := f.queue.Send(context.Background(), json.RawMessage(payload), nil)
	return err
}

// SendMany sends all in one commit.
func (f *Flockq) SendMany(payloads [][]byte) error {
	all := make([]any, len(payloads))
	for i, payload := range payloads {
		all[i] = payload
	}
	_, err := f.queue.SendMany(context.Background(), all, nil)
	return err
}

// Receive takes them in one commit.
func (f *Flockq) Receive(ctx context.Context, max int) ([]Delivery, error) {
	return inHand(f.queue.TryReceiveMany(ctx, max, nil))
}

// Wait waits for the first.
func (f *Flockq) Wait(ctx context.Context, max int) ([]Delivery, error) {
	return inHand(f.queue.ReceiveMany(ctx, max, nil))
}

func inHand(taken []*flockq.Delivery, err error) ([]Delivery, error) {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	deliveries := make([]Delivery, len(taken))
	for i, one := range taken {
		deliveries[i] = Delivery{Payload: one.Payload, Receipt: one.Receipt}
	}
	return deliveries, err
}

// Ack removes them in one commit.
func (f *Flockq) Ack(deliveries []Delivery) error {
	receipts := make([]string, len(deliveries))
	for i, delivery := range deliveries {
		receipts[i] = delivery.Receipt
	}
	return f.queue.Ack(context.Background(), receipts...)
}

// Depth is the length of the queue.
func (f *Flockq) Depth() (int, error) { return f.queue.Len(context.Background()) }

// About tells what is synced.
func (f *Flockq) About() About {
	power := "sync normal, the default: every send is on stable storage before it returns; a power cut may forget receives and acks, " +
		"which redelivers and loses nothing"
	if f.full {
		power = "sync full: every commit is on stable storage before the call returns, receives and acks too"
	}
	return About{
		Version: "flockq " + flockq.Version() + ", linked statically (cgo)",
		Power:   power,
		System:  "sync off: nothing is synced but at checkpoints; the death of a process loses nothing",
		Ack:     "Receive takes a lease and counts the attempt in one commit, Ack removes in another",
		Batch:   "SendMany, ReceiveMany and an Ack of many receipts: one commit each",
		Wait:    "Receive with a context: a futex and inotify, no poll",
	}
}

// Close folds the journal of a small queue.
func (f *Flockq) Close() error { return f.spool.Close() }
