package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
)

// narrow is a server with room for few locks: 29 times as many as it is told.
func narrow(t *testing.T, locks string) *migratetest.Server {
	var options []postgrestest.Option
	for name, value := range map[string]string{"max_locks_per_transaction": locks, "max_connections": "12", "max_prepared_transactions": "0",
		"max_worker_processes": "8", "max_wal_senders": "5"} {
		options = append(options, postgrestest.Config(name, value))
	}
	return migratetest.StartServer(t, options...)
}

// A schema of many tables goes there and back, and every way out ends, where there is
// no room to lock everything at once. The target has what TargetSettings says.
func TestManyTables(t *testing.T) {
	t.Parallel()
	source, small := narrow(t, "10"), narrow(t, "10")
	source.Tables(t, 150)
	b := migratetest.Writer(t, migratetest.Pair(t, source, small))
	if err := b.Sync(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "out of shared memory") {
		t.Fatalf("sync into a server with room for few locks: %v; this proves nothing", err)
	}
	aborted(t, b, source, small)
	b.Close()
	goThereAndBack(t, source, small, narrow)
}

// The same with schemas as large as people have, on a source as Debian sets it up.
func TestThousandsOfTables(t *testing.T) {
	if os.Getenv("GODWIT_SOAK") == "" {
		t.Skip("takes many minutes; GODWIT_SOAK=1 runs it")
	}
	for _, tables := range []int{3_000, 7_000} {
		t.Run(fmt.Sprint(tables), func(t *testing.T) {
			source, small := migratetest.StartServer(t), migratetest.StartServer(t, postgrestest.Config("max_connections", "25"))
			source.Tables(t, tables)
			goThereAndBack(t, source, small, func(t *testing.T, locks string) *migratetest.Server {
				return migratetest.StartServer(t, postgrestest.Config("max_connections", "25"), postgrestest.Config("max_locks_per_transaction", locks))
			})
		})
	}
}

// aborted: an abort leaves nothing on both sides.
func aborted(t *testing.T, b *postgres.Writer, source, target *migratetest.Server) {
	t.Helper()
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

// untilCopying is a sync that is given up when rows are being copied.
func untilCopying(t *testing.T, b *postgres.Writer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := b.Sync(ctx, func(p postgres.Progress) {
		if p.Copied > 0 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("sync that is given up: %v", err)
	}
}

// goThereAndBack moves a source's tables into a target that is configured as one like
// small should be.
func goThereAndBack(t *testing.T, source, small *migratetest.Server, start func(t *testing.T, locks string) *migratetest.Server) {
	settings, err := migratetest.Reader(t, migratetest.Pair(t, source, small)).TargetSettings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	locks := settings["max_locks_per_transaction"]
	if locks == "" {
		t.Fatal("a server with room for few locks is said to have enough")
	}
	target := start(t, locks)
	pair := migratetest.Pair(t, source, target)
	if findings, err := migratetest.Reader(t, pair).Check(t.Context()); err != nil || findings.HasErrors() {
		t.Fatalf("check: %+v, %v", findings, err)
	}
	b := migratetest.Writer(t, pair)
	tables := migratetest.Text(t, source.Admin, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'part%'")
	timed := func(what string, do func() error) {
		t.Helper()
		begun := time.Now()
		if err := do(); err != nil {
			t.Fatalf("%s of %s tables: %v", what, tables, err)
		}
		t.Logf("%s tables, max_locks_per_transaction %s: %s in %v", tables, locks, what, time.Since(begun).Round(time.Millisecond))
	}
	timed("sync until rows are copied", func() error { untilCopying(t, b); return nil })
	timed("abort", func() error { aborted(t, b, source, target); return nil })
	timed("sync", func() error { return b.Sync(t.Context(), nil) })
	timed("cutover", func() error { turn(t, b, postgres.Source); return nil })
	migratetest.Exec(t, target.App, "INSERT INTO part_7 (note) VALUES ('only here')")
	timed("rollback", func() error { turn(t, b, postgres.Target); return nil })
	if n := migratetest.Text(t, source.Admin, "SELECT count(*) FROM part_7 WHERE note = 'only here'"); n != "1" {
		t.Errorf("after the rollback the source has %s of the row", n)
	}
	timed("cutover", func() error { turn(t, b, postgres.Source); return nil })
	timed("finish", func() error { return b.Finish(t.Context()) })
	if n := migratetest.Text(t, target.Admin, left); n != "0" {
		t.Errorf("%s things are left on the target", n)
	}
	migratetest.Exec(t, target.App, "INSERT INTO part_7 (note) VALUES ('after')")
	psql(t, source.Admin, pair.ByHand(postgres.Source))
	migratetest.Exec(t, source.App, "INSERT INTO part_7 (note) VALUES ('by hand')")
}

// Reading all definitions locks all tables at once: a server that has no room for that
// is found before anything is touched, with the number that helps.
func TestTooManyTablesAreFound(t *testing.T) {
	t.Parallel()
	source, target := narrow(t, "10"), narrow(t, "10")
	source.Tables(t, 300)
	pair := migratetest.Pair(t, source, target)
	findings, err := migratetest.Reader(t, pair).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"error source: its 330 tables and views have to be locked at the same time", "error target: making everything that the source has takes up to"} {
		if !found(findings, want) {
			t.Errorf("no finding %q in %+v", want, findings)
		}
	}
	for _, f := range findings {
		if f.Severity == landscape.Error && !strings.Contains(f.Mend, "set max_locks_per_transaction = ") {
			t.Errorf("the mend of %q is %q", f.Summary, f.Mend)
		}
	}
	pair.Target.Configurable = true
	if findings, err = migratetest.Reader(t, pair).Check(t.Context()); err != nil || found(findings, "error target") {
		t.Errorf("of a target that sync configures: %+v, %v", findings, err)
	}
}
