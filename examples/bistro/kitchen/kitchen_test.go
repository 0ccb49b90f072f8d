package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"godwit/examples/bistro/internal/database"
	"godwit/examples/bistro/internal/pgtest"
	"godwit/examples/bistro/schema"
)

var postgres *pgtest.Server

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m, &postgres)) }

func newKitchen(t *testing.T, db *pgtest.Database) *kitchen {
	t.Helper()
	pool, err := database.Open(db.URL, sessions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &kitchen{log: slog.New(slog.DiscardHandler), db: pool}
}

func place(t *testing.T, db *pgtest.Database, from, to int) {
	t.Helper()
	db.Exec(t, fmt.Sprintf(`SELECT place_order('o' || i, 1, 1, '[{"sku": "tea", "qty": 1, "price_cents": 380}]')
		FROM generate_series(%d, %d) AS i`, from, to))
}

func awaitTickets(t *testing.T, db *pgtest.Database, n int64) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for have := int64(-1); have != n; {
		select {
		case <-tick.C:
			have = db.Int(t, `SELECT count(*) FROM tickets`)
		case <-deadline:
			t.Fatalf("%d tickets, want %d", have, n)
		}
	}
}

// Several kitchens share the orders, and their sessions are ended meanwhile:
// every order gets one ticket.
func TestEveryOrderOneTicket(t *testing.T) {
	t.Parallel()
	db := postgres.Database(t, schema.Till)
	ctx, stop := context.WithCancel(t.Context())
	var kitchens sync.WaitGroup
	defer kitchens.Wait()
	defer stop()
	for range 3 {
		k := newKitchen(t, db)
		kitchens.Go(func() { k.consume(ctx) })
	}
	const orders, rounds = 250, 4
	for round := range rounds {
		place(t, db, round*orders+1, (round+1)*orders)
		db.EndSessions(t)
	}
	awaitTickets(t, db, orders*rounds)
	if n := db.Int(t, pgtest.Invariant(t, "orders_astray")); n != 0 {
		t.Errorf("%d orders astray", n)
	}
}

// A kitchen that finds no database begins as soon as there is one.
func TestWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	db := postgres.Database(t, schema.Till)
	place(t, db, 1, 10)
	db.Exec(t, `ALTER ROLE {db} CONNECTION LIMIT 0`)
	ctx, stop := context.WithCancel(t.Context())
	var consumer sync.WaitGroup
	defer consumer.Wait()
	defer stop()
	k := newKitchen(t, db)
	consumer.Go(func() { k.consume(ctx) })
	db.Exec(t, `ALTER ROLE {db} CONNECTION LIMIT -1`)
	awaitTickets(t, db, 10)
}

func TestTickets(t *testing.T) {
	t.Parallel()
	db := postgres.Database(t, schema.Till)
	k := newKitchen(t, db)
	place(t, db, 1, 3)
	if taken, err := k.takeBatch(t.Context()); taken != 3 || err != nil {
		t.Fatal(taken, err)
	}
	served := httptest.NewServer(k.handler())
	defer served.Close()
	type board struct{ Tickets []ticket }
	open := get[board](t, served.URL+"/tickets?limit=10").Tickets
	if len(open) != 3 || open[0].ID >= open[1].ID || open[0].DoneAt != nil {
		t.Fatalf("%+v", open)
	}
	for range 2 { // twice: done is done
		response, err := http.Post(fmt.Sprintf("%s/tickets/%d/done", served.URL, open[0].ID), "", nil)
		if err != nil || response.StatusCode != 200 {
			t.Fatal(response, err)
		}
		_ = response.Body.Close()
	}
	if left := get[board](t, served.URL+"/tickets").Tickets; len(left) != 2 || left[0].ID != open[1].ID {
		t.Errorf("%+v", left)
	}
	response, err := http.Post(served.URL+"/tickets/4711/done", "", nil)
	if err != nil || response.StatusCode != 404 {
		t.Error(response, err)
	}
	_ = response.Body.Close()
}

func get[T any](t *testing.T, url string) (v T) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 200 {
		t.Fatalf("%s: %s", url, response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
