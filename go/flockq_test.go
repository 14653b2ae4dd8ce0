package flockq

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// background is never cancelled.
var background = context.Background()

// must returns the value of a call that has to succeed.
func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// check fails the test when err is not nil.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails the test when the code of err is another.
func wants(t *testing.T, err error, code Code) {
	t.Helper()
	if CodeOf(err) != code {
		t.Fatalf("%v: not %v", err, code)
	}
}

// equal fails the test when two values differ.
func equal[T any](t *testing.T, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// open opens a spool in a directory of its own. It leaves durability to the operating system, so that tests are quick.
func open(t *testing.T) *Spool {
	t.Helper()
	spool := must[*Spool](t)(Open(t.TempDir(), &Options{Sync: SyncOff}))
	t.Cleanup(func() { check(t, spool.Close()) })
	return spool
}

// inbound opens a queue in a spool of its own.
func inbound(t *testing.T) *Queue {
	t.Helper()
	return must[*Queue](t)(open(t).Queue("inbound"))
}

// send sends a payload of encoded JSON.
func send(t *testing.T, queue *Queue, payload string) string {
	t.Helper()
	return must[string](t)(queue.Send(background, json.RawMessage(payload), nil))
}

// take takes what is ready.
func take(t *testing.T, queue *Queue) *Delivery {
	t.Helper()
	delivery := must[*Delivery](t)(queue.TryReceive(background, nil))
	if delivery == nil {
		t.Fatal("nothing is ready")
	}
	return delivery
}

// length returns how many messages there are.
func length(t *testing.T, queue *Queue) int {
	t.Helper()
	return must[int](t)(queue.Len(background))
}

// files returns what is in a directory, without what a queue has there because it has a journal.
func files(t *testing.T, directory string) []string {
	t.Helper()
	var names []string
	for _, entry := range must[[]os.DirEntry](t)(os.ReadDir(directory)) {
		name := entry.Name()
		if name != "flockq.json" && !strings.HasSuffix(name, ".journal") {
			names = append(names, name)
		}
	}
	return names
}

// write puts a file there.
func write(t *testing.T, directory, name, content string) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(directory, name), []byte(content), 0o644))
}

// read returns what is in a file.
func read(t *testing.T, directory, name string) string {
	t.Helper()
	return string(must[[]byte](t)(os.ReadFile(filepath.Join(directory, name))))
}
