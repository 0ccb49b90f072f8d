package postgres_test

import (
	"testing"
	"time"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// TestOpenAfterACrash: that the stream to a side has ended does not wait for its disk.
// When a crash takes it back, opening that side ends it again: else both sides'
// changes would meet there, and the way back would never begin.
func TestOpenAfterACrash(t *testing.T) {
	t.Parallel()
	_, target, b := synced(t, 10)
	p, sequences := decided(t, b, postgres.Source)
	if err := b.CatchUp(t.Context(), postgres.Source, p, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	name := migratetest.Text(t, target.Admin, "SELECT quote_ident(subname) FROM pg_subscription")
	migratetest.Exec(t, target.Admin, "ALTER EVENT TRIGGER godwit_guard DISABLE", "ALTER SUBSCRIPTION "+name+" ENABLE",
		"ALTER EVENT TRIGGER godwit_guard ENABLE ALWAYS") // as a crash leaves it
	for range 2 {
		if err := b.Open(t.Context(), postgres.Target, p, sequences); err != nil {
			t.Fatal(err)
		}
	}
	if enabled := migratetest.Text(t, target.Admin, "SELECT subenabled::text FROM pg_subscription"); enabled != "false" {
		t.Error("it still follows the source, and clients write to it")
	}
	if err := b.Reverse(t.Context(), postgres.Source); err != nil {
		t.Error(err)
	}
}
