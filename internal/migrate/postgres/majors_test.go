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

// ofMajor is a server of this machine's, or one that `make tools` has fetched.
func ofMajor(t *testing.T, major int) postgrestest.Option {
	t.Helper()
	if inst, err := local.Find(t.Context()); err == nil && inst.Major == major {
		return postgrestest.With(inst)
	}
	bin := filepath.Dir(testtool.Find(t, fmt.Sprintf("postgres%d/bin/postgres", major)))
	return postgrestest.With(local.Installation{Bin: bin, Major: major, Version: fmt.Sprint(major)})
}

// TestOldMajors: a data centre's old server moves to this machine's, the way back
// works, and so does another way there.
func TestOldMajors(t *testing.T) {
	t.Parallel()
	for _, majors := range [][2]int{{11, 15}, {12, 15}, {13, 15}, {14, 15}, {11, 17}} {
		t.Run(fmt.Sprintf("%d to %d", majors[0], majors[1]), func(t *testing.T) {
			t.Parallel()
			source := migratetest.StartServer(t, ofMajor(t, majors[0]))
			target := migratetest.StartServer(t, ofMajor(t, majors[1]))
			source.Fill(t, 2000)
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
