package probe

import (
	"context"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A server that stalls for two seconds is felt by every request that was due
// within them, as long as each had to wait.
func TestLatencyCountsFromTheIntendedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		dial, stop := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if since := time.Since(start); since >= time.Second && since < 3*time.Second {
				time.Sleep(3*time.Second - since)
			}
		})
		defer stop()
		var dials atomic.Int64
		counted := func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return dial(ctx, network, address)
		}
		var streamed []Sample
		r, err := Run(t.Context(), Options{Probe: tills(), Target: "http://till", Rate: 100, Duration: 5 * time.Second,
			Dial: counted, OnSample: func(s Sample) { streamed = append(streamed, s) }})
		if err != nil {
			t.Fatal(err)
		}
		if r.Sent != 500 || r.OK != 500 || r.Failed != 0 {
			t.Errorf("counts: %+v", r)
		}
		if n := dials.Load(); n != 200 && n != 201 { // all who wait at once, and perhaps the one due when the stall ends
			t.Errorf("%d connections for 200 requests at once", n)
		}
		if r.Max != 2*time.Second {
			t.Errorf("max %v, want 2s", r.Max)
		}
		// 200 of 500 waited 2 s to 10 ms: the 99th percentile is 5 requests from the top.
		if r.P50 > time.Millisecond || r.P99 < 1940*time.Millisecond || r.P99 > 1970*time.Millisecond {
			t.Errorf("p50 %v, p99 %v", r.P50, r.P99)
		}
		if want := 2*time.Second + 10*time.Millisecond; r.LongestGap != want || r.LongestWriteGap < want {
			t.Errorf("gaps %v, %v; want %v", r.LongestGap, r.LongestWriteGap, want)
		}
		if len(r.Samples) != 50 || len(streamed) != 50 {
			t.Fatalf("%d samples, %d streamed", len(r.Samples), len(streamed))
		}
		for i, s := range r.Samples {
			if s != streamed[i] || s.At != time.Duration(i)*Window || s.Sent != 10 || s.OK != 10 {
				t.Errorf("sample %d: %+v", i, s)
			}
		}
		if s := r.Samples[10]; s.Max != 2*time.Second {
			t.Errorf("sample at the start of the stall: %+v", s)
		}
	})
}

// The scheduler itself is late (a stalled machine): it catches up, leaves
// nothing out, and the lateness is in the latency.
func TestCatchesUpWithoutDropping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, stop := serve(t, func(http.ResponseWriter, *http.Request) {})
		defer stop()
		o, err := Options{Probe: tills(), Target: "http://till", Rate: 100, Duration: 2 * time.Second, Dial: dial}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		l := &load{Options: o, ledger: &ledger{}, last: t.Context(), start: time.Now().Add(-time.Second)}
		l.target, _ = o.target()
		if l.deck, err = newDeck(o); err != nil {
			t.Fatal(err)
		}
		l.score, l.crew = newScore(l.start, nil, nil), newCrew(o.MaxInFlight, l.work)
		l.schedule(t.Context())
		l.crew.dismiss()
		r := l.score.finish(time.Now())
		if r.Sent != 200 || r.OK != 200 || r.Max != time.Second || r.Elapsed != 1990*time.Millisecond {
			t.Errorf("%+v", r)
		}
	})
}

func TestStopsCleanly(t *testing.T) {
	for name, c := range map[string]struct {
		answer      time.Duration
		interrupted int64
	}{
		"those in flight are answered":  {300 * time.Millisecond, 0},
		"those that hang are cut short": {time.Minute, 150},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, stop := serve(t, func(_ http.ResponseWriter, r *http.Request) {
					select {
					case <-time.After(c.answer):
					case <-r.Context().Done():
					}
				})
				defer stop()
				ctx, cancel := context.WithTimeout(t.Context(), 1495*time.Millisecond)
				defer cancel()
				r, err := Run(ctx, Options{Probe: tills(), Target: "http://till", Rate: 100, Dial: dial})
				if err != nil {
					t.Fatal(err)
				}
				if r.Sent != 150 || r.Interrupted != c.interrupted || r.OK != 150-c.interrupted || r.Failed != 0 {
					t.Errorf("%+v", r)
				}
				if want := 1495*time.Millisecond + min(c.answer-5*time.Millisecond, time.Second); r.Elapsed != want {
					t.Errorf("ended after %v, want %v", r.Elapsed, want)
				}
			})
		})
	}
}

func TestTimeoutAndOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, stop := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		defer stop()
		r, err := Run(t.Context(), Options{Probe: tills(), Target: "http://till", Rate: 10, Duration: 2 * time.Second,
			Dial: dial, Timeout: 450 * time.Millisecond, MaxInFlight: 3})
		if err != nil {
			t.Fatal(err)
		}
		// Three wait from 0, 0.1, 0.2 s; 0.3 and 0.4 find all busy; at 0.45 the first is over, and so on.
		want := map[string]int64{"timeout": 12, "overload": 8}
		if !maps.Equal(r.Reasons, want) || r.Sent != 20 || r.Failed != 20 || r.OK != 0 {
			t.Errorf("%+v, want %v", r, want)
		}
		if r.LongestGap != r.Elapsed {
			t.Errorf("gap %v of %v", r.LongestGap, r.Elapsed)
		}
	})
}

func TestRetryWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var asked atomic.Int64
		dial, stop := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			if time.Since(start) < 2*time.Second {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		defer stop()
		r, err := Run(t.Context(), Options{Probe: tills(), Target: "http://till", Rate: 10, Duration: 3 * time.Second, Dial: dial, Retry: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.OK != 30 || r.Failed != 0 || r.Retried == 0 || asked.Load() != r.Sent+r.Retried {
			t.Errorf("asked %d: %+v", asked.Load(), r)
		}
		if r.Max < 2*time.Second {
			t.Errorf("the time of the retries is not in the latency: %v", r.Max)
		}
	})
}

func TestLedgerHoldsEveryWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, stop := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Idempotency-Key") == "run-7" {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		defer stop()
		path := filepath.Join(t.TempDir(), "ledger.jsonl")
		one := 1.0
		for _, run := range []string{"run", "again"} { // the second run appends
			if _, err := Run(t.Context(), Options{Probe: landscapeWrites(), Target: "http://till", Rate: 10, Duration: time.Second,
				Dial: dial, LedgerPath: path, Run: run, WriteShare: &one}); err != nil {
				t.Fatal(err)
			}
		}
		entries := entriesOf(t, path)
		if len(entries) != 20 {
			t.Fatalf("%d entries", len(entries))
		}
		for i, e := range entries {
			if acked := i != 7; e.Acknowledged() != acked || (e.Class == "500") == acked || e.Ledger != "orders" {
				t.Errorf("entry %d: %+v", i, e)
			}
		}
	})
}

// What was acknowledged FlushEvery ago is in the file, while the load runs.
func TestLedgerIsFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, stop := serve(t, func(http.ResponseWriter, *http.Request) {})
		defer stop()
		path := filepath.Join(t.TempDir(), "ledger.jsonl")
		done := make(chan error)
		go func() {
			_, err := Run(t.Context(), Options{Probe: landscapeWrites(), Target: "http://till", Rate: 100, Duration: time.Second, Dial: dial, LedgerPath: path})
			done <- err
		}()
		for now := 50 * time.Millisecond; now < time.Second; now += 50 * time.Millisecond {
			time.Sleep(50 * time.Millisecond)
			synctest.Wait()
			acked := 0
			for _, e := range entriesOf(t, path) {
				if e.Acknowledged() {
					acked++
				}
			}
			if want := int((now - FlushEvery) / (10 * time.Millisecond)); acked < want {
				t.Errorf("after %v %d acknowledged writes are in the file, want %d", now, acked, want)
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func entriesOf(t *testing.T, path string) []Entry {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	entries, err := ReadLedger(file)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
