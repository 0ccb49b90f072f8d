package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"godwit/examples/bistro/internal/database"
	"godwit/examples/bistro/internal/pgtest"
	"godwit/examples/bistro/schema"
)

var postgres *pgtest.Server

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m, &postgres)) }

// bench is a till that serves, with its database and a menu.
type bench struct {
	t   *testing.T
	url string
	db  *pgtest.Database
}

const testMenu = `{"items": [{"sku": "tea", "price_cents": 380}, {"sku": "soup", "price_cents": 590}]}`

func newBench(t *testing.T, version string) *bench {
	t.Helper()
	menus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, testMenu) }))
	t.Cleanup(menus.Close)
	b := &bench{t: t, db: postgres.Database(t, schema.Till)}
	db, err := database.Open(b.db.URL, sessions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	log := slog.New(slog.DiscardHandler)
	served := httptest.NewServer((&till{log: log, db: db, menu: newMenu(log, menus.URL)}).handler(version))
	t.Cleanup(served.Close)
	b.url = served.URL
	return b
}

// send returns the status and the body; status 0 is a broken connection.
func send(url, method, path, key, body string) (int, string) {
	request, err := http.NewRequestWithContext(context.Background(), method, url+path, bytes.NewBufferString(body))
	if err != nil {
		return 0, err.Error()
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(answer)
}

// must sends and insists on a status.
func (b *bench) must(status int, method, path, key, body string) string {
	b.t.Helper()
	got, answer := send(b.url, method, path, key, body)
	if got != status {
		b.t.Errorf("%s %s %s: status %d, want %d: %s", method, path, body, got, status, answer)
	}
	return answer
}

func (b *bench) whole() {
	b.t.Helper()
	for _, name := range []string{"receipt_gaps", "chain_breaks", "orders_astray", "orders_miscounted"} {
		if n := b.db.Int(b.t, pgtest.Invariant(b.t, name)); n != 0 {
			b.t.Errorf("%s: %d", name, n)
		}
	}
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Errorf("%v: %s", err, text)
	}
	return v
}

func TestEvening(t *testing.T) {
	t.Parallel()
	b := newBench(t, "1")
	b.must(201, "POST", "/orders", "o1", `{"register": 1, "table": 7, "items": [{"sku": "tea", "qty": 2}]}`)
	b.must(201, "POST", "/orders", "o2", `{"register": 2, "table": 7, "items": [{"sku": "soup", "qty": 1}]}`)
	type table struct {
		TotalCents int64   `json:"total_cents"`
		Orders     []order `json:"orders"`
	}
	if open := decode[table](t, b.must(200, "GET", "/tables/7", "", "")); open.TotalCents != 1350 || len(open.Orders) != 2 {
		t.Errorf("open: %+v", open)
	}
	r := decode[receipt](t, b.must(201, "POST", "/payments", "p1", `{"register": 3, "table": 7, "amount_cents": 50}`))
	if r.TotalCents != 1400 || r.Register != 3 || r.Number != 1 || len(r.Lines) != 3 || r.TipsCents != nil {
		t.Errorf("receipt: %+v", r)
	}
	if open := decode[table](t, b.must(200, "GET", "/tables/7", "", "")); open.TotalCents != 0 || open.Orders == nil || len(open.Orders) != 0 {
		t.Errorf("still open: %+v", open)
	}
	b.must(409, "POST", "/payments", "p2", `{"register": 3, "table": 7}`)
	b.must(201, "POST", "/payments", "p3", `{"register": 3, "items": [{"sku": "tea", "qty": 1}]}`)
	type receipts struct{ Receipts []receipt }
	latest := decode[receipts](t, b.must(200, "GET", "/receipts/3?limit=5", "", "")).Receipts
	if len(latest) != 2 || latest[0].Number != 2 || latest[0].PreviousHash != latest[1].Hash || latest[1].Hash != r.Hash {
		t.Errorf("receipts: %+v", latest)
	}
	b.must(200, "GET", "/menu", "", "")
	b.whole()
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, "1")
	for _, c := range []struct {
		status             int
		method, path, body string
	}{
		{400, "POST", "/orders", `{`},
		{400, "POST", "/orders", `{"regster": 1}`},
		{422, "POST", "/orders", `{"register": 1, "table": 1, "items": []}`},
		{422, "POST", "/orders", `{"register": 1, "table": 0, "items": [{"sku": "tea", "qty": 1}]}`},
		{422, "POST", "/orders", `{"register": 1, "table": 1, "items": [{"sku": "tea", "qty": -1}]}`},
		{422, "POST", "/orders", `{"register": 1, "table": 1, "items": [{"sku": "car", "qty": 1}]}`},
		{422, "POST", "/orders", `{"register": 99, "table": 1, "items": [{"sku": "tea", "qty": 1}]}`},
		{422, "POST", "/payments", `{"register": 99, "amount_cents": 5}`},
		{422, "POST", "/payments", `{"register": 1}`},
		{422, "POST", "/payments", `{"register": 1, "amount_cents": -5}`},
		{400, "GET", "/tables/seven", ""},
		{400, "GET", "/receipts/1?limit=1000", ""},
		{404, "GET", "/nothing", ""},
	} {
		b.must(c.status, c.method, c.path, "k", c.body)
	}
	b.must(400, "POST", "/payments", "", `{"register": 1, "amount_cents": 5}`)
	if n := b.db.Int(t, `SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM receipts)`); n != 0 {
		t.Errorf("a refused request left %d rows", n)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	b := newBench(t, "2")
	r := decode[receipt](t, b.must(201, "POST", "/payments", "p", `{"register": 1, "amount_cents": 1000}`))
	if r.TipsCents["10"] != 100 {
		t.Errorf("version 2 suggests no tips: %+v", r)
	}
	if v := decode[map[string]any](t, b.must(200, "GET", "/version", "", "")); v["version"] != "2" {
		t.Errorf("version: %v", v)
	}
}

// A broken version fails a good share of reads and writes; with the same key
// sent again until it is answered, each write still has exactly one effect.
func TestBrokenVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t, "3")
	const writes = 100
	failed := map[string]int{}
	for i := range writes {
		key := fmt.Sprintf("p%d", i)
		for status := 0; status != 201; {
			if status, _ = send(b.url, "POST", "/payments", key, `{"register": 1, "amount_cents": 5}`); status == 500 {
				failed["write"]++
			} else if status != 201 {
				t.Fatalf("status %d", status)
			}
		}
		if status, _ := send(b.url, "GET", "/tables/1", "", ""); status == 500 {
			failed["read"]++
		}
	}
	if failed["read"] < 20 || failed["read"] > 60 || failed["write"] < 30 {
		t.Errorf("version 3 is not broken as it should be: %v", failed)
	}
	if n := b.db.Int(t, `SELECT count(*) FROM receipts`); n != writes {
		t.Errorf("%d receipts for %d payments", n, writes)
	}
	b.whole()
}
