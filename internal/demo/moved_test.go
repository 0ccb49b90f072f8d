//go:build linux

package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// relayAt is what the site's record says of a relay.
type relayAt struct {
	Pid    int    `json:"pid"`
	Listen string `json:"host_listen"`
	Untold bool   `json:"untold"`
}

func (r *running) relaysOf(t *testing.T, environment string) map[string]relayAt {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.godwit.State, "env", "records", environment+".json"))
	r.must(t, err)
	var record struct {
		Relays map[string]relayAt `json:"relays"`
	}
	r.must(t, json.Unmarshal(text, &record))
	return record.Relays
}

// TestRelayMovesUnderTheStream: the relays of a way back end, and others have taken
// their ports. They listen elsewhere then, the source's side is told, and the stream
// goes on: the way back has every write that was made meanwhile.
func TestRelayMovesUnderTheStream(t *testing.T) {
	r := up(t, "50")
	r.do(t, "migrate", "sync")
	r.there(t)
	before := r.relaysOf(t, environment)
	if len(before) == 0 {
		t.Fatal("there is no relay")
	}
	for _, relay := range before {
		r.must(t, syscall.Kill(relay.Pid, syscall.SIGKILL))
		r.take(t, relay.Listen)
	}
	r.eventually(t, "they listen elsewhere, and the source knows it", func() error {
		for database, now := range r.relaysOf(t, environment) {
			if now.Listen == before[database].Listen || now.Untold {
				return fmt.Errorf("relay of %s: %+v", database, now)
			}
		}
		if m := r.status(t); m.Problem != "" {
			return errors.New(m.Problem)
		}
		return nil
	})
	r.do(t, "migrate", "rollback")
	r.settled(t, "source")
	seen, err := r.load.result()
	r.must(t, err)
	if l := seen.Ledger; l.Missing != 0 || l.Duplicated != 0 || l.Acknowledged == 0 || seen.Result.Failed != 0 {
		t.Errorf("of %d requests %d failed; of %d acknowledged writes %d are missing and %d doubled", seen.Result.Sent, seen.Result.Failed, l.Acknowledged, l.Missing, l.Duplicated)
	}
}

// take listens where a process that is about to end still does.
func (r *running) take(t *testing.T, address string) {
	t.Helper()
	var ln net.Listener
	r.eventually(t, address+" is free", func() (err error) {
		ln, err = net.Listen("tcp", address)
		return err
	})
	t.Cleanup(func() { ln.Close() })
}

// eventually waits for what comes by itself.
func (r *running) eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	_, err := backoff.Retry(t.Context(), func() (struct{}, error) { return struct{}{}, holds() },
		backoff.WithBackOff(backoff.NewConstantBackOff(10*time.Millisecond)), backoff.WithMaxElapsedTime(2*time.Minute))
	if err != nil {
		t.Fatalf("it never came that %s: %v", what, err)
	}
}
