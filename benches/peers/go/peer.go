package main

import (
	"context"
	"runtime/debug"
)

// A Peer is one way to keep a queue, used as its own documentation recommends.
type Peer interface {
	Send(payload []byte) error
	// SendMany sends all in one commit, or in what the peer has for it.
	SendMany(payloads [][]byte) error
	// Receive takes up to max messages; none when nothing is there.
	Receive(ctx context.Context, max int) ([]Delivery, error)
	// Wait is Receive that waits for the first; none when ctx has ended.
	Wait(ctx context.Context, max int) ([]Delivery, error)
	// Ack removes what was received: a step of its own, or nothing where there is no such step.
	Ack(deliveries []Delivery) error
	// Depth is how many messages there are, in hand or not.
	Depth() (int, error)
	About() About
	Close() error
}

// A Delivery is a message in hand.
type Delivery struct {
	Payload []byte
	// Receipt is what the peer acks it by.
	Receipt string
}

// About is how a peer is used here, for the page.
type About struct {
	Version string `json:"version"`
	Power   string `json:"power"`
	System  string `json:"system"`
	Ack     string `json:"ack"`
	Batch   string `json:"batch"`
	Wait    string `json:"wait"`
	Note    string `json:"note"`
}

// Unsupported is what a peer cannot do at all, and why.
type Unsupported string

func (why Unsupported) Error() string { return string(why) }

// pinned returns the version of a module that is linked.
func pinned(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, one := range info.Deps {
			if one.Path == module {
				return one.Version
			}
		}
	}
	return "of an unknown version"
}
