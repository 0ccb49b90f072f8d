package migrate_test

import (
	"strings"
	"testing"

	"godwit/internal/migrate"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// TestCheckJudgesAllDatabases: one that cannot be asked everything keeps none of the
// others from being judged, and is named itself.
func TestCheckJudgesAllDatabases(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	migratetest.Exec(t, source.Admin, "CREATE TABLE keyless (id int)")
	readers := []*postgres.Reader{}
	for _, name := range []string{"stock", "menu", "shop"} {
		pair := migratetest.Pair(t, source, target)
		if pair.Database != name {
			pair.Database = name
			of := func(admin string) string { return strings.Replace(admin, "/shop?", "/"+name+"?", 1) }
			for _, s := range []*migratetest.Server{source, target} {
				migratetest.Exec(t, s.Admin, "CREATE DATABASE "+name+" OWNER shop")
			}
			// Somebody else's table of that name: it cannot be asked what it would be.
			migratetest.Exec(t, of(target.Admin), "CREATE SCHEMA godwit", "CREATE TABLE godwit.state (id int)")
			pair.Source, pair.Target = migratetest.Side(t, of(source.Admin)), migratetest.Side(t, of(target.Admin))
		}
		readers = append(readers, migratetest.Reader(t, pair))
	}
	findings, err := migrate.Check(t.Context(), readers)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	findings.Format(&said, false)
	for _, want := range []string{
		`error: database "stock", target: ERROR: column "value" does not exist`,
		`error: database "menu", target: ERROR: column "value" does not exist`,
		`error: database "shop", source: 1 table has no primary key and no replica identity`,
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("no %s in\n%s", want, said.String())
		}
	}
	for _, f := range findings {
		if f.Mend == "" {
			t.Errorf("no mend: %+v", f)
		}
	}
}
