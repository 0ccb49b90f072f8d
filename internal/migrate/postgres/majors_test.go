package postgres_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	local "godwit/internal/site/local/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
	"godwit/internal/testtool"
)

// ofMajor is a server that `make tools` has fetched.
func ofMajor(t *testing.T, major int) postgrestest.Option {
	t.Helper()
	bin := filepath.Dir(testtool.Find(t, fmt.Sprintf("postgres%d/bin/postgres", major)))
	return postgrestest.With(local.Installation{Bin: bin, Major: major, Version: fmt.Sprint(major)})
}

// own stands for the major of this machine.
const own = 0

// TestOldMajors: a data centre's old server moves to this machine's, the way back
// works, and so does another way there.
func TestOldMajors(t *testing.T) {
	t.Parallel()
	for _, majors := range [][2]int{{11, own}, {12, own}, {13, own}, {14, own}, {11, 17}} {
		t.Run(fmt.Sprintf("%d to %d", majors[0], majors[1]), func(t *testing.T) {
			t.Parallel()
			source := migratetest.StartServer(t, ofMajor(t, majors[0]))
			var to []postgrestest.Option
			if majors[1] != own {
				to = append(to, ofMajor(t, majors[1]))
			}
			target := migratetest.StartServer(t, to...)
			source.Fill(t, 2000)
			migratetest.Exec(t, source.App, "CREATE TABLE measure (id float8 PRIMARY KEY, a real, p point)", "INSERT INTO measure SELECT g / 7.0::float8, 1 / 3.0, point(0.1, g / 3.0) FROM generate_series(1, 50) g")
			pair := migratetest.Pair(t, source, target)
			if findings, err := check(t, pair); err != nil || len(findings) > 0 {
				t.Errorf("check: %v, %v", findings, err)
			}
			b := migratetest.Writer(t, pair)
			if err := b.Sync(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			for i, from := range []string{postgres.Source, postgres.Target, postgres.Source} {
				app := map[string]string{postgres.Source: source.App, postgres.Target: target.App}[from]
				migratetest.Exec(t, app, fmt.Sprintf(`INSERT INTO "order" (key) VALUES ('new-%d')`, i), `UPDATE register SET last = last + 1`,
					`DELETE FROM visit WHERE id = (SELECT min(id) FROM visit)`, "SELECT nextval('ticket')")
				turn(t, b, from)
				v, err := b.Verify(t.Context(), nil)
				if err != nil || len(v.Differing) > 0 || len(v.Behind) > 0 {
					t.Fatalf("switch %d: %+v, %v", i, v, err)
				}
			}
			for what, want := range map[string]string{`SELECT count(*) FROM "order"`: "2003", "SELECT sum(last) FROM register": "24", "SELECT count(*) FROM visit": "298",
				"SELECT nextval('ticket')": "115", "SELECT shout('a')": "A"} {
				if got := migratetest.Text(t, target.App, what); got != want {
					t.Errorf("%s: %s, want %s", what, got, want)
				}
			}
			if err := b.Finish(t.Context()); err != nil {
				t.Error(err)
			}
			psql(t, source.Admin, pair.ByHand(postgres.Source))
			migratetest.Exec(t, source.App, "UPDATE register SET last = 0")
		})
	}
}

// TestMissingExtension: each extension is asked for by its name, and only those that
// the source uses.
func TestMissingExtension(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 1)
	pair := migratetest.Pair(t, source, target)
	if findings, err := check(t, pair); err != nil || len(findings) > 0 {
		t.Errorf("without extensions: %v, %v", findings, err)
	}
	migratetest.Exec(t, source.Admin, "CREATE EXTENSION citext", "UPDATE pg_extension SET extname = 'absent' WHERE extname = 'citext'")
	findings, err := check(t, pair)
	if err != nil || len(findings) != 1 || !found(findings, "error target: extension absent of the source is not installed on this server") {
		t.Errorf("findings %v, %v", findings, err)
	}
}
