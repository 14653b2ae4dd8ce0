// A day of a mail daemon: it delivers what is in inbound, the urgent first; what fails waits in outbound and comes back; what
// fails three times goes to dead-letter; when the fault is mended, it is sent back and delivered.
//
//	go run ./examples/mail_daemon DIRECTORY [BACKOFF_MS]
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	flockq "github.com/flockq/flockq/go"
)

type mail struct {
	To       string `json:"to"`
	Priority string `json:"priority"`
}

func main() {
	directory, backoff := "mail-queues", time.Second
	if len(os.Args) > 1 {
		directory = os.Args[1]
	}
	if len(os.Args) > 2 {
		ms, err := strconv.Atoi(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		backoff = time.Duration(ms) * time.Millisecond
	}
	if err := day(context.Background(), directory, backoff); err != nil {
		log.Fatal(err)
	}
}

func day(ctx context.Context, directory string, backoff time.Duration) error {
	spool, err := flockq.Mail(directory, nil)
	if err != nil {
		return err
	}
	defer spool.Close()
	if err := spool.SetConfig("inbound.backoff", fmt.Sprintf("%dms", backoff.Milliseconds())); err != nil {
		return err
	}
	inbound, err := spool.Queue("inbound")
	if err != nil {
		return err
	}
	deadLetter, err := spool.Queue("dead-letter")
	if err != nil {
		return err
	}

	// Nobody is there to take the mail of this address.
	if err := errors.Join(deliverAll(ctx, inbound, 2*backoff, "mayor/"), stand(ctx, spool)); err != nil {
		return err
	}

	// Now somebody is: what was given up for that reason starts again.
	redriven, err := deadLetter.Redrive(ctx, &flockq.Filter{Error: "no session"}, false)
	if err != nil {
		return err
	}
	fmt.Println("redriven", len(redriven))
	return errors.Join(deliverAll(ctx, inbound, 2*backoff, "nobody"), stand(ctx, spool))
}

// deliverAll delivers until nothing has come for so long.
func deliverAll(ctx context.Context, inbound *flockq.Queue, patience time.Duration, nobodyAt string) error {
	for {
		delivery, err := receive(ctx, inbound, patience)
		if delivery == nil || err != nil {
			return err
		}
		message := mail{Priority: "normal"}
		if err := delivery.Decode(&message); err != nil {
			return err
		}
		if message.To == nobodyAt {
			fmt.Println("failed", delivery.Attempts, message.Priority, delivery.ID)
			err = delivery.Nack(ctx, &flockq.NackOptions{Reason: "no session for " + message.To})
		} else {
			fmt.Println("ok", delivery.Attempts, message.Priority, delivery.ID)
			err = delivery.Ack(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// receive waits for so long; nothing is nil.
func receive(ctx context.Context, inbound *flockq.Queue, patience time.Duration) (*flockq.Delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	delivery, err := inbound.Receive(ctx, nil)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	return delivery, err
}

func stand(ctx context.Context, spool *flockq.Spool) error {
	for _, name := range []string{"inbound", "outbound", "dead-letter"} {
		queue, err := spool.Queue(name)
		if err != nil {
			return err
		}
		count, err := queue.Len(ctx)
		if err != nil {
			return err
		}
		fmt.Println(name, count)
	}
	return nil
}
