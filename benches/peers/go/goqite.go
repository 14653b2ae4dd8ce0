package main

import (
	"context"
	"database/sql"
	_ "embed"
	"path/filepath"
	"time"

	"github.com/mattn/go-sqlite3"
	"maragu.dev/goqite"
)

//go:embed goqite.sql
var goqiteSchema string

const (
	// The job runner's default.
	goqitePoll = 100 * time.Millisecond
	// How long a message in hand is not delivered again. The default of 5 seconds would redeliver on a loaded machine.
	goqiteTimeout = 5 * time.Minute
)

// Goqite is goqite on SQLite with the settings of its README.
type Goqite struct {
	db    *sql.DB
	queue *goqite.Queue
}

func openGoqite(place string, power bool) (Peer, error) {
	settings := "?_journal=WAL&_timeout=5000&_fk=true&_sync=NORMAL"
	if power {
		settings = "?_journal=WAL&_timeout=5000&_fk=true&_sync=FULL"
	}
	db, err := sql.Open("sqlite3", filepath.Join(place, "goqite.db")+settings)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	if _, err := db.Exec(goqiteSchema); err != nil {
		return nil, err
	}
	return &Goqite{db: db, queue: goqite.New(goqite.NewOpts{DB: db, Name: "inbound", Timeout: goqiteTimeout})}, nil
}

// Send sends one.
func (g *Goqite) Send(payload []byte) error {
	return g.queue.Send(context.Background(), goqite.Message{Body: payload})
}

// SendMany sends all in one transaction.
func (g *Goqite) SendMany(payloads [][]byte) error {
	return g.transact(func(ctx context.Context, tx *sql.Tx) error {
		for _, payload := range payloads {
			if err := g.queue.SendTx(ctx, tx, goqite.Message{Body: payload}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Receive takes one, or several in one transaction.
func (g *Goqite) Receive(_ context.Context, max int) ([]Delivery, error) {
	if max == 1 {
		message, err := g.queue.Receive(context.Background())
		return taken(nil, message), err
	}
	var deliveries []Delivery
	err := g.transact(func(ctx context.Context, tx *sql.Tx) error {
		for range max {
			message, err := g.queue.ReceiveTx(ctx, tx)
			if err != nil || message == nil {
				return err
			}
			deliveries = taken(deliveries, message)
		}
		return nil
	})
	return deliveries, err
}

// Wait polls for the first, and takes what else is there.
func (g *Goqite) Wait(ctx context.Context, max int) ([]Delivery, error) {
	message, err := g.queue.ReceiveAndWait(ctx, goqitePoll)
	if ctx.Err() != nil && message == nil {
		return nil, nil
	}
	deliveries := taken(nil, message)
	if err != nil || max == 1 {
		return deliveries, err
	}
	more, err := g.Receive(ctx, max-1)
	return append(deliveries, more...), err
}

func taken(deliveries []Delivery, message *goqite.Message) []Delivery {
	if message == nil {
		return deliveries
	}
	return append(deliveries, Delivery{Payload: message.Body, Receipt: string(message.ID)})
}

// Ack deletes one, or several in one transaction.
func (g *Goqite) Ack(deliveries []Delivery) error {
	if len(deliveries) == 1 {
		return g.queue.Delete(context.Background(), goqite.ID(deliveries[0].Receipt))
	}
	return g.transact(func(ctx context.Context, tx *sql.Tx) error {
		for _, delivery := range deliveries {
			if err := g.queue.DeleteTx(ctx, tx, goqite.ID(delivery.Receipt)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (g *Goqite) transact(change func(context.Context, *sql.Tx) error) error {
	ctx := context.Background()
	tx, err := g.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := change(ctx, tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// Depth counts the rows.
func (g *Goqite) Depth() (int, error) {
	var messages int
	err := g.db.QueryRow("select count(*) from goqite where queue = 'inbound'").Scan(&messages)
	return messages, err
}

// About tells the settings.
func (g *Goqite) About() About {
	library, _, _ := sqlite3.Version()
	return About{
		Version: "goqite " + pinned("maragu.dev/goqite") + ", go-sqlite3 " + pinned("github.com/mattn/go-sqlite3") + ", SQLite " + library,
		Power:   "the settings of its README (WAL) and _sync=FULL: every commit syncs the log, sends, receives and deletes alike",
		System: "the settings of its README (WAL, and NORMAL, which go-sqlite3 makes of it): the log is synced at checkpoints only, so a " +
			"power cut may lose the last commits, and nothing else",
		Ack:   "Receive marks and counts in one commit, Delete removes in another",
		Batch: "SendTx, ReceiveTx and DeleteTx of many in one transaction each",
		Wait:  "ReceiveAndWait: polls every 100 ms, the default of its job runner",
		Note:  "its time-out is 5 minutes instead of 5 seconds; one message is received at most 3 times, its default",
	}
}

// Close closes the database.
func (g *Goqite) Close() error { return g.db.Close() }
