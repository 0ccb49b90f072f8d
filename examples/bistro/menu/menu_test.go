package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"godwit/examples/bistro/internal/database"
	"godwit/examples/bistro/internal/pgtest"
	"godwit/examples/bistro/schema"
)

var postgres *pgtest.Server

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m, &postgres)) }

func TestMenu(t *testing.T) {
	t.Parallel()
	db := postgres.Database(t, schema.Menu)
	pool, err := database.Open(db.URL, sessions)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	served := httptest.NewServer((&menu{log: slog.New(slog.DiscardHandler), db: pool}).handler())
	defer served.Close()

	var all struct{ Items []item }
	if status := ask(t, "GET", served.URL+"/menu", "", &all); status != 200 || len(all.Items) < 40 {
		t.Errorf("status %d, %d items", status, len(all.Items))
	}
	var tea item
	for range 2 { // the same price twice is one change
		if status := ask(t, "PUT", served.URL+"/items/tea/price", `{"price_cents": 410}`, &tea); status != 200 || tea.PriceCents != 410 {
			t.Errorf("status %d, %+v", status, tea)
		}
	}
	if n := db.Int(t, `SELECT count(*) FROM price_changes WHERE sku = 'tea' AND from_cents = 380 AND to_cents = 410`); n != 1 {
		t.Errorf("%d price changes", n)
	}
	db.EndSessions(t)
	if status := ask(t, "GET", served.URL+"/items/tea", "", &tea); status != 200 || tea.PriceCents != 410 {
		t.Errorf("after its sessions were ended: status %d, %+v", status, tea)
	}
	for path, body := range map[string]string{"tea": `{"price_cents": 0}`, "water": `{`, "car": `{"price_cents": 1}`} {
		if status := ask(t, "PUT", served.URL+"/items/"+path+"/price", body, nil); status/100 != 4 {
			t.Errorf("%s %s: status %d", path, body, status)
		}
	}
	if status := ask(t, "GET", served.URL+"/items/car", "", nil); status != 404 {
		t.Errorf("no such item: status %d", status)
	}
}

func ask(t *testing.T, method, url, body string, v any) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if v != nil {
		if err := json.NewDecoder(response.Body).Decode(v); err != nil {
			t.Fatal(err)
		}
	}
	return response.StatusCode
}
