package probe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const (
	victimTarget = "PROBE_TEST_TARGET"
	victimLedger = "PROBE_TEST_LEDGER"
)

// TestMain turns the test binary into a probe that can be killed, if asked to.
func TestMain(m *testing.M) {
	if target := os.Getenv(victimTarget); target != "" {
		_, _ = Run(context.Background(), Options{Probe: landscapeWrites(), Target: target, Rate: 200, LedgerPath: os.Getenv(victimLedger)})
		return
	}
	os.Exit(m.Run())
}

// Every write that was acknowledged some time before a kill -9 is in the ledger;
// a further run goes on behind a line that the kill left unfinished. How long
// "some time" is, TestLedgerIsFlushed says: here the machine may be busy.
func TestLedgerSurvivesKill(t *testing.T) {
	t.Parallel()
	const safely = time.Second
	start := time.Now()
	var mu sync.Mutex
	last := map[string]string{}      // key by connection
	seen := map[string]time.Time{}   // when it is known that the probe had the answer
	enough := make(chan struct{}, 1) // when there is something to check
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		// A connection's next request is sent after the answer before was recorded.
		if before := last[r.RemoteAddr]; before != "" {
			seen[before] = time.Now()
		}
		last[r.RemoteAddr] = r.Header.Get("Idempotency-Key")
		if len(seen) > 300 && time.Since(start) > 3*safely && len(enough) == 0 {
			enough <- struct{}{}
		}
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	victim := exec.Command(os.Args[0], "-test.run=^$")
	victim.Env = append(os.Environ(), victimTarget+"="+server.URL, victimLedger+"="+path)
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	<-enough
	killed := time.Now()
	_ = victim.Process.Kill()
	_ = victim.Wait()

	acked := acknowledged(t, path)
	mu.Lock()
	defer mu.Unlock()
	checked := 0
	for key, at := range seen {
		if at.Before(killed.Add(-safely)) {
			checked++
			if !acked[key] {
				t.Errorf("%s was acknowledged %v before the kill and is not in the ledger", key, killed.Sub(at))
			}
		}
	}
	if checked == 0 {
		t.Error("no write was early enough to be checked")
	}
}

func acknowledged(t *testing.T, path string) map[string]bool {
	t.Helper()
	l, err := openLedger(path) // cuts off what is unfinished
	if err != nil {
		t.Fatal(err)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	acked := map[string]bool{}
	for _, e := range entriesOf(t, path) {
		acked[e.Key] = e.Acknowledged()
	}
	return acked
}
