package postgres_test

import (
	"errors"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
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
	if _, err := b.Fence(t.Context(), postgres.Target); err != nil {
		t.Fatal(err)
	}
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
