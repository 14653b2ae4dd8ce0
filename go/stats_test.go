package flockq

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWhatIsDoneIsCounted(t *testing.T) {
	queue := inbound(t)
	must[[]string](t)(queue.SendMany(background, []any{1, 2, 3}, nil))
	delivery := must[*Delivery](t)(queue.Receive(background, nil))
	check(t, delivery.Nack(background, &NackOptions{Reason: "no session"}))
	check(t, must[*Delivery](t)(queue.Receive(background, nil)).Ack(background))
	stats := must[Stats](t)(queue.Stats(background))
	equal(t, stats.Counters, Counters{Sent: 3, Received: 2, Acked: 1, Nacked: 1, RedeliveredNacked: 1})
	equal(t, stats.Lock.Acquired >= 4 && stats.ForeignWrites == 0 && stats.Lock.TimedOut == 0, true)
}

func TestMetricsAndTheDoctor(t *testing.T) {
	spool := mail(t)
	queue := must[*Queue](t)(spool.Queue("inbound"))
	must[string](t)(queue.Send(background, 1, nil))
	metrics := must[string](t)(spool.Metrics())
	equal(t, strings.Contains(metrics, "flockq_sent_total{spool="), true)
	file := filepath.Join(spool.Path(), "flockq.prom")
	check(t, spool.WriteMetrics(file))
	// The age of the oldest message is another one by now.
	written := string(must[[]byte](t)(os.ReadFile(file)))
	equal(t, strings.Count(written, "\n"), strings.Count(metrics, "\n"))
	equal(t, strings.Contains(written, "flockq_sent_total{spool="), true)
	equal(t, len(must[[]Advice](t)(spool.Doctor())), 0)
	check(t, os.WriteFile(filepath.Join(spool.Path(), "broken.json"), []byte("[1,"), 0o600))
	advice := must[[]Advice](t)(spool.Doctor())
	equal(t, len(advice), 1)
	equal(t, advice[0].Severity+" "+advice[0].Command, "problem flockq repair broken")
}

func TestASendWaitsForRoomUntilTheContextEnds(t *testing.T) {
	spool := mail(t)
	check(t, spool.SetConfig("inbound.max_messages", "1"))
	queue := must[*Queue](t)(spool.Queue("inbound"))
	must[string](t)(queue.Send(background, "first", nil))
	_, err := queue.Send(background, "second", &SendOptions{Wait: 30 * time.Millisecond})
	wants(t, err, CodeFull)
	ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	_, err = queue.SendMany(ctx, []any{"second"}, &SendOptions{Wait: Forever})
	equal(t, errors.Is(err, context.DeadlineExceeded), true)
	go func() {
		time.Sleep(50 * time.Millisecond)
		if _, err := queue.Pop(background); err != nil {
			panic(err)
		}
	}()
	must[string](t)(queue.Send(background, "second", &SendOptions{Wait: Forever}))
	equal(t, length(t, queue), 1)
}

func TestAMessageTellsItsErrors(t *testing.T) {
	spool := mail(t)
	queue := must[*Queue](t)(spool.Queue("inbound"))
	must[string](t)(queue.Send(background, 1, &SendOptions{TTL: time.Hour}))
	check(t, must[*Delivery](t)(queue.Receive(background, nil)).Nack(background, &NackOptions{Reason: "no session"}))
	outbound := must[*Queue](t)(spool.Queue("outbound"))
	page, _, err := outbound.List(background, nil)
	check(t, err)
	equal(t, page[0].Origin, "inbound")
	equal(t, len(page[0].Errors) == 1 && page[0].Errors[0].Error == "no session" && page[0].Errors[0].At != "", true)
	equal(t, page[0].Expires != "", true)
}
