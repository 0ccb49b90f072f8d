package postgres_test

import (
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
)

// show is what a new session of a role has, which it did not ask for itself.
func show(t *testing.T, url, name string) string {
	t.Helper()
	return migratetest.Text(t, url, "SELECT current_setting("+"'"+name+"', true)")
}

// TestSettingsAreCarried: what changes the meaning of statements comes along, wherever
// the source has it from (pingcap/tidb-binlog#1187, shayonj/pg_easy_replicate#90); an
// abort takes it back.
func TestSettingsAreCarried(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t, postgrestest.Config("timezone", "Europe/Berlin"), postgrestest.Config("datestyle", "German, DMY"), postgrestest.Config("work_mem", "7MB")),
		migratetest.StartServer(t)
	source.Fill(t, 1)
	migratetest.Exec(t, source.Admin, `CREATE SCHEMA app AUTHORIZATION shop; CREATE TABLE app.bill (id int PRIMARY KEY, at timestamp DEFAULT now()); ALTER TABLE app.bill OWNER TO shop`,
		`ALTER DATABASE shop SET search_path = app, "$user", public; ALTER DATABASE shop SET app.tenant = 'it''s 7'; ALTER DATABASE shop SET statement_timeout = '71s'`,
		`ALTER ROLE shop SET statement_timeout = '72s'; ALTER ROLE shop IN DATABASE shop SET intervalstyle = 'iso_8601'; ALTER DATABASE shop SET log_statement = 'all'`,
		"CREATE ROLE reports LOGIN; GRANT SELECT ON app.bill TO reports; ALTER ROLE reports SET work_mem = '1GB'")
	migratetest.Exec(t, target.Admin, "ALTER DATABASE shop SET lock_timeout = '5s'")
	pair := migratetest.Pair(t, source, target)
	findings, err := migratetest.Reader(t, pair).Check(t.Context())
	if err != nil || findings.HasErrors() || !found(findings, "warning source: role reports has work_mem=1GB") {
		t.Errorf("%+v, %v", findings, err)
	}
	b := migratetest.Writer(t, pair)
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"search_path": `app, "$user", public`, "app.tenant": "it's 7", "statement_timeout": "72s", "IntervalStyle": "iso_8601", "TimeZone": "Europe/Berlin",
		"DateStyle": "German, DMY", "lock_timeout": "5s", "work_mem": "4MB", "log_statement": "none"}
	for name, value := range want {
		if is := show(t, target.App, name); is != value {
			t.Errorf("%s on the target is %q, not %q", name, is, value)
		}
	}
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Errorf("again: %v", err)
	}
	turn(t, b, postgres.Source)
	migratetest.Exec(t, target.App, "INSERT INTO bill VALUES (1)")
	if hour := migratetest.Text(t, target.App, "SELECT extract(epoch FROM at - (now() AT TIME ZONE 'Europe/Berlin'))::int / 60 FROM bill"); hour != "0" {
		t.Errorf("what a default gives is %s minutes off", hour)
	}
	turn(t, b, postgres.Target)
	if err := b.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"search_path": `"$user", public`, "statement_timeout": "0", "lock_timeout": "5s"} {
		if is := show(t, target.App, name); is != value {
			t.Errorf("after the abort %s is %q", name, is)
		}
	}
	if left := migratetest.Text(t, target.Admin, "SELECT setconfig FROM pg_db_role_setting WHERE setdatabase <> 0"); left != "{lock_timeout=5s}" {
		t.Errorf("left is %s", left)
	}
}

// TestSettingThatTheTargetLacks is found before anything is touched.
func TestSettingThatTheTargetLacks(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 1)
	migratetest.Exec(t, source.Admin, "CREATE TEXT SEARCH CONFIGURATION public.ours (COPY = simple)", "ALTER DATABASE shop SET default_text_search_config = 'public.ours'",
		"ALTER DATABASE shop SET lc_time = 'C'")
	findings, err := migratetest.Reader(t, migratetest.Pair(t, source, target)).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if findings.HasErrors() { // the one comes with the definitions, the other the server has
		t.Errorf("%+v", findings)
	}
	migratetest.Exec(t, source.Admin, "ALTER DATABASE shop SET lc_time = 'C'; UPDATE pg_db_role_setting SET setconfig = '{lc_time=xx_YY}'")
	findings, err = migratetest.Reader(t, migratetest.Pair(t, source, target)).Check(t.Context())
	if err != nil || !found(findings, `error target: it does not take the source's setting lc_time = "xx_YY"`) {
		t.Errorf("%+v, %v", findings, err)
	}
}

// TestSettingsRunNothing: the source's search_path can name a schema whose owner has
// written functions with the names of the server's. No session of godwit calls them.
func TestSettingsRunNothing(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 1)
	migratetest.Exec(t, source.App, "CREATE SCHEMA evil; CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'ALTER ROLE shop SUPERUSER'; RETURN $2; END $$")
	migratetest.Exec(t, source.Admin, "ALTER DATABASE shop SET search_path = evil, pg_catalog; ALTER DATABASE shop SET zzz.last = '1'")
	b := migratetest.Writer(t, migratetest.Pair(t, source, target))
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if super := migratetest.Text(t, target.Admin, "SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolsuper"); strings.Contains(super, "shop") {
		t.Errorf("superusers are %s", super)
	}
}
