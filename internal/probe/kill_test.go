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
		_, _ = Run(context.Background(), Options{Probe: landscapeWrites(), Target: target, Rate: 500, LedgerPath: os.Getenv(victimLedger)})
		return
	}
	os.Exit(m.Run())
}

// Every write that was answered some time before a kill -9 is in the ledger; a
// further run goes on behind a line that the kill left unfinished.
func TestLedgerSurvivesKill(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	answered := map[string]time.Time{}
	enough := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		answered[r.Header.Get("Idempotency-Key")] = time.Now()
		if len(answered) == 500 {
			close(enough)
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
	// Twice FlushEvery is what is promised; the rest is for a machine under load.
	safe := killed.Add(-2*FlushEvery - 100*time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	checked := 0
	for key, at := range answered {
		if at.Before(safe) {
			checked++
			if !acked[key] {
				t.Errorf("%s was answered %v before the kill and is not in the ledger", key, killed.Sub(at))
			}
		}
	}
	if checked < 200 {
		t.Errorf("only %d writes were early enough to be checked", checked)
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
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	entries, err := ReadLedger(file)
	if err != nil {
		t.Fatal(err)
	}
	acked := map[string]bool{}
	for _, e := range entries {
		acked[e.Key] = e.Acknowledged()
	}
	return acked
}
