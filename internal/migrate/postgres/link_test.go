package postgres_test

import (
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// What a side knows of the other opens nothing there but what is published: the
// subscription's login is no superuser, makes nothing, and writes nowhere.
func TestSubscriptionHasALoginOfItsOwn(t *testing.T) {
	t.Parallel()
	source, target, b := synced(t, 10)
	migratetest.Exec(t, source.Admin, "CREATE TABLE secret (id int PRIMARY KEY)") // not published
	for side, subscriber := range map[string]*migratetest.Server{"source": target, "target": source} {
		peer := map[string]*migratetest.Server{"source": source, "target": target}[side]
		info := migratetest.Text(t, subscriber.Admin, "SELECT subconninfo FROM pg_subscription")
		info = strings.ReplaceAll(info, "hostaddr='127.0.0.1' ", "") // this test's driver does not know it
		if strings.Contains(info, b.Source.Config.Password) || strings.Contains(info, b.Target.Config.Password) || strings.Contains(info, "user='godwit'") {
			t.Errorf("the subscription to the %s has the password of a superuser: %s", side, info)
		}
		if owner := migratetest.Text(t, subscriber.Admin, "SELECT r.rolsuper FROM pg_subscription s JOIN pg_roles r ON r.oid = s.subowner"); owner != "false" {
			t.Errorf("the subscription to the %s is a superuser's", side)
		}
		got := migratetest.Text(t, peer.Admin, `SELECT concat_ws(' ', rolsuper, rolcreaterole, rolcreatedb, rolreplication) FROM pg_roles WHERE rolname LIKE 'godwit%\_l'`)
		if got != "f f f t" {
			t.Errorf("the login at the %s: %s", side, got)
		}
		for _, do := range []string{`INSERT INTO "order" (key) VALUES ('x')`, "DELETE FROM register", "CREATE TABLE mine (id int)", "SELECT passwd FROM pg_shadow",
			"SELECT value FROM godwit.state", "SELECT * FROM secret", "SELECT pg_read_file('PG_VERSION')", "ALTER ROLE shop SUPERUSER"} {
			if err := migratetest.Try(t.Context(), info, do); err == nil && !(side == "target" && strings.Contains(do, "secret")) {
				t.Errorf("the login at the %s can %s", side, do)
			}
		}
		if err := migratetest.Try(t.Context(), info, `SELECT count(*) FROM "order"`); err != nil {
			t.Errorf("the login at the %s reads nothing: %v", side, err)
		}
	}
	if err := b.Rejoin(t.Context()); err != nil {
		t.Error(err)
	}
	turn(t, b, postgres.Source)
	migratetest.Exec(t, target.App, `INSERT INTO "order" (key) VALUES ('back')`)
	migratetest.Eventually(t, "the way back streams", func() bool {
		return migratetest.Text(t, source.Admin, `SELECT count(*) FROM "order" WHERE key = 'back'`) == "1"
	})
	if err := b.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for side, server := range map[string]*migratetest.Server{"source": source, "target": target} {
		if n := migratetest.Text(t, server.Admin, `SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname LIKE 'godwit\_%'`); n != "" {
			t.Errorf("roles left on the %s: %s", side, n)
		}
	}
}
