package flockq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// together runs count goroutines and waits for them.
func together(count int, run func(number int)) {
	var all sync.WaitGroup
	for number := range count {
		all.Add(1)
		go func() {
			defer all.Done()
			run(number)
		}()
	}
	all.Wait()
}

// another opens the queue of another one's name and spool by itself.
func another(t *testing.T, spool *Spool) *Queue {
	t.Helper()
	return must[*Queue](t)(must[*Spool](t)(Open(spool.Path(), &Options{Sync: SyncOff})).Queue("inbound"))
}

func TestTenWritersOfTwentyMessages(t *testing.T) {
	spool := open(t)
	together(10, func(writer int) {
		queue := another(t, spool)
		for number := range 20 {
			if _, err := queue.Send(background, map[string]int{"writer": writer, "number": number}, nil); err != nil {
				t.Error(err)
			}
		}
	})
	queue := must[*Queue](t)(spool.Queue("inbound"))
	next := make(map[int]int)
	for _, envelope := range must[[]*Envelope](t)(queue.Peek(background, 1000)) {
		var message struct{ Writer, Number int }
		check(t, envelope.Decode(&message))
		equal(t, message.Number, next[message.Writer])
		next[message.Writer]++
	}
	for writer := range 10 {
		equal(t, next[writer], 20)
	}
	equal(t, length(t, queue), 200)
	equal(t, files(t, spool.Path()), []string{".gastown", "inbound.json"})
}

func TestFiveWritersThatChangeTheArrayAndFiveReaders(t *testing.T) {
	spool := open(t)
	together(10, func(number int) {
		queue := another(t, spool)
		if number >= 5 {
			for seen := 0; seen < 100; {
				array, err := queue.Load(background)
				if err != nil || len(array) < seen {
					t.Errorf("%v: %d after %d", err, len(array), seen)
					return
				}
				seen = len(array)
			}
			return
		}
		for count := range 20 {
			if err := queue.Update(background, func(array []json.RawMessage) ([]json.RawMessage, error) {
				return append(array, json.RawMessage(fmt.Sprintf(`{"message":{"id":"%d-%d"}}`, number, count))), nil
			}); err != nil {
				t.Error(err)
			}
		}
	})
	queue := must[*Queue](t)(spool.Queue("inbound"))
	for writer := range 5 {
		for count := range 20 {
			equal(t, len(must[[]*Envelope](t)(queue.Get(background, fmt.Sprintf("%d-%d", writer, count)))), 1)
		}
	}
	equal(t, length(t, queue), 100)
	equal(t, files(t, spool.Path()), []string{".gastown", "inbound.json"})
}

func TestThreeQueuesAtOnce(t *testing.T) {
	spool := open(t)
	names := []string{"dead-letter", "inbound", "outbound"}
	together(6, func(number int) {
		queue, err := spool.Queue(names[number%3])
		if err != nil {
			t.Error(err)
			return
		}
		for range 30 {
			if _, err := queue.Send(background, queue.Name(), nil); err != nil {
				t.Error(err)
			}
		}
	})
	for _, name := range names {
		queue := must[*Queue](t)(spool.Queue(name))
		equal(t, length(t, queue), 60)
		for _, envelope := range must[[]*Envelope](t)(queue.Peek(background, 100)) {
			equal(t, string(envelope.Payload), `"`+name+`"`)
		}
	}
	equal(t, must[[]string](t)(spool.Queues()), names)
	equal(t, files(t, spool.Path()), []string{".gastown", "dead-letter.json", "inbound.json", "outbound.json"})
}

func TestGoroutinesShareAQueueAndNothingIsLostOrTwice(t *testing.T) {
	queue := inbound(t)
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	var mutex sync.Mutex
	received := make(map[string]int)
	var done sync.WaitGroup
	done.Add(200)
	go together(4, func(number int) {
		for range 50 {
			if _, err := queue.Send(ctx, number, nil); err != nil {
				t.Error(err)
			}
		}
	})
	var receivers sync.WaitGroup
	receivers.Add(1)
	go func() {
		defer receivers.Done()
		together(4, func(int) {
			for {
				delivery, err := queue.Receive(ctx, nil)
				if errors.Is(err, context.Canceled) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if err := delivery.Ack(background); err != nil {
					t.Error(err)
				}
				mutex.Lock()
				received[delivery.ID]++
				mutex.Unlock()
				done.Done()
			}
		})
	}()
	done.Wait()
	cancel()
	receivers.Wait()
	equal(t, len(received), 200)
	equal(t, length(t, queue), 0)
}

func TestAContextEndsAWaitingReceiveAtOnce(t *testing.T) {
	queue := inbound(t)
	var took []time.Duration
	for range 10 {
		ctx, cancel := context.WithCancel(background)
		result := make(chan error)
		go func() {
			_, err := queue.Receive(ctx, nil)
			result <- err
		}()
		time.Sleep(20 * time.Millisecond)
		began := time.Now()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	if took[len(took)/2] > 50*time.Millisecond {
		t.Fatalf("it took %v", took)
	}
	ctx, cancel := context.WithTimeout(background, 30*time.Millisecond)
	defer cancel()
	_, err := queue.Receive(ctx, nil)
	equal(t, errors.Is(err, context.DeadlineExceeded), true)
	_, err = queue.Send(ctx, 1, nil)
	equal(t, errors.Is(err, context.DeadlineExceeded), true)
	equal(t, length(t, queue), 0)
}

func TestTheEndOfOneContextEndsOneWaitOnly(t *testing.T) {
	queue := inbound(t)
	came := make(chan error)
	go func() {
		delivery, err := queue.Receive(background, nil)
		if err == nil {
			err = delivery.Ack(background)
		}
		came <- err
	}()
	for range 5 {
		ctx, cancel := context.WithTimeout(background, 10*time.Millisecond)
		_, err := queue.Receive(ctx, nil)
		cancel()
		equal(t, errors.Is(err, context.DeadlineExceeded), true)
	}
	send(t, queue, "1")
	check(t, <-came)
}

func TestInterruptAndCloseEndEveryWait(t *testing.T) {
	queue := inbound(t)
	for _, end := range []struct {
		how  func()
		code Code
	}{{queue.Interrupt, CodeInterrupted}, {func() { check(t, queue.Close()) }, CodeClosed}} {
		results := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := queue.Receive(background, nil)
				results <- err
			}()
		}
		time.Sleep(50 * time.Millisecond)
		end.how()
		for range 3 {
			wants(t, <-results, end.code)
		}
	}
}

func TestAnInterruptWithoutAWaitEndsTheNext(t *testing.T) {
	queue := inbound(t)
	queue.Interrupt()
	_, err := queue.Receive(background, nil)
	wants(t, err, CodeInterrupted)
	ctx, cancel := context.WithTimeout(background, 20*time.Millisecond)
	defer cancel()
	_, err = queue.Receive(ctx, nil)
	equal(t, errors.Is(err, context.DeadlineExceeded), true)
}

// Run with GOGC=1 as well: what is freed while a call still needs it would show.
func TestHandlesThatNobodyKeepsAreFreedAfterTheirLastCall(t *testing.T) {
	directory := must[string](t)(os.MkdirTemp("", "flockq"))
	// A handle that is freed later still shows its queue in the file.
	t.Cleanup(func() {
		for range 100 {
			runtime.GC()
			if os.RemoveAll(directory) == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Error("the directory is still in use")
	})
	together(4, func(number int) {
		for range 50 {
			spool, err := Open(directory, &Options{Sync: SyncOff})
			if err != nil {
				t.Error(err)
				return
			}
			queue, err := spool.Queue("inbound")
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := queue.Send(background, []byte(fmt.Sprintf(`{"n":%d}`, number)), nil); err != nil {
				t.Error(err)
			}
			delivery, err := queue.TryReceive(background, nil)
			if err != nil || delivery == nil {
				t.Error(delivery, err)
				return
			}
			runtime.GC()
			if err := delivery.Ack(background); err != nil {
				t.Error(err)
			}
		}
	})
	queue := must[*Queue](t)(must[*Spool](t)(Open(directory, nil)).Queue("inbound"))
	equal(t, length(t, queue), 0)
}

func TestALockIsHeldAlsoWhenNobodyMentionsItAnyMore(t *testing.T) {
	path := t.TempDir() + "/daemon"
	if _, err := AcquireFileLock(background, path, nil); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		runtime.GC()
		time.Sleep(20 * time.Millisecond)
	}
	_, err := AcquireFileLock(background, path, &FileLockOptions{Wait: NoWait})
	wants(t, err, CodeLockTimeout)
}

func TestOneLockHolderAtATime(t *testing.T) {
	path := t.TempDir() + "/state.json"
	var inside atomic.Int32
	together(8, func(int) {
		for range 25 {
			lock, err := AcquireFileLock(background, path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if holders := inside.Add(1); holders != 1 {
				t.Errorf("%d hold it", holders)
			}
			runtime.Gosched()
			inside.Add(-1)
			lock.Release()
		}
	})
}
