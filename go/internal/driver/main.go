// Driver answers requests on standard input, one JSON object a line, with replies on standard output. The requests are
// the same in every language.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	flockq "github.com/flockq/flockq/go"
)

type request struct {
	Op                string   `json:"op"`
	Dir               string   `json:"dir"`
	Create            bool     `json:"create"`
	Sync              string   `json:"sync"`
	To                string   `json:"to"`
	LockWait          string   `json:"lock_wait"`
	LockWaitMs        *int64   `json:"lock_wait_ms"`
	AllowUnverifiedFS bool     `json:"allow_unverified_fs"`
	Plain             bool     `json:"plain"`
	LockDir           string   `json:"lock_dir"`
	Queue             string   `json:"queue"`
	Payload           string   `json:"payload"`
	PayloadHex        *string  `json:"payload_hex"`
	Payloads          []string `json:"payloads"`
	ID                string   `json:"id"`
	IDs               []string `json:"ids"`
	Priority          string   `json:"priority"`
	DelayMs           int64    `json:"delay_ms"`
	TTLMs             int64    `json:"ttl_ms"`
	Mail              bool     `json:"mail"`
	Setting           string   `json:"setting"`
	Value             string   `json:"value"`
	DryRun            bool     `json:"dry_run"`
	Dedup             bool     `json:"dedup"`
	LeaseMs           int64    `json:"lease_ms"`
	WaitMs            *int64   `json:"wait_ms"`
	Wait              string   `json:"wait"`
	Detached          bool     `json:"detached"`
	Max               int      `json:"max"`
	Count             int      `json:"count"`
	Receipts          []string `json:"receipts"`
	Receipt           string   `json:"receipt"`
	Error             string   `json:"error"`
	State             string   `json:"state"`
	Limit             int      `json:"limit"`
	Cursor            string   `json:"cursor"`
	Array             string   `json:"array"`
	Append            string   `json:"append"`
	Path              string   `json:"path"`
	Shared            bool     `json:"shared"`
	Text              string   `json:"text"`
}

// change is a transaction in progress: Update runs in a goroutine that waits for what comes next.
type change struct {
	next chan func([]json.RawMessage) ([]json.RawMessage, error)
	done chan error
}

type driver struct {
	spool      *flockq.Spool
	queues     map[string]*flockq.Queue
	deliveries map[string]*flockq.Delivery
	changes    map[string]*change
	locks      map[string]*flockq.FileLock
}

var (
	ctx          = context.Background()
	errRollback  = errors.New("rolled back")
	errNotThere  = &flockq.Error{Code: flockq.CodeInvalidArgument, Message: "the driver has no such thing"}
	syncs        = map[string]flockq.Sync{"": flockq.SyncDefault, "full": flockq.SyncFull, "normal": flockq.SyncNormal, "off": flockq.SyncOff}
	unknownValue = uint32(99)
)

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func lockWait(name string, n *int64) time.Duration {
	switch {
	case name == "no_wait":
		return flockq.NoWait
	case name == "forever":
		return flockq.Forever
	case n != nil:
		return ms(*n)
	}
	return 0
}

func sync(name string) flockq.Sync {
	if known, ok := syncs[name]; ok {
		return known
	}
	return flockq.Sync(unknownValue)
}

func priority(name string) flockq.Priority {
	for p := flockq.PriorityUrgent; p <= flockq.PriorityLow; p++ {
		if p.String() == name {
			return p
		}
	}
	if name == "" {
		return flockq.PriorityDefault
	}
	return flockq.Priority(unknownValue)
}

func mode(name string) flockq.Mode {
	return map[string]flockq.Mode{"plain": flockq.ModePlain, "journal": flockq.ModeJournal}[name]
}

func state(name string) flockq.State {
	for s := flockq.StateReady; s <= flockq.StateLeased; s++ {
		if s.String() == name {
			return s
		}
	}
	if name == "" {
		return flockq.StateAny
	}
	return flockq.State(unknownValue)
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func envelope(e *flockq.Envelope) map[string]any {
	return map[string]any{
		"id": orNull(e.ID), "state": e.State.String(), "priority": e.Priority.String(), "attempts": e.Attempts, "error": orNull(e.Reason),
		"queued_at": orNull(e.QueuedAt), "last_attempt": orNull(e.LastAttempt), "not_before": orNull(e.NotBefore),
		"lease_until": orNull(e.LeaseUntil), "consumer": orNull(e.Consumer), "payload": string(e.Payload),
		"from": orNull(e.Origin), "expires": orNull(e.Expires), "errors": errorsOf(e),
	}
}

// errorsOf tells the history of errors as the text that the file has.
func errorsOf(e *flockq.Envelope) any {
	if e.Errors == nil {
		return nil
	}
	text, _ := json.Marshal(e.Errors)
	return string(text)
}

func envelopes(all []*flockq.Envelope) []any {
	told := make([]any, len(all))
	for i, e := range all {
		told[i] = envelope(e)
	}
	return told
}

func (d *driver) delivery(delivery *flockq.Delivery) any {
	if delivery == nil {
		return nil
	}
	d.deliveries[delivery.Receipt] = delivery
	return map[string]any{"id": delivery.ID, "receipt": delivery.Receipt, "attempts": delivery.Attempts, "payload": string(delivery.Payload)}
}

// settled turns the joined error of a settlement into a result per receipt.
func settled(receipts []string, err error) (any, error) {
	results := make([]any, len(receipts))
	if err == nil {
		return results, nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil, err
	}
	for _, wrong := range joined.Unwrap() {
		var failed *flockq.ReceiptError
		if errors.As(wrong, &failed) {
			results[failed.Index] = flockq.CodeOf(failed).String()
		}
	}
	return results, nil
}

func (d *driver) answer(r *request) (any, error) {
	switch r.Op {
	case "open":
		open := flockq.Open
		if r.Mail {
			open = flockq.Mail
		}
		spool, err := open(r.Dir, &flockq.Options{
			Create: r.Create, Sync: sync(r.Sync), LockWait: lockWait(r.LockWait, r.LockWaitMs), AllowUnverifiedFS: r.AllowUnverifiedFS,
		})
		if err != nil {
			return nil, err
		}
		d.spool, d.queues = spool, map[string]*flockq.Queue{}
		return nil, nil
	case "init":
		return nil, flockq.Init(r.Dir, &flockq.InitOptions{Plain: r.Plain, LockDir: r.LockDir, Sync: sync(r.Sync)})
	case "pid":
		return os.Getpid(), nil
	case "errors":
		table := []any{}
		for code := flockq.CodeInvalidArgument; code.String() != ""; code++ {
			table = append(table, []any{int(code), code.String()})
		}
		return table, nil
	case "lock":
		lock, err := flockq.AcquireFileLock(ctx, r.Path, &flockq.FileLockOptions{Shared: r.Shared, Wait: lockWait(r.Wait, r.WaitMs)})
		if err == nil {
			d.locks[r.Path] = lock
		}
		return nil, err
	case "unlock":
		if lock := d.locks[r.Path]; lock != nil {
			lock.Release()
			delete(d.locks, r.Path)
		}
		return nil, nil
	case "write_atomic":
		return nil, flockq.WriteAtomic(r.Path, []byte(r.Text))
	}
	if d.spool == nil {
		return nil, errNotThere
	}
	switch r.Op {
	case "close":
		return nil, d.spool.Close()
	case "config":
		return d.spool.Config()
	case "set_config":
		return nil, d.spool.SetConfig(r.Setting, r.Value)
	case "metrics":
		return d.spool.Metrics()
	case "write_metrics":
		return nil, d.spool.WriteMetrics(r.Path)
	case "doctor":
		return d.spool.Doctor()
	case "queues":
		names, err := d.spool.Queues()
		if names == nil {
			names = []string{}
		}
		return names, err
	}
	queue := d.queues[r.Queue]
	if queue == nil {
		opened, err := d.spool.Queue(r.Queue)
		if err != nil {
			return nil, err
		}
		queue, d.queues[r.Queue] = opened, opened
	}
	return d.onQueue(queue, r)
}

func sendOptions(r *request) *flockq.SendOptions {
	options := &flockq.SendOptions{
		ID: r.ID, Priority: priority(r.Priority), Delay: ms(r.DelayMs), TTL: ms(r.TTLMs), Dedup: r.Dedup, Sync: sync(r.Sync),
	}
	if r.WaitMs != nil {
		options.Wait = ms(*r.WaitMs)
	}
	return options
}

func messageUpdate(r *request) *flockq.MessageUpdate {
	update := &flockq.MessageUpdate{Priority: priority(r.Priority), Delay: ms(r.DelayMs), TTL: ms(r.TTLMs)}
	if r.Payload != "" {
		update.Payload = json.RawMessage(r.Payload)
	}
	if r.DelayMs < 0 {
		update.Delay = flockq.NoWait
	}
	if r.TTLMs < 0 {
		update.TTL = flockq.Forever
	}
	return update
}

func filter(r *request) *flockq.Filter {
	return &flockq.Filter{IDs: r.IDs, State: state(r.State), Error: r.Error, Limit: r.Limit}
}

func (d *driver) onQueue(queue *flockq.Queue, r *request) (any, error) {
	switch r.Op {
	case "send":
		payload := []byte(r.Payload)
		if r.PayloadHex != nil {
			payload, _ = hex.DecodeString(*r.PayloadHex)
		}
		return queue.Send(ctx, payload, sendOptions(r))
	case "send_many":
		payloads := make([]any, len(r.Payloads))
		for i, payload := range r.Payloads {
			payloads[i] = json.RawMessage(payload)
		}
		return queue.SendMany(ctx, payloads, sendOptions(r))
	case "receive":
		delivery, err := d.receive(queue, r)
		return d.delivery(delivery), err
	case "receive_many":
		deliveries, err := d.receiveMany(queue, r)
		told := make([]any, len(deliveries))
		for i, delivery := range deliveries {
			told[i] = d.delivery(delivery)
		}
		return told, err
	case "pop":
		popped, err := queue.Pop(ctx)
		if popped == nil {
			return nil, err
		}
		return map[string]any{"id": orNull(popped.ID), "payload": string(popped.Payload)}, nil
	case "ack":
		return settled(r.Receipts, queue.Ack(ctx, r.Receipts...))
	case "nack":
		return settled(r.Receipts, queue.Nack(ctx, &flockq.NackOptions{Reason: r.Error, Delay: ms(r.DelayMs)}, r.Receipts...))
	case "extend":
		return settled(r.Receipts, queue.Extend(ctx, ms(r.LeaseMs), r.Receipts...))
	case "detach":
		if delivery := d.deliveries[r.Receipt]; delivery != nil {
			return nil, delivery.Detach(ctx)
		}
		return nil, errNotThere
	case "peek":
		all, err := queue.Peek(ctx, r.Count)
		return envelopes(all), err
	case "list":
		all, cursor, err := queue.List(ctx, &flockq.ListOptions{State: state(r.State), Limit: r.Limit, Cursor: r.Cursor})
		return map[string]any{"items": envelopes(all), "cursor": orNull(cursor)}, err
	case "get":
		all, err := queue.Get(ctx, r.ID)
		return envelopes(all), err
	case "len":
		return queue.Len(ctx)
	case "stats":
		return stats(queue)
	case "remove":
		return queue.Remove(ctx, r.IDs...)
	case "update_message":
		return queue.UpdateMessage(ctx, r.ID, messageUpdate(r))
	case "purge":
		return queue.Purge(ctx, state(r.State))
	case "move_to":
		moved, err := queue.MoveTo(ctx, r.To, filter(r))
		return moved, err
	case "redrive":
		redriven, err := queue.Redrive(ctx, filter(r), r.DryRun)
		told := make([]any, len(redriven))
		for i, one := range redriven {
			told[i] = []string{one.ID, one.To}
		}
		return told, err
	case "sync":
		return nil, queue.Sync(ctx)
	case "checkpoint":
		return nil, queue.Checkpoint(ctx)
	case "check":
		return queue.Check(ctx)
	case "repair":
		return queue.Repair(ctx)
	case "mode":
		mode, err := queue.Mode(ctx)
		return mode.String(), err
	case "convert":
		return nil, queue.Convert(ctx, mode(r.To))
	case "close_queue":
		return nil, queue.Close()
	case "interrupt":
		queue.Interrupt()
		return nil, nil
	}
	return d.whole(queue, r)
}

func stats(queue *flockq.Queue) (any, error) {
	stats, err := queue.Stats(ctx)
	told := map[string]any{
		"messages": stats.Messages, "ready": stats.Ready, "delayed": stats.Delayed, "leased": stats.Leased, "bytes": stats.Bytes, "oldest_age_ms": nil,
		"foreign_writes": stats.ForeignWrites, "checkpoints": stats.Checkpoints, "counters": stats.Counters,
	}
	waits := uint64(0)
	for _, count := range stats.Lock.Waits {
		waits += count
	}
	told["lock"] = map[string]any{
		"acquired": stats.Lock.Acquired, "contended": stats.Lock.Contended, "timed_out": stats.Lock.TimedOut, "replaced": stats.Lock.Replaced,
		"wait_us": stats.Lock.Wait.Microseconds(), "wait_max_us": stats.Lock.WaitMax.Microseconds(), "waits": waits,
	}
	if stats.OldestAge >= 0 {
		told["oldest_age_ms"] = stats.OldestAge.Milliseconds()
	}
	return told, err
}

// receive waits as the request says: a wait that runs out is nothing, not an error.
func (d *driver) receive(queue *flockq.Queue, r *request) (*flockq.Delivery, error) {
	r.Max = 1
	deliveries, err := d.receiveMany(queue, r)
	if len(deliveries) == 0 {
		return nil, err
	}
	return deliveries[0], err
}

func (d *driver) receiveMany(queue *flockq.Queue, r *request) ([]*flockq.Delivery, error) {
	options := &flockq.ReceiveOptions{Lease: ms(r.LeaseMs), Detached: r.Detached}
	if r.WaitMs == nil || *r.WaitMs == 0 {
		return queue.TryReceiveMany(ctx, r.Max, options)
	}
	waiting := ctx
	if *r.WaitMs > 0 {
		limited, cancel := context.WithTimeout(ctx, ms(*r.WaitMs))
		defer cancel()
		waiting = limited
	}
	deliveries, err := queue.ReceiveMany(waiting, r.Max, options)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	return deliveries, err
}

func raw(array string) []json.RawMessage {
	var elements []json.RawMessage
	_ = json.Unmarshal([]byte(array), &elements)
	return elements
}

func (d *driver) whole(queue *flockq.Queue, r *request) (any, error) {
	switch r.Op {
	case "load":
		array, err := queue.Load(ctx)
		texts := make([]string, len(array))
		for i, element := range array {
			texts[i] = string(element)
		}
		return "[" + strings.Join(texts, ",") + "]", err
	case "save":
		return nil, queue.Save(ctx, raw(r.Array))
	case "update":
		return nil, queue.Update(ctx, func(array []json.RawMessage) ([]json.RawMessage, error) {
			return append(array, raw(r.Append)...), nil
		})
	case "begin":
		return nil, d.begin(queue)
	}
	open := d.changes[r.Queue]
	if open == nil {
		return nil, errNotThere
	}
	switch r.Op {
	case "transaction_set":
		set := raw(r.Array)
		open.next <- func([]json.RawMessage) ([]json.RawMessage, error) { return set, nil }
		return nil, nil
	case "rollback", "commit":
		delete(d.changes, r.Queue)
		if r.Op == "rollback" {
			open.next <- func([]json.RawMessage) ([]json.RawMessage, error) { return nil, errRollback }
		}
		close(open.next)
		err := <-open.done
		if errors.Is(err, errRollback) {
			err = nil
		}
		return nil, err
	}
	return nil, errNotThere
}

// begin starts an Update whose function waits for what the next requests say.
func (d *driver) begin(queue *flockq.Queue) error {
	open := &change{next: make(chan func([]json.RawMessage) ([]json.RawMessage, error)), done: make(chan error, 1)}
	begun := make(chan struct{})
	go func() {
		open.done <- queue.Update(ctx, func(array []json.RawMessage) ([]json.RawMessage, error) {
			close(begun)
			var err error
			for step := range open.next {
				if array, err = step(array); err != nil {
					return nil, err
				}
			}
			return array, nil
		})
	}()
	select {
	case <-begun:
		d.changes[queue.Name()] = open
		return nil
	case err := <-open.done:
		return err
	}
}

func main() {
	// The runtime sets its poller up at the first timer, and ends the process if there are no descriptors for it then.
	time.AfterFunc(time.Hour, func() {})
	d := &driver{deliveries: map[string]*flockq.Delivery{}, changes: map[string]*change{}, locks: map[string]*flockq.FileLock{}}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		reply := map[string]any{}
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			reply["error"], reply["message"] = "InvalidArgument", err.Error()
		} else if result, err := d.answer(&r); err != nil {
			reply["error"], reply["message"] = flockq.CodeOf(err).String(), err.Error()
		} else {
			reply["ok"] = result
		}
		if err := encoder.Encode(reply); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if out.Flush() != nil {
			return
		}
	}
}
