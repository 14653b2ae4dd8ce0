package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

const pauseAfterFailure = time.Millisecond

// tolerate counts a call that failed and is to be made again; what is unsupported is no such failure.
func (f *Failures) tolerate(err error) error {
	var unsupported Unsupported
	if err == nil || errors.As(err, &unsupported) {
		return err
	}
	if f.Failed == 0 {
		f.Failure = err.Error()
	}
	f.Failed++
	time.Sleep(pauseAfterFailure)
	return nil
}

func seconds(count float64) time.Duration { return time.Duration(count * float64(time.Second)) }

// send sends messages in order, in one commit each or in batches.
func send(peer Peer, request *Request) (any, error) {
	batch := make([][]byte, max(request.Batch, 1))
	for i := range batch {
		batch[i] = numbered(0)
	}
	var reply Sent
	started := time.Now()
	limit := seconds(request.LimitS)
	for reply.Done < request.Count && time.Since(started) < limit {
		batch = batch[:min(len(batch), request.Count-reply.Done)]
		for i := range batch {
			renumber(batch[i], request.First+reply.Done+i)
		}
		var err error
		if request.Batch > 1 {
			err = peer.SendMany(batch)
		} else {
			err = peer.Send(batch[0])
		}
		if err == nil {
			reply.Done += len(batch)
		} else if err = reply.tolerate(err); err != nil {
			return nil, err
		}
	}
	reply.Seconds = time.Since(started).Seconds()
	return reply, nil
}

// receive receives messages and acks them.
func receive(peer Peer, request *Request) (any, error) {
	var reply Received
	numbers := make([]int, 0, min(request.Count, 1_000_000))
	started := time.Now()
	ctx, cancel := context.WithDeadline(context.Background(), started.Add(seconds(request.LimitS)))
	defer cancel()
	look := peer.Receive
	if request.Wait {
		look = peer.Wait
	}
	for reply.Done < request.Count && ctx.Err() == nil {
		deliveries, err := look(ctx, min(max(request.Batch, 1), request.Count-reply.Done))
		if err == nil && len(deliveries) == 0 {
			// The queue is empty, or the wait is over.
			break
		}
		var came []int
		if err == nil {
			came, err = numbersOf(deliveries)
		}
		if err == nil {
			err = peer.Ack(deliveries)
		}
		if err == nil {
			numbers = append(numbers, came...)
			reply.Done += len(came)
		} else if err = reply.tolerate(err); err != nil {
			return nil, err
		}
	}
	reply.Seconds = time.Since(started).Seconds()
	reply.Ranges, reply.Again = rangesOf(numbers)
	return reply, nil
}

func numbersOf(deliveries []Delivery) ([]int, error) {
	numbers := make([]int, len(deliveries))
	for i, delivery := range deliveries {
		number, err := numberOf(delivery.Payload)
		if err != nil {
			return nil, err
		}
		numbers[i] = number
	}
	return numbers, nil
}

// sendStamped sends messages one at a time, and notes when each send began and when it had returned.
func sendStamped(peer Peer, request *Request) (any, error) {
	reply := SentStamped{BeforeNS: []int64{}, AfterNS: []int64{}}
	for ; reply.Done < request.Count; reply.Done++ {
		time.Sleep(seconds(request.PauseMS / 1000))
		before := nowNS()
		if err := peer.Send(stamped(reply.Done, before)); err != nil {
			return nil, err
		}
		reply.BeforeNS = append(reply.BeforeNS, before)
		reply.AfterNS = append(reply.AfterNS, nowNS())
	}
	return reply, nil
}

// receiveStamped waits for messages, and notes when each was in hand.
func receiveStamped(peer Peer, request *Request) (any, error) {
	reply := ReceivedStamped{Numbers: []int{}, HadNS: []int64{}}
	ctx, cancel := context.WithTimeout(context.Background(), seconds(request.LimitS))
	defer cancel()
	for reply.Done < request.Count && ctx.Err() == nil {
		deliveries, err := peer.Wait(ctx, 1)
		had := nowNS()
		if err != nil {
			return nil, err
		}
		numbers, err := numbersOf(deliveries)
		if err != nil {
			return nil, err
		}
		for _, number := range numbers {
			reply.Numbers = append(reply.Numbers, number)
			reply.HadNS = append(reply.HadNS, had)
		}
		if err := peer.Ack(deliveries); err != nil {
			return nil, err
		}
		reply.Done += len(deliveries)
	}
	return reply, nil
}

// nowNS reads the monotonic clock, which all processes of a machine share.
func nowNS() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return now.Nano()
}
