package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// A table's owner may do with its triggers what he likes: that the guard is not as it
// was made is found before the switch, and in the pause, and sync puts it back.
func TestGuardOfAnOwner(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 10)
	for _, meddling := range []string{
		"ALTER TABLE receipt DISABLE TRIGGER godwit_guard", "ALTER TABLE receipt ENABLE TRIGGER godwit_guard", "DROP TRIGGER godwit_guard ON receipt",
		`DROP TRIGGER godwit_guard ON receipt; CREATE OR REPLACE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
			CREATE TRIGGER godwit_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON receipt FOR EACH STATEMENT EXECUTE FUNCTION public.nothing();
			ALTER TABLE receipt ENABLE ALWAYS TRIGGER godwit_guard`,
	} {
		prepared(t, b, postgres.Source)
		migratetest.Exec(t, source.App, meddling)
		_, _, behind := fence(t, b, postgres.Source)
		if err := b.Unfence(t.Context(), postgres.Source); err != nil {
			t.Fatal(err)
		}
		for when, err := range map[string]error{"in the pause": behind, "before it": b.Prepare(t.Context(), postgres.Source)} {
			if !errors.Is(err, postgres.ErrChanged) {
				t.Errorf("%s, after %s: %v", when, meddling, err)
			}
		}
		if s, err := b.Status(t.Context()); err != nil || s.Problem == "" {
			t.Errorf("the status after %s: %+v, %v", meddling, s, err)
		}
		migratetest.Exec(t, source.App, "DROP FUNCTION IF EXISTS nothing() CASCADE")
		if err := b.Sync(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	prepared(t, b, postgres.Source)
	_, end, err := fence(t, b, postgres.Source)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Decide(t.Context(), postgres.Source, end); err != nil {
		t.Fatal(err)
	}
	for what, url := range map[string]string{"its owner": source.App, "a superuser": source.Admin} {
		if err := migratetest.Try(t.Context(), url, "ALTER TABLE receipt DISABLE TRIGGER godwit_guard"); err == nil {
			t.Errorf("behind the fence %s disables the guard", what)
		}
	}
}

// Until Postgres 16 rows are applied with the rights to write all tables that move:
// what a table's owner has run when a row of his arrives may not use them.
func TestRowsOfOneOwnerWriteNoTableOfAnother(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 10)
	migratetest.Exec(t, source.Admin, mallory...)
	her := strings.Replace(source.App, "shop:shop@", "mallory:mallory@", 1)
	migratetest.Exec(t, her, "CREATE TABLE mallory.bait (id int PRIMARY KEY)",
		`CREATE FUNCTION mallory.steal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.id < 10 THEN
				UPDATE public.register SET last = 666 WHERE id = 1;
			ELSIF NEW.id < 20 THEN
				INSERT INTO public.register VALUES (666, 666);
			ELSE
				TRUNCATE public.receipt;
			END IF;
			RETURN NEW;
		EXCEPTION WHEN OTHERS THEN RETURN NEW; END $$`,
		"CREATE TRIGGER steal BEFORE INSERT ON mallory.bait FOR EACH ROW EXECUTE FUNCTION mallory.steal()", "ALTER TABLE mallory.bait ENABLE REPLICA TRIGGER steal")
	migratetest.Exec(t, source.App, "INSERT INTO receipt VALUES (2, 1, 'kept')")
	b := migratetest.Writer(t, migratetest.Pair(t, source, target))
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	turn(t, b, postgres.Source)
	migratetest.Exec(t, target.App, "INSERT INTO mallory.bait VALUES (1), (11), (21)", "INSERT INTO register VALUES (99, 0)")
	migratetest.Eventually(t, "the rows are on the source", func() bool {
		return migratetest.Text(t, source.Admin, "SELECT (SELECT count(*) FROM mallory.bait) + (SELECT count(*) FROM register WHERE id = 99)") == "4"
	})
	if got := migratetest.Text(t, source.Admin, "SELECT count(*) FROM register WHERE last = 666"); got != "0" {
		t.Errorf("mallory's rows wrote %s of another's", got)
	}
	if got := migratetest.Text(t, source.Admin, "SELECT count(*) FROM receipt"); got != "1" {
		t.Errorf("mallory's rows emptied a table of another's: %s rows", got)
	}
	// What replication itself does goes on: rows, and TRUNCATE.
	migratetest.Exec(t, target.App, "TRUNCATE receipt", "UPDATE register SET last = 7 WHERE id = 2")
	migratetest.Eventually(t, "the rest arrives", func() bool {
		return migratetest.Text(t, source.Admin, "SELECT (SELECT count(*) FROM receipt) = 0 AND (SELECT last FROM register WHERE id = 2) = 7") == "true"
	})
}
