package postgres

import (
	"fmt"
	"strings"
)

// ByHand is the SQL with which a person opens side and takes everything of godwit
// from it, whatever state it is in, without an engine: for psql, which sends one
// statement after the other, in a fresh session of a superuser. Its first three
// statements let everybody write; the rest removes what would keep the log, and
// then the guards. Nothing in it fails where a part is gone already.
func (p *Pair) ByHand(side string) string {
	name := literal(p.name())
	own := p.ownSchema(side)
	var roles []string
	for _, role := range p.ownRoles() {
		roles = append(roles, literal(role))
	}
	statements := []string{
		"SET search_path = pg_catalog, pg_temp", // a function of anybody's would be called as the superuser
		"SET default_transaction_read_only = off",
		when(own+" AND to_regclass('godwit.fence') IS NOT NULL", "PERFORM godwit.lower_fence();"),
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
		when("EXISTS (SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database() AND s.subname = "+name+")",
			fmt.Sprintf(`ALTER SUBSCRIPTION %s DISABLE;
		ALTER SUBSCRIPTION %[1]s SET (slot_name = NONE);
		DROP SUBSCRIPTION %[1]s;`, ident(p.subscription()))),
		fmt.Sprintf(`DO $$
DECLARE
	s       text;
	copiers text;
BEGIN
	IF %s AND to_regclass('godwit.state') IS NOT NULL THEN
		EXECUTE 'SELECT value FROM godwit.state WHERE key = ''copiers''' INTO copiers;
	END IF;
	FOR s IN SELECT slot_name FROM pg_replication_slots WHERE database = current_database()
		AND (slot_name IN (%s, %s) OR slot_name LIKE copiers) LOOP
		FOR tries IN 1..100 LOOP
			PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = s AND active;
			PERFORM pg_sleep(0.05);
			EXIT WHEN NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = s AND active);
		END LOOP;
		PERFORM pg_drop_replication_slot(s);
	END LOOP;
END $$`, own, literal(p.outgoing(side)), literal(p.proof(side))),
		"DROP PUBLICATION IF EXISTS " + ident(p.publication()),
		dropEventTriggers,
		takeKeysByHand(own),
		fmt.Sprintf(`DO $$
DECLARE
	t regclass;
BEGIN
	FOR t IN SELECT tgrelid FROM pg_trigger WHERE tgname = '%s' LOOP
		EXECUTE format('DROP TRIGGER IF EXISTS %[1]s ON %%s', t);
		COMMIT;
	END LOOP;
END $$`, guardTrigger),
		fmt.Sprintf(`DO $$
DECLARE
	r text;
BEGIN
	FOR r IN SELECT rolname FROM pg_roles WHERE rolname IN (%s) LOOP
		EXECUTE format('REASSIGN OWNED BY %%I TO CURRENT_USER', r);
		EXECUTE format('DROP OWNED BY %%I', r);
		EXECUTE format('DROP ROLE %%I', r);
	END LOOP;
END $$`, strings.Join(roles, ", ")),
		dropOwn(own),
	}
	return fmt.Sprintf("-- database %q, %s: as a superuser, with psql\n", p.side(side).database(p.Database), side) + strings.Join(statements, ";\n") + ";\n"
}

// takeKeysByHand makes tables as they were before sync gave them a key; see takeBack.
// Each is done by itself: what keeps one from it keeps no other.
func takeKeysByHand(own string) string {
	return fmt.Sprintf(`DO $$
DECLARE
	list json;
	k    json;
	t    regclass;
BEGIN
	IF %s AND to_regclass('godwit.state') IS NOT NULL THEN
		EXECUTE 'SELECT value::json FROM godwit.state WHERE key = ''%s''' INTO list;
	END IF;
	FOR i IN 0 .. coalesce(json_array_length(list), 0) - 1 LOOP
		k := list -> i;
		t := CASE WHEN (k ->> 'oid')::bigint > 0 THEN (k ->> 'oid')::oid::regclass ELSE to_regclass(k ->> 'table') END;
		BEGIN
			IF (SELECT c.relreplident::text FROM pg_class c WHERE c.oid = t) = k ->> 'given' THEN
				EXECUTE format('ALTER TABLE %%s REPLICA IDENTITY %%s', t, CASE k ->> 'was' WHEN 'NOTHING' THEN 'NOTHING' ELSE 'DEFAULT' END);
			END IF;
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING 'ALTER TABLE %% REPLICA IDENTITY %%; it could not be done: %%', t, k ->> 'was', SQLERRM;
		END;
		COMMIT;
	END LOOP;
END $$`, own, keyKeys)
}

// when is a statement that is done only if something is so.
func when(condition, do string) string {
	return fmt.Sprintf("DO $$ BEGIN\n\tIF %s THEN\n\t\t%s\n\tEND IF;\nEND $$", condition, do)
}

// database is what the side calls the database.
func (s *Side) database(otherwise string) string {
	if s.Config != nil && s.Config.Database != "" {
		return s.Config.Database
	}
	return otherwise
}

// dropOwn drops schema godwit if it is own, and says so of another.
func dropOwn(own string) string {
	return fmt.Sprintf(`DO $$
BEGIN
	IF %s THEN
		DROP SCHEMA godwit CASCADE;
	ELSIF to_regnamespace('godwit') IS NOT NULL THEN
		RAISE WARNING 'schema godwit belongs to a role that godwit did not make it with: it stays, and nothing in it was called';
	END IF;
END $$`, own)
}

// ownSchema is the condition that schema godwit is godwit's own: of a superuser, of
// whoever runs the script, or of the role that the URL of side names. What anybody
// else put there would run as the superuser.
func (p *Pair) ownSchema(side string) string {
	maker := "FALSE"
	if config := p.side(side).Config; config != nil {
		maker = "pg_get_userbyid(n.nspowner) = " + literal(config.User)
	}
	return "EXISTS (SELECT FROM pg_namespace n WHERE " + trusted + " OR n.nspname = 'godwit' AND " + maker + ")"
}
