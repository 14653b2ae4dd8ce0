package flockq_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	flockq "github.com/flockq/flockq/go"
)

func directory() string {
	directory, err := os.MkdirTemp("", "flockq-example-")
	if err != nil {
		log.Fatal(err)
	}
	return directory
}

func Example() {
	ctx := context.Background()
	mail := directory()
	defer os.RemoveAll(mail)
	spool, err := flockq.Open(mail, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer spool.Close()
	inbound, err := spool.Queue("inbound")
	if err != nil {
		log.Fatal(err)
	}
	if _, err = inbound.Send(ctx, map[string]string{"to": "deacon/"}, nil); err != nil {
		log.Fatal(err)
	}
	delivery, err := inbound.Receive(ctx, &flockq.ReceiveOptions{Lease: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(delivery.Attempts, string(delivery.Payload))
	if err = delivery.Ack(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: 1 {"to":"deacon/"}
}

func ExampleQueue_Update() {
	ctx := context.Background()
	mail := directory()
	defer os.RemoveAll(mail)
	spool, err := flockq.Open(mail, nil)
	if err != nil {
		log.Fatal(err)
	}
	inbound, err := spool.Queue("inbound")
	if err != nil {
		log.Fatal(err)
	}
	err = inbound.Update(ctx, func(array []json.RawMessage) ([]json.RawMessage, error) {
		return append(array, json.RawMessage(`{"message":{"to":"mayor/"},"attempts":0}`)), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	n, err := inbound.Len(ctx)
	fmt.Println(n, err)
	// Output: 1 <nil>
}

func ExampleDelivery_Nack() {
	ctx := context.Background()
	mail := directory()
	defer os.RemoveAll(mail)
	spool, err := flockq.Open(mail, nil)
	if err != nil {
		log.Fatal(err)
	}
	inbound, err := spool.Queue("inbound")
	if err != nil {
		log.Fatal(err)
	}
	if _, err = inbound.Send(ctx, "hello", nil); err != nil {
		log.Fatal(err)
	}
	delivery, err := inbound.Receive(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err = delivery.Nack(ctx, &flockq.NackOptions{Reason: "no such agent", Delay: time.Minute}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(errors.Is(delivery.Ack(ctx), flockq.ErrStaleReceipt))
	envelopes, _, err := inbound.List(ctx, &flockq.ListOptions{State: flockq.StateDelayed})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(envelopes[0].State, envelopes[0].Reason)
	// Output:
	// true
	// delayed no such agent
}

func ExampleAcquireFileLock() {
	mail := directory()
	defer os.RemoveAll(mail)
	path := filepath.Join(mail, "state.json")
	lock, err := flockq.AcquireFileLock(context.Background(), path, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Release()
	if err = flockq.WriteAtomic(path, []byte(`{"seen": 1}`)); err != nil {
		log.Fatal(err)
	}
	_, err = flockq.AcquireFileLock(context.Background(), path, &flockq.FileLockOptions{Wait: flockq.NoWait})
	fmt.Println(errors.Is(err, flockq.ErrLockTimeout))
	// Output: true
}
