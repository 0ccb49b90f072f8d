package postgres_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// TestDumpOfTheTarget: what has moved can be dumped and restored without an error, into
// another database of its server and, but for the roles, into one of another.
func TestDumpOfTheTarget(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 10)
	migratetest.Exec(t, source.Admin, "CREATE EXTENSION citext; CREATE EXTENSION pg_trgm; CREATE EXTENSION pg_stat_statements; CREATE SCHEMA more AUTHORIZATION shop",
		"CREATE EXTENSION hstore SCHEMA more", "CREATE TABLE more.t (id int PRIMARY KEY, h more.hstore); ALTER TABLE more.t OWNER TO shop")
	pair := migratetest.Pair(t, source, target)
	b := migratetest.Writer(t, pair)
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	turn(t, b, postgres.Source)
	if err := b.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	dump := filepath.Join(t.TempDir(), "dump")
	bin := filepath.Dir(pair.Dump.Path)
	tool := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Env = append(os.Environ(), pair.Dump.Env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	tool("pg_dump", "--format=custom", "--file="+dump, target.Admin)
	migratetest.Exec(t, target.Admin, "CREATE DATABASE again OWNER shop")
	again := strings.Replace(target.Admin, "/shop?", "/again?", 1)
	tool("pg_restore", "--exit-on-error", "--dbname="+again, dump)
	if got := migratetest.Text(t, again, `SELECT count(*) FROM "order"`); got != "10" {
		t.Errorf("%s orders were restored", got)
	}
	other := migratetest.StartServer(t)
	tool("pg_restore", "--exit-on-error", "--dbname="+other.Admin, dump)
}
