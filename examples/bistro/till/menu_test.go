package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// The menu is fetched once for all, tried again until it is there, and kept
// while the menu service is away.
func TestMenuIsKept(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var away atomic.Bool
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 || away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, testMenu)
	}))
	defer served.Close()
	m := newMenu(slog.New(slog.DiscardHandler), served.URL+"/")
	evening(8, 50, func(int) {
		lines, err := m.price(t.Context(), []wanted{{"soup", 2}})
		if err != nil || lines[0].PriceCents != 590 {
			t.Errorf("%v, %v", lines, err)
		}
	})
	if n := asked.Load(); n != 3 {
		t.Errorf("the menu was asked for %d times", n)
	}
	away.Store(true)
	old := *m.current.Load()
	old.until = time.Now() // no longer fresh
	m.current.Store(&old)
	if _, err := m.price(t.Context(), []wanted{{"tea", 1}}); err != nil {
		t.Errorf("the till did not go on with the menu it had: %v", err)
	}
	before := asked.Load()
	if _, err := m.price(t.Context(), []wanted{{"tea", 1}}); err != nil || asked.Load() != before {
		t.Errorf("the menu service is asked for each order while it is away: %v", err)
	}
}
