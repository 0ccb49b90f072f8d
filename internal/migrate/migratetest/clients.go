package migratetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/migrate"
)

// Clients write receipts and orders through a gate, and keep a ledger.
type Clients struct {
	gate *Gate
	urls map[migrate.Side]string
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.Mutex
	acked    []string // keys of acknowledged writes
	failures []error
	sides    map[migrate.Side]int // acknowledged by side
}

// StartClients starts n clients, one request every interval each; they end with the test at the latest.
func StartClients(t testing.TB, g *Gate, source, target *Server, n int, interval time.Duration) *Clients {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Clients{gate: g, stop: cancel, urls: map[migrate.Side]string{migrate.Source: source.App, migrate.Target: target.App},
		sides: map[migrate.Side]int{}}
	for i := range n {
		c.done.Add(1)
		go func() {
			defer c.done.Done()
			c.work(ctx, i, interval)
		}()
	}
	t.Cleanup(c.Stop)
	return c
}

// Stop ends the clients and waits for them.
func (c *Clients) Stop() {
	c.stop()
	c.done.Wait()
}

// Acked is how many writes were acknowledged so far.
func (c *Clients) Acked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acked)
}

// AckedOn is how many of them on a side.
func (c *Clients) AckedOn(s migrate.Side) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sides[s]
}

// Failures that clients saw so far.
func (c *Clients) Failures() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]error(nil), c.failures...)
}

// work is one client: it keeps its sessions as a pool would, and retries nothing.
func (c *Clients) work(ctx context.Context, client int, interval time.Duration) {
	conns := map[migrate.Side]*pgx.Conn{}
	defer func() {
		for _, conn := range conns {
			conn.Close(context.Background())
		}
	}()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		key := fmt.Sprintf("%d-%d", client, n)
		var side migrate.Side
		err := c.gate.Do(ctx, func(s migrate.Side) error {
			side = s
			return c.write(conns, s, 1+client%8, key)
		})
		c.note(ctx, key, side, err)
	}
}

func (c *Clients) note(ctx context.Context, key string, side migrate.Side, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.acked = append(c.acked, key)
		c.sides[side]++
	case ctx.Err() == nil:
		c.failures = append(c.failures, fmt.Errorf("%s on %s: %w", key, side, err))
	}
}

// write is one request: a receipt without a gap and an order, in one transaction.
func (c *Clients) write(conns map[migrate.Side]*pgx.Conn, side migrate.Side, register int, key string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if conn := conns[side]; conn == nil || conn.IsClosed() || conn.Ping(ctx) != nil {
		conn, err := pgx.Connect(ctx, c.urls[side])
		if err != nil {
			return err
		}
		conns[side] = conn
	}
	return pgx.BeginFunc(ctx, conns[side], func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `WITH r AS (UPDATE register SET last = last + 1 WHERE id = $1 RETURNING last)
			INSERT INTO receipt SELECT $1, last, $2 FROM r`, register, key)
		if err == nil {
			_, err = tx.Exec(ctx, `INSERT INTO "order" (key, note) VALUES ($1, nextval('ticket')::text)`, key)
		}
		return err
	})
}

// Audit compares the ledger with the data of the side at url: every
// acknowledged write exactly once, no gap in the receipts.
func (c *Clients) Audit(t testing.TB, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	var receipts, orders int
	err = conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM receipt WHERE key = ANY ($1)), (SELECT count(*) FROM "order" WHERE key = ANY ($1))`,
		c.acked).Scan(&receipts, &orders)
	if err != nil {
		t.Fatal(err)
	}
	if receipts != len(c.acked) || orders != len(c.acked) {
		t.Errorf("%d writes acknowledged, found %d receipts and %d orders", len(c.acked), receipts, orders)
	}
	var gaps, strays int
	err = conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM register g WHERE last <> (SELECT count(*) FROM receipt r WHERE r.register = g.id)
		OR last <> coalesce((SELECT max(no) FROM receipt r WHERE r.register = g.id), 0)),
		(SELECT count(*) FROM receipt r WHERE NOT EXISTS (SELECT FROM "order" o WHERE o.key = r.key))`).Scan(&gaps, &strays)
	if err != nil {
		t.Fatal(err)
	}
	if gaps != 0 || strays != 0 {
		t.Errorf("%d registers with a gap in their receipts, %d receipts without an order", gaps, strays)
	}
}
