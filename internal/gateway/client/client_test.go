package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/gateway"
)

func start(t testing.TB) (*Client, gateway.Config, *gateway.Server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gwc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cfg := gateway.Config{Listen: "127.0.0.1:0", Admin: filepath.Join(dir, "admin"), State: filepath.Join(dir, "table"), FarewellTime: time.Millisecond}
	s := run(t, cfg)
	c := New(cfg.Admin)
	t.Cleanup(c.Close)
	return c, cfg, s
}

func run(t testing.TB, cfg gateway.Config) *gateway.Server {
	t.Helper()
	before, _ := os.Stat(cfg.Admin)
	s, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, ended := make(chan error, 1), make(chan struct{})
	go func() { defer close(ended); done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for now, err := os.Stat(cfg.Admin); err != nil || before != nil && os.SameFile(before, now); now, err = os.Stat(cfg.Admin) {
		select { // until the socket in place is the new gateway's
		case <-tick.C:
		case err := <-done:
			t.Fatalf("the gateway ended: %v", err)
		}
	}
	return s
}

func pool(address string) gateway.Pool {
	return gateway.Pool{Endpoints: []gateway.Endpoint{{ID: "a", Address: address, Release: 1}}, Weights: fleet.Weights{1: 1}}
}

func TestEveryCall(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, _, s := start(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "served") }))
	defer b.Close()
	must(c.Healthy(ctx))
	must(c.SetPool(ctx, "production/till", pool(b.Listener.Addr().String())))
	must(c.SetRoutes(ctx, map[string]string{"till.example": "production/till"}))
	table, err := c.Table(ctx)
	must(err)
	if table.Routes["till.example"].Pool != "production/till" || table.Version != 2 {
		t.Errorf("table %+v", table)
	}
	must(c.Hold(ctx, "m/1", gateway.HoldRequest{Hosts: []string{"till.example"}, LeaseMS: time.Minute.Milliseconds()}))
	must(c.Hold(ctx, "m/1", gateway.HoldRequest{Hosts: []string{"till.example"}, LeaseMS: time.Minute.Milliseconds()}))
	must(c.Drained(ctx, "m/1"))
	answered := make(chan error, 1)
	go func() {
		req, _ := http.NewRequest("GET", "http://"+s.Addr(), nil)
		req.Host = "till.example"
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			res.Body.Close()
		}
		answered <- err
	}()
	for st := (gateway.HoldStatus{}); st.Waiting == 0; {
		st, err = c.HoldStatus(ctx, "m/1")
		must(err)
	}
	held, err := c.Release(ctx, "m/1")
	must(err)
	must(<-answered)
	if held.Requests != 1 || held.Expired {
		t.Errorf("held %+v", held)
	}
	traffic, err := c.Traffic(ctx, "production/till")
	must(err)
	if traffic[1].Requests != 1 {
		t.Errorf("traffic %+v", traffic)
	}
	must(c.WaitIdle(ctx, "production/till", 2))
	must(c.DeleteRoute(ctx, "till.example"))
	must(c.DeletePool(ctx, "production/till"))
	must(c.Shutdown(ctx))
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, _, _ := start(t)
	if err := c.SetPool(ctx, "p", pool("127.0.0.1:1")); err != nil {
		t.Fatal(err)
	}
	c.SetRoutes(ctx, map[string]string{"h": "p"})
	c.Hold(ctx, "short", gateway.HoldRequest{Hosts: []string{"h"}, LeaseMS: time.Millisecond.Milliseconds()})
	for s, err := c.HoldStatus(ctx, "short"); s.Active; s, err = c.HoldStatus(ctx, "short") {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, release := c.Release(ctx, "none")
	_, traffic := c.Traffic(ctx, "none")
	for what, is := range map[string]struct{ got, want error }{
		"release": {release, gateway.ErrNotFound},
		"traffic": {traffic, gateway.ErrNotFound},
		"expired": {c.Hold(ctx, "short", gateway.HoldRequest{Hosts: []string{"h"}, LeaseMS: time.Second.Milliseconds()}), gateway.ErrExpired},
		"drained": {c.Drained(ctx, "short"), gateway.ErrExpired},
		"in use":  {c.DeletePool(ctx, "p"), gateway.ErrConflict},
		"weight":  {c.WaitIdle(ctx, "p", 1), gateway.ErrConflict},
		"name":    {c.SetPool(ctx, "a?b", gateway.Pool{}), gateway.ErrInvalid},
		"route":   {c.SetRoutes(ctx, map[string]string{"x": "nothing"}), gateway.ErrInvalid},
	} {
		if !errors.Is(is.got, is.want) {
			t.Errorf("%s: %v, want %v", what, is.got, is.want)
		}
	}
	gone := New(filepath.Join(t.TempDir(), "none"))
	if err := gone.Healthy(ctx); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nobody there: %v", err)
	}
	stop, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := c.Drained(stop, "none"); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("drained: %v", err)
	}
}

// TestReplacementIsNotNoticed: calls go on while gateways replace each other.
func TestReplacementIsNotNoticed(t *testing.T) {
	t.Parallel()
	c, cfg, s := start(t)
	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { ended <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			n++
			if err := c.SetPool(context.Background(), "p", gateway.Pool{Weights: fleet.Weights{1: n}}); err != nil {
				t.Errorf("call %d: %v", n, err)
				return
			}
		}
	}()
	cfg.Listen = s.Addr()
	for range 5 {
		run(t, cfg)
	}
	close(stop)
	n := <-ended
	table, err := c.Table(t.Context())
	if err != nil || table.Pools["p"].Weights[1] != n {
		t.Errorf("after %d changes: %+v, %v", n, table, err)
	}
}

func BenchmarkCalls(b *testing.B) {
	c, _, _ := start(b)
	ctx := b.Context()
	c.SetPool(ctx, "source/till", pool("127.0.0.1:1"))
	c.SetPool(ctx, "production/till", pool("127.0.0.1:2"))
	c.SetRoutes(ctx, map[string]string{"till.example": "source/till"})
	var pauses []float64
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		for _, err := range []error{
			c.Hold(ctx, "m", gateway.HoldRequest{Hosts: []string{"till.example"}, LeaseMS: time.Minute.Milliseconds()}),
			c.Drained(ctx, "m"),
			c.SetRoutes(ctx, map[string]string{"till.example": []string{"production/till", "source/till"}[i%2]}),
		} {
			if err != nil {
				b.Fatal(err)
			}
		}
		if _, err := c.Release(ctx, "m"); err != nil {
			b.Fatal(err)
		}
		pauses = append(pauses, float64(time.Since(began).Microseconds()))
	}
	sort.Float64s(pauses)
	b.ReportMetric(pauses[len(pauses)/2], "us-median/4calls")
	b.ReportMetric(pauses[len(pauses)*99/100], "us-p99/4calls")
}
