package flockq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func mail(t *testing.T) *Spool {
	t.Helper()
	spool := must[*Spool](t)(Mail(t.TempDir(), &Options{Sync: SyncOff}))
	check(t, spool.SetConfig("inbound.backoff", "20ms"))
	return spool
}

func TestAWorkerSettlesWhatItIsGivenAndWhatFailsIsGivenUp(t *testing.T) {
	spool := mail(t)
	inbound, dead := must[*Queue](t)(spool.Queue("inbound")), must[*Queue](t)(spool.Queue("dead-letter"))
	for _, id := range []string{"good", "bad"} {
		must[string](t)(inbound.Send(background, id, &SendOptions{ID: id}))
	}
	ctx, cancel := context.WithCancel(background)
	var seen []string
	done := make(chan error)
	go func() {
		done <- inbound.Work(ctx, func(_ context.Context, d *Delivery) error {
			seen = append(seen, d.ID)
			if d.ID == "bad" {
				return errors.New("no session")
			}
			return nil
		}, nil)
	}()
	for deadline := time.Now().Add(20 * time.Second); length(t, dead) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("nothing was given up")
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	check(t, <-done)
	slices.Sort(seen)
	equal(t, slices.Equal(seen, []string{"bad", "bad", "bad", "good"}), true)
	redriven := must[[]Redriven](t)(dead.Redrive(background, &Filter{Error: "session"}, true))
	equal(t, redriven[0], Redriven{ID: "bad", To: "inbound"})
	must[[]Redriven](t)(dead.Redrive(background, nil, false))
	moved := must[[]string](t)(inbound.MoveTo(background, "archive", &Filter{IDs: []string{"bad"}, Limit: 1}))
	equal(t, moved[0], "bad")
	equal(t, length(t, inbound), 0)
}

func TestALeaseIsKeptWhileSomebodyWorks(t *testing.T) {
	queue := must[*Queue](t)(mail(t).Queue("inbound"))
	must[string](t)(queue.Send(background, "long", nil))
	lease := 300 * time.Millisecond
	delivery := must[*Delivery](t)(queue.TryReceive(background, &ReceiveOptions{Lease: lease}))
	stop := must[func()](t)(queue.Keep(delivery.Receipt, lease))
	time.Sleep(800 * time.Millisecond)
	if other := must[*Delivery](t)(queue.TryReceive(background, nil)); other != nil {
		t.Fatal("the lease was lost")
	}
	stop()
	check(t, delivery.Ack(background))
}

func TestTheConfigurationIsObeyedAtOnce(t *testing.T) {
	spool := mail(t)
	queue := must[*Queue](t)(spool.Queue("inbound"))
	must[string](t)(queue.Send(background, 1, nil))
	check(t, spool.SetConfig("inbound.max_messages", "1"))
	_, err := queue.Send(background, 2, nil)
	wants(t, err, CodeFull)
	wants(t, spool.SetConfig("inbound.attempts", "0"), CodeInvalidArgument)
	shown := must[[]byte](t)(func() ([]byte, error) { all, err := spool.Config(); return all, err }())
	equal(t, len(shown) > 0, true)
}

func TestAHandlerThatPanicsLetsItsMessageGo(t *testing.T) {
	queue := inbound(t)
	must[string](t)(queue.Send(background, "1", nil))
	func() {
		defer func() { equal(t, recover(), any("broken")) }()
		_ = queue.Work(background, func(context.Context, *Delivery) error { panic("broken") }, &WorkOptions{Lease: 300 * time.Millisecond})
	}()
	ctx, cancel := context.WithTimeout(background, 20*time.Second)
	defer cancel()
	again := must[*Delivery](t)(queue.Receive(ctx, nil))
	equal(t, again.Attempts, 2)
}

func TestWhatAHandlerHasHandedOnIsLeftAsItIs(t *testing.T) {
	queue := inbound(t)
	must[string](t)(queue.Send(background, "1", nil))
	var receipt string
	check(t, queue.Work(background, func(_ context.Context, d *Delivery) error {
		receipt = d.Receipt
		queue.Interrupt()
		return d.Detach(background)
	}, nil))
	equal(t, length(t, queue), 1)
	check(t, queue.Ack(background, receipt))
}

func TestAnInterruptEndsEveryWorkerOfAHandle(t *testing.T) {
	queue := inbound(t)
	must[string](t)(queue.Send(background, "1", nil))
	told, goOn := make(chan string, 4), make(chan struct{})
	for range 2 {
		go func() {
			err := queue.Work(background, func(context.Context, *Delivery) error {
				told <- "works"
				<-goOn
				return nil
			}, nil)
			told <- fmt.Sprint("ended ", err)
		}()
	}
	wait := func(want string) {
		t.Helper()
		select {
		case got := <-told:
			equal(t, got, want)
		case <-time.After(20 * time.Second):
			queue.Interrupt()
			t.Fatal("nothing was told, not that it " + want)
		}
	}
	wait("works")
	// Until the other one sleeps.
	time.Sleep(200 * time.Millisecond)
	queue.Interrupt()
	wait("ended <nil>")
	close(goOn)
	wait("ended <nil>")
	// The interrupt is used up.
	must[string](t)(queue.Send(background, "2", nil))
	must[*Delivery](t)(queue.Receive(background, nil))
}

func TestAnEmptyListOfIdsMovesNothing(t *testing.T) {
	queue := inbound(t)
	must[string](t)(queue.Send(background, "1", nil))
	for _, moved := range []struct {
		ids  []string
		want int
	}{{[]string{}, 0}, {nil, 1}} {
		ids := must[[]string](t)(queue.MoveTo(background, "archive", &Filter{IDs: moved.ids}))
		equal(t, len(ids), moved.want)
	}
}

func TestAKeeperMayBeStoppedTwice(t *testing.T) {
	queue := inbound(t)
	must[string](t)(queue.Send(background, "1", nil))
	delivery := must[*Delivery](t)(queue.TryReceive(background, nil))
	stop := must[func()](t)(queue.Keep(delivery.Receipt, time.Minute))
	stop()
	stop()
	check(t, delivery.Ack(background))
}

func TestWhateverAnErrorSaysItsMessageIsGivenUpAndTheWorkerGoesOn(t *testing.T) {
	spool := mail(t)
	inbound, dead := must[*Queue](t)(spool.Queue("inbound")), must[*Queue](t)(spool.Queue("dead-letter"))
	fails := map[string]struct{ says, reason string }{
		"silent": {"", "*errors.errorString"},
		"latin1": {"caf\xe9", "caf\uFFFD"},
	}
	for id := range fails {
		must[string](t)(inbound.Send(background, 1, &SendOptions{ID: id}))
	}
	ctx, cancel := context.WithTimeout(background, 20*time.Second)
	defer cancel()
	seen := make(map[string]int)
	check(t, inbound.Work(ctx, func(_ context.Context, d *Delivery) error {
		if seen[d.ID]++; d.ID == "good" {
			cancel()
			return nil
		}
		if d.Attempts == 3 && seen["silent"] == 3 && seen["latin1"] == 3 {
			must[string](t)(inbound.Send(background, 1, &SendOptions{ID: "good"}))
		}
		return errors.New(fails[d.ID].says)
	}, nil))
	equal(t, seen, map[string]int{"silent": 3, "latin1": 3, "good": 1})
	for id, failed := range fails {
		envelope := must[[]*Envelope](t)(dead.Get(background, id))[0]
		equal(t, envelope.Reason, failed.reason)
		equal(t, len(envelope.Errors), 3)
	}
	equal(t, length(t, inbound), 0)
}

// endsUnheard is a context that has ended when it is looked at again, and tells nobody.
type endsUnheard struct {
	context.Context
	looks int
}

func (c *endsUnheard) Err() error {
	if c.looks++; c.looks > 1 {
		return context.Canceled
	}
	return nil
}

func TestWhatFailsIsToldAlsoWhenTheContextEndsMeanwhile(t *testing.T) {
	spool := open(t)
	queue := must[*Queue](t)(spool.Queue("inbound"))
	write(t, spool.Path(), "inbound.json", "[")
	handler := func(context.Context, *Delivery) error { return errors.New("there is nothing") }
	wants(t, queue.Work(&endsUnheard{Context: background}, handler, nil), CodeCorrupt)
}

// whenItIsOver is a context that does something when a wait does not listen to it any more.
type whenItIsOver struct {
	context.Context
	do func()
}

func (c whenItIsOver) Done() <-chan struct{} { return make(chan struct{}) }

func (c whenItIsOver) AfterFunc(func()) func() bool {
	return func() bool { c.do(); return true }
}

func TestAQueueThatIsClosedBetweenAReceiveAndItsHandlerEndsTheWorker(t *testing.T) {
	queue := inbound(t)
	send(t, queue, "1")
	ctx := whenItIsOver{background, func() { check(t, queue.Close()) }}
	check(t, queue.Work(ctx, func(context.Context, *Delivery) error { return errors.New("it was closed") }, nil))
}

func TestAHandlerThatStopsBecauseItIsToldToHasNotFailed(t *testing.T) {
	queue := must[*Queue](t)(mail(t).Queue("inbound"))
	must[string](t)(queue.Send(background, "long", nil))
	ctx, cancel := context.WithCancel(background)
	handler := func(ctx context.Context, _ *Delivery) error {
		cancel()
		<-ctx.Done()
		return fmt.Errorf("delivering: %w", ctx.Err())
	}
	check(t, queue.Work(ctx, handler, nil))
	delivery := must[*Delivery](t)(queue.TryReceive(background, nil))
	equal(t, delivery.Attempts, uint64(2))
	envelope := must[[]*Envelope](t)(queue.Get(background, delivery.ID))[0]
	equal(t, envelope.Reason, "")
}
