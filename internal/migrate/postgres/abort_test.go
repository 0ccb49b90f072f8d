package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
)

// Whatever is unknown, an abort never empties a target that may hold the truth.
func TestAbortNeverLosesTheTruth(t *testing.T) {
	t.Parallel()
	source, target, b := synced(t, 10)
	turn(t, b, postgres.Source)
	migratetest.Exec(t, target.App, `INSERT INTO "order" (key) VALUES ('only here')`)
	expect := func(when string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", when, err)
		}
		if n := migratetest.Text(t, target.Admin, `SELECT count(*) FROM "order" WHERE key = 'only here'`); n != "1" {
			t.Fatalf("%s: the write is lost", when)
		}
	}
	expect("the target holds the truth", b.Abort(t.Context()), postgres.ErrTruthMoved)
	// Inside a rollback both are fenced, and the source may not have everything yet.
	decided(t, b, postgres.Target)
	expect("inside a rollback", b.Abort(t.Context()), postgres.ErrTruthMoved)
	lost := migratetest.Pair(t, source, target)
	lost.Source.Config.Port = 1
	expect("the source can't be reached", migratetest.Writer(t, lost).Abort(t.Context()), postgres.ErrUnreachable)
	lost = migratetest.Pair(t, source, target)
	lost.Target.Config.Port = 1
	expect("the target can't be reached", migratetest.Writer(t, lost).Abort(t.Context()), postgres.ErrUnreachable)
}

// A target that is gone does not keep the source from being cleaned.
func TestAbortWithoutTarget(t *testing.T) {
	t.Parallel()
	source, target, _ := synced(t, 10)
	lost := migratetest.Pair(t, source, target)
	lost.Target.Config.Port = 1
	if err := migratetest.Writer(t, lost).Abort(t.Context()); !errors.Is(err, postgres.ErrUnreachable) {
		t.Errorf("abort: %v", err)
	}
	migratetest.Eventually(t, "the source is clean", func() bool { return migratetest.Text(t, source.Admin, left) == "0" })
	migratetest.Exec(t, source.App, `INSERT INTO "order" (key) VALUES ('after')`)
}

// A source that is gone for good keeps nobody from ending: after the cutover the
// target keeps every write, before it only what is asked for is removed.
func TestWithoutSource(t *testing.T) {
	t.Parallel()
	source, target, b := synced(t, 10)
	if err := b.FinishAlone(t.Context(), false); !errors.Is(err, postgres.ErrState) {
		t.Errorf("finish before the cutover: %v", err)
	}
	turn(t, b, postgres.Source)
	migratetest.Exec(t, target.App, `INSERT INTO "order" (key) VALUES ('only here')`)
	b.Close()
	source.Stop()
	b = migratetest.Writer(t, migratetest.Pair(t, source, target))
	if err := b.Finish(t.Context()); !errors.Is(err, postgres.ErrSource) {
		t.Errorf("finish: %v", err)
	}
	if err := b.AbortAlone(t.Context()); !errors.Is(err, postgres.ErrTruthMoved) {
		t.Errorf("abort after the cutover: %v", err)
	}
	for range 2 {
		if err := b.FinishAlone(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	if n := migratetest.Text(t, target.Admin, left); n != "0" {
		t.Errorf("%s things are left on the target, and keep its log", n)
	}
	migratetest.Exec(t, target.App, `INSERT INTO "order" (key) VALUES ('after')`, "CREATE TABLE mine (id int PRIMARY KEY)")
	if n := migratetest.Text(t, target.Admin, `SELECT count(*) FROM "order"`); n != "12" {
		t.Errorf("%s rows are left", n)
	}
}

// A rollback whose source has gone inside of it can be given up: the target has
// every write.
func TestRollbackGivenUp(t *testing.T) {
	t.Parallel()
	source, target, b := synced(t, 10)
	turn(t, b, postgres.Source)
	decided(t, b, postgres.Target)
	b.Close()
	source.Stop()
	b = migratetest.Writer(t, migratetest.Pair(t, source, target))
	if err := b.FinishAlone(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	migratetest.Exec(t, target.App, `INSERT INTO "order" (key) VALUES ('after')`)
	if n := migratetest.Text(t, target.Admin, left); n != "0" {
		t.Errorf("%s things are left on the target", n)
	}
}

func TestAbortWithoutSource(t *testing.T) {
	t.Parallel()
	source, target, b := synced(t, 10)
	b.Close()
	source.Stop()
	b = migratetest.Writer(t, migratetest.Pair(t, source, target))
	if err := b.Abort(t.Context()); !errors.Is(err, postgres.ErrSource) {
		t.Errorf("abort: %v", err)
	}
	if n := migratetest.Text(t, target.Admin, `SELECT count(*) FROM "order"`); n != "10" {
		t.Fatalf("%s rows are left: nobody said that the copy may go", n)
	}
	for range 2 {
		if err := b.AbortAlone(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := migratetest.Text(t, target.Admin, left); n != "0" {
		t.Errorf("%s things are left on the target", n)
	}
}

// A server has room for so many locks only: everything that goes over all tables
// goes over some at a time.
func TestAbortOfMoreTablesThanLocks(t *testing.T) {
	t.Parallel()
	narrow := []postgrestest.Option{postgrestest.Config("max_locks_per_transaction", "10"), postgrestest.Config("max_connections", "25")}
	source, target := migratetest.StartServer(t), migratetest.StartServer(t, narrow...)
	source.Fill(t, 1)
	for i := range 40 {
		var all strings.Builder
		for j := range 10 {
			fmt.Fprintf(&all, "CREATE TABLE t%d (id bigserial PRIMARY KEY);", 10*i+j)
		}
		migratetest.Exec(t, source.App, all.String())
	}
	b := migratetest.Writer(t, migratetest.Pair(t, source, target))
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	at := "BEGIN; SELECT pg_advisory_lock(1735353463, 0); DROP SCHEMA public CASCADE; ROLLBACK"
	if err := migratetest.Try(t.Context(), target.Admin, at); err == nil || !strings.Contains(err.Error(), "out of shared memory") {
		t.Fatalf("all tables at a time: %v; the test proves nothing", err)
	}
	if err := b.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*migratetest.Server{"source": source, "target": target} {
		if n := migratetest.Text(t, s.Admin, left); n != "0" {
			t.Errorf("%s things are left on the %s", n, name)
		}
	}
	if n := migratetest.Text(t, target.Admin, `SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace`); n != "0" {
		t.Errorf("%s relations are left on the target", n)
	}
}
