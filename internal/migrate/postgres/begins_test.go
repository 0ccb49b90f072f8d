package postgres_test

import (
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
)

// TestBeginsBehindTheFence: what an application begins with makes nothing when all is
// there, and is let through behind the fence; what would make something is refused.
func TestBeginsBehindTheFence(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 10)
	b := migratetest.Writer(t, migratetest.Pair(t, source, target))
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	migratetest.Exec(t, target.App, "CREATE TABLE IF NOT EXISTS register (id int PRIMARY KEY)", "CREATE SCHEMA IF NOT EXISTS public",
		"create  table if  not exists receipt (id int); CREATE SEQUENCE IF NOT EXISTS ticket", `CREATE INDEX IF NOT EXISTS order_pkey ON "order" (id)`)
	for _, made := range []string{
		"CREATE TABLE IF NOT EXISTS fresh (id int)", "CREATE TABLE IF NOT EXISTS register (id int); CREATE TABLE fresh (id int)",
		`CREATE INDEX IF NOT EXISTS fresh ON "order" (note)`, `CREATE INDEX CONCURRENTLY IF NOT EXISTS fresh ON "order" (note)`,
		"CREATE TABLE fresh (id int) /* if not exists */", "ALTER TABLE register ADD COLUMN IF NOT EXISTS fresh int", "CREATE SEQUENCE IF NOT EXISTS fresh",
		"DROP TABLE IF EXISTS receipt", "CREATE OR REPLACE FUNCTION shout(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
	} {
		if err := migratetest.Try(t.Context(), target.App, made); err == nil || !strings.Contains(err.Error(), "fenced") {
			t.Errorf("%s: %v", made, err)
		}
	}
	if n := migratetest.Text(t, target.Admin, "SELECT count(*) FROM pg_class WHERE relname = 'fresh'"); n != "0" {
		t.Errorf("%s of them were made", n)
	}
}
