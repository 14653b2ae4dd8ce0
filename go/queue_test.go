package flockq

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEveryPayloadComesOutAsItWentIn(t *testing.T) {
	queue := inbound(t)
	for _, payload := range []string{
		"null", "0", `""`, "[]", "{}",
		`{ "n": 1.50e+01,	"big": 123456789012345678901234567890, "tiny": 1e-7, "esc": "\u003c" }`,
	} {
		id := send(t, queue, payload)
		delivery := take(t, queue)
		equal(t, delivery.ID, id)
		equal(t, string(delivery.Payload), payload)
		equal[uint64](t, delivery.Attempts, 1)
		equal(t, delivery.Priority, PriorityNormal)
		check(t, delivery.Ack(background))
	}
	type mail struct {
		To string `json:"to"`
	}
	must[string](t)(queue.Send(background, mail{To: "<deacon/>"}, nil))
	var got mail
	delivery := take(t, queue)
	check(t, delivery.Decode(&got))
	equal(t, got, mail{To: "<deacon/>"})
	equal(t, string(delivery.Payload), `{"to":"<deacon/>"}`)
	check(t, delivery.Ack(background))
	equal(t, length(t, queue), 0)
}

func TestEverySendOptionDoesWhatItSays(t *testing.T) {
	queue := inbound(t)
	equal(t, must[string](t)(queue.Send(background, 1, &SendOptions{ID: "a", Priority: PriorityLow})), "a")
	_, err := queue.Send(background, 2, &SendOptions{ID: "a"})
	wants(t, err, CodeAlreadyExists)
	equal(t, must[string](t)(queue.Send(background, 3, &SendOptions{ID: "a", Dedup: true})), "a")
	must[string](t)(queue.Send(background, 4, &SendOptions{ID: "later", Delay: 200 * time.Millisecond}))
	must[string](t)(queue.Send(background, 5, &SendOptions{ID: "urgent", Priority: PriorityUrgent, Sync: SyncFull}))
	equal(t, take(t, queue).ID, "urgent")
	equal(t, take(t, queue).ID, "a")
	if delivery := must[*Delivery](t)(queue.TryReceive(background, nil)); delivery != nil {
		t.Fatalf("%v came before its time", delivery.ID)
	}
	equal(t, must[*Delivery](t)(queue.Receive(background, nil)).ID, "later")
	check(t, queue.Sync(background))
}

func TestManyAreSentInOrderOrNotAtAll(t *testing.T) {
	queue := inbound(t)
	payloads := make([]any, 50)
	for i := range payloads {
		payloads[i] = i
	}
	ids := must[[]string](t)(queue.SendMany(background, payloads, nil))
	deliveries := must[[]*Delivery](t)(queue.ReceiveMany(background, 100, &ReceiveOptions{Lease: time.Minute}))
	equal(t, len(deliveries), 50)
	for i, delivery := range deliveries {
		equal(t, delivery.ID, ids[i])
		equal(t, string(delivery.Payload), fmt.Sprint(i))
	}
	equal(t, len(must[[]string](t)(queue.SendMany(background, nil, nil))), 0)
	equal(t, len(must[[]*Delivery](t)(queue.TryReceiveMany(background, 3, nil))), 0)
}

func TestEveryWayToSettle(t *testing.T) {
	queue := inbound(t)
	send(t, queue, `"m"`)
	first := take(t, queue)
	check(t, first.Nack(background, &NackOptions{Reason: "no such agent"}))
	wants(t, first.Ack(background), CodeStaleReceipt)
	equal(t, must[[]*Envelope](t)(queue.Peek(background, 1))[0].Reason, "no such agent")

	second := must[*Delivery](t)(queue.TryReceive(background, &ReceiveOptions{Lease: time.Second}))
	equal[uint64](t, second.Attempts, 2)
	check(t, second.Extend(background, time.Hour))
	time.Sleep(1100 * time.Millisecond)
	check(t, second.Detach(background))
	check(t, second.Nack(background, &NackOptions{Delay: time.Hour}))
	equal(t, must[Stats](t)(queue.Stats(background)).Delayed, 1)
	equal(t, must[int](t)(queue.Purge(background, StateAny)), 1)
}

func TestAnUpdateChangesWhatItNames(t *testing.T) {
	queue := inbound(t)
	late := &SendOptions{ID: "a", Delay: time.Hour, TTL: 2 * time.Hour}
	must[string](t)(queue.Send(background, 1, late))
	update := func(update MessageUpdate) int {
		return must[int](t)(queue.UpdateMessage(background, "a", &update))
	}
	equal(t, update(MessageUpdate{Payload: json.RawMessage(`{ "n":1e-7}`)}), 1)
	now := must[[]*Envelope](t)(queue.Get(background, "a"))[0]
	equal(t, string(now.Payload), `{ "n":1e-7}`)
	equal(t, now.State, StateDelayed)
	equal(t, now.Expires != "", true)
	equal(t, update(MessageUpdate{Priority: PriorityUrgent, Delay: NoWait, TTL: Forever}), 1)
	now = must[[]*Envelope](t)(queue.Get(background, "a"))[0]
	equal(t, now.State, StateReady)
	equal(t, now.Priority, PriorityUrgent)
	equal(t, now.Expires, "")
	equal(t, must[int](t)(queue.UpdateMessage(background, "nobody", &MessageUpdate{Priority: PriorityLow})), 0)
	for _, nothing := range []*MessageUpdate{nil, {}, {Delay: -2}, {TTL: NoWait}} {
		_, err := queue.UpdateMessage(background, "a", nothing)
		wants(t, err, CodeInvalidArgument)
	}
	for _, payload := range []any{[]byte{}, json.RawMessage("{"), make(chan int)} {
		_, err := queue.UpdateMessage(background, "a", &MessageUpdate{Payload: payload, Priority: PriorityLow})
		wants(t, err, CodeInvalidJson)
	}
}

func TestAListOfReceiptsTellsWhichWereStale(t *testing.T) {
	queue := inbound(t)
	must[[]string](t)(queue.SendMany(background, []any{1, 2, 3}, nil))
	all := must[[]*Delivery](t)(queue.TryReceiveMany(background, 3, nil))
	check(t, all[0].Ack(background))
	err := queue.Ack(background, all[0].Receipt, all[1].Receipt, "nonsense", all[2].Receipt)
	equal(t, errors.Is(err, ErrStaleReceipt), true)
	equal(t, errors.Is(err, ErrInvalidArgument), true)
	var one *ReceiptError
	equal(t, errors.As(err, &one), true)
	equal(t, one.Index, 0)
	equal(t, one.Receipt, all[0].Receipt)
	equal(t, length(t, queue), 0)
	check(t, queue.Ack(background))
}

func TestALeaseEnds(t *testing.T) {
	queue := inbound(t)
	send(t, queue, "1")
	first := must[*Delivery](t)(queue.TryReceive(background, &ReceiveOptions{Lease: 100 * time.Millisecond}))
	second := must[*Delivery](t)(queue.Receive(background, nil))
	equal(t, second.ID, first.ID)
	equal[uint64](t, second.Attempts, 2)
	wants(t, first.Extend(background, time.Minute), CodeStaleReceipt)
	check(t, second.Ack(background))
}

func TestEveryLook(t *testing.T) {
	spool := open(t)
	queue := must[*Queue](t)(spool.Queue("inbound"))
	equal(t, queue.Name(), "inbound")
	equal(t, must[Stats](t)(queue.Stats(background)).OldestAge < 0, true)
	equal(t, len(must[[]string](t)(spool.Queues())), 0)
	payloads := make([]any, 25)
	ids := must[[]string](t)(queue.SendMany(background, payloads, nil))
	leased := take(t, queue)
	var listed []string
	for cursor, pages := "", 0; ; pages++ {
		page, next, err := queue.List(background, &ListOptions{Limit: 10, Cursor: cursor})
		check(t, err)
		for _, envelope := range page {
			listed = append(listed, envelope.ID)
		}
		if next == "" {
			equal(t, pages, 2)
			break
		}
		cursor = next
	}
	equal(t, listed, ids)
	page, _, err := queue.List(background, &ListOptions{State: StateLeased})
	check(t, err)
	equal(t, len(page), 1)
	equal(t, page[0].State, StateLeased)
	equal(t, page[0].LeaseUntil != "" && page[0].Consumer != "" && page[0].LastAttempt != "", true)
	equal(t, must[[]*Envelope](t)(queue.Get(background, leased.ID))[0].ID, leased.ID)
	equal(t, len(must[[]*Envelope](t)(queue.Get(background, "nobody"))), 0)
	stats := must[Stats](t)(queue.Stats(background))
	equal(t, []uint64{stats.Messages, stats.Ready, stats.Delayed, stats.Leased}, []uint64{25, 24, 0, 1})
	equal(t, stats.OldestAge >= 0 && stats.OldestAge < time.Minute && stats.Bytes > 0, true)
	equal(t, must[int](t)(queue.Remove(background, ids[3], ids[4], "nobody")), 2)
	equal(t, must[int](t)(queue.Purge(background, StateReady)), 22)
	popped := must[*Envelope](t)(queue.Pop(background))
	equal(t, popped == nil, true)
	send(t, queue, `{"to":"x"}`)
	equal(t, string(must[*Envelope](t)(queue.Pop(background)).Payload), `{"to":"x"}`)
	equal(t, must[[]string](t)(spool.Queues()), []string{"inbound"})
}

func TestEveryChangeOfTheWholeArrayKeepsTheBytes(t *testing.T) {
	spool := open(t)
	queue := must[*Queue](t)(spool.Queue("inbound"))
	kept := `{ "message": {"big": 123456789012345678901, "esc": "\u003c"}, "odd": [ 1 ] }`
	write(t, spool.Path(), "inbound.json", "["+kept+`, {"message": 2}]`)
	array := must[[]json.RawMessage](t)(queue.Load(background))
	equal(t, string(array[0]), kept)
	check(t, queue.Save(background, append(array, json.RawMessage(`{"message":3}`))))
	check(t, queue.Update(background, func(array []json.RawMessage) ([]json.RawMessage, error) {
		equal(t, len(array), 3)
		_, err := queue.Len(background)
		wants(t, err, CodeWouldDeadlock)
		return append(array, json.RawMessage(`{"message":4}`)), nil
	}))
	equal(t, length(t, queue), 4)
	before := read(t, spool.Path(), "inbound.json")
	equal(t, strings.Contains(before, kept), true)
	refusal := errors.New("no")
	err := queue.Update(background, func([]json.RawMessage) ([]json.RawMessage, error) { return nil, refusal })
	equal(t, err, refusal)
	err = queue.Update(background, func([]json.RawMessage) ([]json.RawMessage, error) {
		return []json.RawMessage{json.RawMessage("{")}, nil
	})
	wants(t, err, CodeInvalidJson)
	func() {
		defer func() { equal(t, recover(), any("in the change")) }()
		_ = queue.Update(background, func([]json.RawMessage) ([]json.RawMessage, error) { panic("in the change") })
	}()
	equal(t, read(t, spool.Path(), "inbound.json"), before)
	send(t, queue, "5")
}

func TestInitWritesTheConfigurationOnce(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "new")
	check(t, Init(directory, &InitOptions{Plain: true, Sync: SyncNormal}))
	check(t, Init(directory, &InitOptions{Plain: true, Sync: SyncNormal}))
	wants(t, Init(directory, &InitOptions{Plain: true, Sync: SyncOff}), CodeAlreadyExists)
	equal(t, strings.Contains(read(t, directory, "flockq.json"), `"normal"`), true)
	other := t.TempDir()
	check(t, Init(other, &InitOptions{LockDir: "locks"}))
	queue := must[*Queue](t)(must[*Spool](t)(Open(other, nil)).Queue("inbound"))
	send(t, queue, "1")
	equal(t, strings.Join(files(t, filepath.Join(other, "locks")), " "), "flockq.json.lock flockq.json.wake inbound.json.guard inbound.json.lock inbound.json.wake")
}

func TestWriteAtomicReplacesTheWhole(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "state.json")
	check(t, WriteAtomic(path, []byte("one")))
	check(t, os.Chmod(path, 0o640))
	check(t, WriteAtomic(path, []byte("two")))
	equal(t, read(t, directory, "state.json"), "two")
	equal(t, must[os.FileInfo](t)(os.Stat(path)).Mode().Perm(), os.FileMode(0o640))
	equal(t, files(t, directory), []string{"state.json"})
	equal(t, Version() != "", true)
}
