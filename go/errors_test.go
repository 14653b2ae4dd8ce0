package flockq

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var table = []struct {
	sentinel error
	code     Code
	name     string
}{
	{ErrInvalidArgument, CodeInvalidArgument, "InvalidArgument"},
	{ErrIo, CodeIo, "Io"},
	{ErrLockTimeout, CodeLockTimeout, "LockTimeout"},
	{ErrInterrupted, CodeInterrupted, "Interrupted"},
	{ErrNotFound, CodeNotFound, "NotFound"},
	{ErrAlreadyExists, CodeAlreadyExists, "AlreadyExists"},
	{ErrCorrupt, CodeCorrupt, "Corrupt"},
	{ErrVersion, CodeVersion, "Version"},
	{ErrTooLarge, CodeTooLarge, "TooLarge"},
	{ErrInvalidJson, CodeInvalidJson, "InvalidJson"},
	{ErrStaleReceipt, CodeStaleReceipt, "StaleReceipt"},
	{ErrFull, CodeFull, "Full"},
	{ErrClosed, CodeClosed, "Closed"},
	{ErrPoisoned, CodePoisoned, "Poisoned"},
	{ErrOutcomeUnknown, CodeOutcomeUnknown, "OutcomeUnknown"},
	{ErrWouldDeadlock, CodeWouldDeadlock, "WouldDeadlock"},
	{ErrUnsafeFilesystem, CodeUnsafeFilesystem, "UnsafeFilesystem"},
	{ErrInternal, CodeInternal, "Internal"},
}

func TestTheErrorTableIsTheLibrarys(t *testing.T) {
	for i, row := range table {
		equal(t, row.code, Code(i+1))
		equal(t, row.code.String(), row.name)
		equal(t, CodeOf(row.sentinel), row.code)
		raised := &Error{Op: "send", Code: row.code, Message: "m", Offset: -1}
		for _, other := range table {
			equal(t, errors.Is(raised, other.sentinel), other.code == row.code)
		}
		if summary := row.sentinel.Error(); strings.Contains(summary, "\n") || len(summary) < 20 {
			t.Errorf("%v: %q says nothing, or too much", row.name, summary)
		}
	}
	// One past the end: the library knows no error that is not in the table.
	equal(t, Code(len(table)+1).String(), Code(9999).String())
}

func TestAnErrorSaysWhatWhereAndUnwrapsToTheSystems(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "missing"), nil)
	wants(t, err, CodeNotFound)
	equal(t, errors.Is(err, ErrNotFound), true)
	equal(t, errors.Is(err, fs.ErrNotExist), true)
	equal(t, errors.Is(err, syscall.ENOENT), true)

	queue := inbound(t)
	equal(t, CodeOf(nil), 0)
	equal(t, CodeOf(errors.New("another")), 0)
	_, err = queue.Send(background, []byte("{"), nil)
	wants(t, err, CodeInvalidJson)
	equal(t, strings.HasPrefix(err.Error(), "flockq: send: "), true)
}

func TestEveryWrongArgumentIsRefused(t *testing.T) {
	spool := open(t)
	for _, name := range []string{"", "../x", "a/b", strings.Repeat("x", 200), "a.json.lock", ".hidden", "nul\x00"} {
		_, err := spool.Queue(name)
		wants(t, err, CodeInvalidArgument)
	}
	queue := must[*Queue](t)(spool.Queue("inbound"))
	for payload, code := range map[string]Code{
		"": CodeInvalidJson, "{": CodeInvalidJson, "\"\xff\"": CodeInvalidJson, `"\ud800"`: CodeInvalidJson,
		strings.Repeat("[", 200) + strings.Repeat("]", 200): CodeInvalidJson,
		`"` + strings.Repeat("x", 16<<20) + `"`:             CodeTooLarge,
	} {
		_, err := queue.Send(background, []byte(payload), nil)
		wants(t, err, code)
	}
	_, err := queue.Send(background, func() {}, nil)
	wants(t, err, CodeInvalidJson)
	_, err = queue.SendMany(background, []any{1, make(chan int)}, nil)
	wants(t, err, CodeInvalidJson)
	_, err = queue.Send(background, 1, &SendOptions{Priority: 99})
	wants(t, err, CodeInvalidArgument)
	_, err = queue.ReceiveMany(background, 0, nil)
	wants(t, err, CodeInvalidArgument)
	wants(t, queue.Ack(background, "nonsense"), CodeInvalidArgument)
	wants(t, queue.Save(background, nil), 0)
	equal(t, length(t, queue), 0)
}

// failed returns the error of a call.
func failed[T any](_ T, err error) error { return err }

func TestANegativeTimeOrCountIsRefusedAndNothingIsDone(t *testing.T) {
	spool := open(t)
	queue := must[*Queue](t)(spool.Queue("inbound"))
	send(t, queue, "1")
	send(t, queue, "2")
	delivery := take(t, queue)
	before := must[Stats](t)(queue.Stats(background)).Counters
	missing := filepath.Join(t.TempDir(), "missing")
	for _, call := range []struct {
		op, option string
		do         func(n int) error
	}{
		{"send", "Delay", func(n int) error { return failed(queue.Send(background, 3, &SendOptions{Delay: time.Duration(n)})) }},
		{"send", "TTL", func(n int) error { return failed(queue.Send(background, 3, &SendOptions{TTL: time.Duration(n)})) }},
		{"send", "Wait", func(n int) error { return failed(queue.Send(background, 3, &SendOptions{Wait: time.Duration(n)})) }},
		{"send_many", "TTL", func(n int) error {
			return failed(queue.SendMany(background, []any{3, 4}, &SendOptions{TTL: time.Duration(n)}))
		}},
		{"receive", "Lease", func(n int) error {
			return failed(queue.Receive(background, &ReceiveOptions{Lease: time.Duration(n)}))
		}},
		{"receive", "Lease", func(n int) error {
			return failed(queue.TryReceive(background, &ReceiveOptions{Lease: time.Duration(n)}))
		}},
		{"receive", "Lease", func(n int) error {
			return queue.Work(background, func(context.Context, *Delivery) error {
				queue.Interrupt()
				return nil
			}, &WorkOptions{Lease: time.Duration(n)})
		}},
		{"receive", "max", func(n int) error { return failed(queue.ReceiveMany(background, n, nil)) }},
		{"keep", "lease", func(n int) error { return failed(queue.Keep(delivery.Receipt, time.Duration(n))) }},
		{"extend", "lease", func(n int) error { return delivery.Extend(background, time.Duration(n)) }},
		{"nack", "Delay", func(n int) error { return delivery.Nack(background, &NackOptions{Delay: time.Duration(n)}) }},
		{"open", "LockWait", func(n int) error {
			return failed(Open(missing, &Options{Create: true, LockWait: time.Duration(n)}))
		}},
		{"lock", "Wait", func(n int) error {
			return failed(AcquireFileLock(background, missing, &FileLockOptions{Wait: time.Duration(n)}))
		}},
		{"peek", "n", func(n int) error { return failed(queue.Peek(background, n)) }},
		{"list", "Limit", func(n int) error {
			_, _, err := queue.List(background, &ListOptions{Limit: n})
			return err
		}},
		{"move to", "Limit", func(n int) error { return failed(queue.MoveTo(background, "archive", &Filter{Limit: n})) }},
		{"redrive", "Limit", func(n int) error { return failed(queue.Redrive(background, &Filter{Limit: n}, false)) }},
	} {
		// Also what would be rounded to nothing. NoWait is -1.
		for _, n := range []int{-2, int(-2 * time.Second)} {
			err := call.do(n)
			wants(t, err, CodeInvalidArgument)
			says := "flockq: " + call.op + ": " + call.option + " is -2"
			equal(t, strings.HasPrefix(err.Error(), says), true)
		}
	}
	wants(t, delivery.Extend(background, -1), CodeInvalidArgument)
	equal(t, must[Stats](t)(queue.Stats(background)).Counters, before)
	equal(t, files(t, filepath.Dir(missing)), nil)
	check(t, delivery.Ack(background))

	_, err := queue.Send(background, 3, &SendOptions{Wait: NoWait, TTL: Forever})
	check(t, err)
	equal(t, length(t, queue), 2)
}

// unwritable is a payload that cannot be marshalled.
type unwritable struct{}

var errUnwritable = errors.New("no such mail")

func (unwritable) MarshalJSON() ([]byte, error) { return nil, errUnwritable }

func TestAPayloadThatCannotBeMarshalledTellsWhy(t *testing.T) {
	queue := inbound(t)
	_, one := queue.Send(background, unwritable{}, nil)
	_, many := queue.SendMany(background, []any{1, unwritable{}}, nil)
	for op, err := range map[string]error{"send": one, "send_many": many} {
		wants(t, err, CodeInvalidJson)
		equal(t, errors.Is(err, errUnwritable), true)
		var failed *Error
		equal(t, errors.As(err, &failed), true)
		equal(t, failed.Op, op)
	}
}

func TestTheEndOfAContextIsToldAsTheOperationsAndItsCauseInWords(t *testing.T) {
	queue := inbound(t)
	canceled, cancel := context.WithCancelCause(background)
	cancel(ErrFull)
	late, stop := context.WithTimeoutCause(background, 20*time.Millisecond, ErrStaleReceipt)
	defer stop()
	plain, end := context.WithCancel(background)
	end()
	for _, ended := range []struct {
		ctx        context.Context
		is, cause  error
		afterwards string
	}{
		{late, context.DeadlineExceeded, ErrStaleReceipt, ": context deadline exceeded: " + ErrStaleReceipt.Error()},
		{canceled, context.Canceled, ErrFull, ": context canceled: " + ErrFull.Error()},
		{plain, context.Canceled, ErrClosed, ": context canceled"},
	} {
		_, receive := queue.Receive(ended.ctx, nil)
		_, send := queue.Send(ended.ctx, 1, &SendOptions{Wait: Forever})
		_, lock := AcquireFileLock(ended.ctx, t.TempDir(), nil)
		for op, err := range map[string]error{"receive": receive, "send": send, "lock": lock, "ack": queue.Ack(ended.ctx, "r")} {
			equal(t, err.Error(), "flockq: "+op+ended.afterwards)
			equal(t, errors.Is(err, ended.is), true)
			equal(t, errors.Is(err, ended.cause), false)
			equal(t, CodeOf(err), 0)
		}
	}
	equal(t, length(t, queue), 0)
}

func TestADamagedFileIsCorruptAndStaysAsItIs(t *testing.T) {
	spool := open(t)
	queue := must[*Queue](t)(spool.Queue("inbound"))
	for _, content := range []string{"", "{}", "[", `[{"message":1},`, "\x00\x00\x00\x00", "[1]x"} {
		write(t, spool.Path(), "inbound.json", content)
		_, err := queue.Send(background, 1, nil)
		wants(t, err, CodeCorrupt)
		var failed *Error
		if !errors.As(err, &failed) || failed.Path != filepath.Join(spool.Path(), "inbound.json") || failed.Offset < 0 {
			t.Fatalf("%q: %+v", content, failed)
		}
		_, err = queue.TryReceive(background, nil)
		wants(t, err, CodeCorrupt)
		equal(t, read(t, spool.Path(), "inbound.json"), content)
	}
}

func TestALockThatSomebodyKeepsTimesOut(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "inbound.json")
	impatient := must[*Spool](t)(Open(directory, &Options{LockWait: NoWait}))
	queue := must[*Queue](t)(impatient.Queue("inbound"))
	lock := must[*FileLock](t)(AcquireFileLock(background, path, nil))
	_, err := queue.Send(background, 1, nil)
	wants(t, err, CodeLockTimeout)
	began := time.Now()
	_, err = AcquireFileLock(background, path, &FileLockOptions{Wait: 20 * time.Millisecond})
	wants(t, err, CodeLockTimeout)
	if took := time.Since(began); took < 20*time.Millisecond || took > 5*time.Second {
		t.Errorf("it waited %v", took)
	}
	lock.Release()
	lock.Release()
	send(t, queue, "1")
	_, err = os.Lstat(filepath.Join(directory, ".gastown", "locks", "inbound.json.lock"))
	check(t, err)
}

func TestSharedLocksAreHeldTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	one := must[*FileLock](t)(AcquireFileLock(background, path, &FileLockOptions{Shared: true}))
	two := must[*FileLock](t)(AcquireFileLock(background, path, &FileLockOptions{Shared: true, Wait: NoWait}))
	_, err := AcquireFileLock(background, path, &FileLockOptions{Wait: NoWait})
	wants(t, err, CodeLockTimeout)
	one.Release()
	two.Release()
	must[*FileLock](t)(AcquireFileLock(background, path, &FileLockOptions{Wait: NoWait})).Release()
}

func TestClosedHandlesSaySo(t *testing.T) {
	spool := must[*Spool](t)(Open(t.TempDir(), nil))
	one := must[*Queue](t)(spool.Queue("inbound"))
	two := must[*Queue](t)(spool.Queue("inbound"))
	check(t, one.Close())
	check(t, one.Close())
	_, err := one.Len(background)
	wants(t, err, CodeClosed)
	equal(t, length(t, two), 0)
	check(t, spool.Close())
	_, err = two.Len(background)
	wants(t, err, CodeClosed)
	_, err = spool.Queue("inbound")
	wants(t, err, CodeClosed)
}

func TestWhereLocksAreNotToBeTrustedOpenRefuses(t *testing.T) {
	_, err := Open("/proc", nil)
	wants(t, err, CodeUnsafeFilesystem)
	directory := t.TempDir()
	write(t, directory, "flockq.json", `{"version": 2}`)
	_, err = Open(directory, nil)
	wants(t, err, CodeVersion)
}
