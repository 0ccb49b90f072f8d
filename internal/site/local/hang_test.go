//go:build linux

package local_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"godwit/internal/site/local/warden"
	"godwit/internal/testtool"
)

// TestHungDatabase: a Postgres that answers nobody any more is killed and started
// again, with its data.
func TestHungDatabase(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can stop a process of an environment from here")
	}
	b := newBench(t)
	b.apply(bistro(), "test")
	_, err := b.connect().Exec(t.Context(), "create table kept as select 'here' as n")
	b.ok(err)
	pid, err := warden.Pid(filepath.Join(b.config.StateDir, "w", "test"))
	b.ok(err)
	postmaster := b.child(pid, "db-till")
	testtool.Hang(t, postmaster)
	b.await("seen as hung", func() bool { return !b.databaseReady() })
	b.await("started again", b.databaseReady)
	if b.child(pid, "db-till") == postmaster {
		t.Error("it is the same process")
	}
	if got := b.value("select n from kept"); got != "here" {
		t.Errorf("the data is %q", got)
	}
}

func (b *bench) databaseReady() bool {
	b.Helper()
	e, err := b.Observe(b.Context(), "test")
	b.ok(err)
	return e.Databases[0].Ready
}

// await waits until something is so.
func (b *bench) await(what string, so func() bool) {
	b.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); !so(); <-tick.C {
		if time.Now().After(deadline) {
			b.Fatalf("not %s in time", what)
		}
	}
}
