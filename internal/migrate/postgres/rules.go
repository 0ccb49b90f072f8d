package postgres

import (
	"slices"

	"godwit/internal/landscape"
)

// rule is a question to one side. Every row that the query returns is a
// finding about the object in its first column.
type rule struct {
	side     string // Source, Target or "" for both
	severity landscape.Severity
	query    string
	summary  string // after the side: "%s" is the object
	mend     string
}

const relations = ` FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ` + mine + ` AND c.relpersistence <> 't' `

// calls lists what godwit makes run by moving rows, where it calls a routine of
// somebody who need not be trusted with the database.
const calls = `SELECT DISTINCT format('%s calls %s of role %s', pg_describe_object(d.classid, d.objid, d.objsubid), p.oid::regprocedure, o.rolname)
	FROM pg_depend d JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid JOIN pg_roles o ON o.oid = p.proowner
	WHERE d.classid IN ('pg_cast'::regclass, 'pg_constraint'::regclass, 'pg_class'::regclass, 'pg_attrdef'::regclass, 'pg_trigger'::regclass,
		'pg_policy'::regclass, 'pg_statistic_ext'::regclass)
	AND NOT o.rolsuper AND o.oid <> (SELECT datdba FROM pg_database WHERE datname = current_database()) ORDER BY 1 LIMIT 50`

// needsSuperuser lists what no other role can make, and no extension has made.
const needsSuperuser = `SELECT pg_describe_object(o.classid, o.oid, 0) FROM (
		SELECT 'pg_proc'::regclass, p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE NOT l.lanpltrusted OR p.proleakproof
		UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type t WHERE t.typtype = 'b' AND t.typcategory <> 'A'
		UNION ALL SELECT 'pg_cast'::regclass, c.oid FROM pg_cast c WHERE c.castmethod = 'b'
		UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
		UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
		UNION ALL SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
		UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
	) o (classid, oid)
	WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = o.classid AND e.objid = o.oid AND e.deptype IN ('e', 'i'))
	ORDER BY 1`

// rules are what must hold, or should, before a database moves. In queries
// $1 is the common name of godwit's objects.
var rules = slices.Concat(powers, keyShapes, shapes, []rule{
	{"", landscape.Error, `SELECT current_setting('wal_level') WHERE current_setting('wal_level') <> 'logical'`,
		"wal_level is %s", "set wal_level = logical in postgresql.conf (on RDS: rds.logical_replication = 1 in the parameter group) and restart this server (the target's too: the way back needs it)"},
	{"", landscape.Error, `SELECT format('%s of %s replication slots', count(*), current_setting('max_replication_slots')) FROM pg_replication_slots
		WHERE starts_with(slot_name, $1) IS FALSE HAVING current_setting('max_replication_slots')::int - count(*) < 4`,
		"%s are in use, at least 4 must be free", "raise max_replication_slots and restart, or drop slots that nobody reads"},
	{"", landscape.Error, `SELECT format('%s of %s WAL senders', count(*), current_setting('max_wal_senders')) FROM pg_stat_replication
		WHERE starts_with(application_name, $1) IS FALSE HAVING current_setting('max_wal_senders')::int - count(*) < 4`,
		"%s are in use, at least 4 must be free", "raise max_wal_senders and restart"},
	{"", landscape.Error, `SELECT format('max_logical_replication_workers = %s, max_worker_processes = %s',
			current_setting('max_logical_replication_workers'), current_setting('max_worker_processes'))
		WHERE current_setting('max_logical_replication_workers')::int - (SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL AND subname <> $1) < 3
		   OR current_setting('max_worker_processes')::int < 4`,
		"%s leave no 3 workers for this database", "raise both and restart"},
	{"", landscape.Error, `SELECT gid FROM pg_prepared_xacts WHERE database = current_database()`,
		"prepared transaction %s is open: no fence can stop its commit", "COMMIT PREPARED or ROLLBACK PREPARED it"},
	{Source, landscape.Error, `SELECT c.oid::regclass::text` + relations + ` AND c.relkind = 'f'`,
		"%s is a foreign table: its rows are elsewhere and the target may not reach them", "drop it, or copy its rows into a table"},
	{Source, landscape.Error, `SELECT count(*)::text FROM pg_largeobject_metadata HAVING count(*) > 0`,
		"%s large objects are not replicated", "move them into bytea columns, or remove them (vacuumlo)"},
	{Source, landscape.Error, `SELECT evtname::text FROM pg_event_trigger WHERE evtname NOT IN ('godwit_guard', 'godwit_guard_end')`,
		"event trigger %s would be copied and belong to nobody who may have it", "drop it for the time of the migration"},
	{"", landscape.Error, `SELECT subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
		WHERE d.datname = current_database() AND subname <> $1`,
		"subscription %s writes into this database: no fence stops it", "disable and drop it before the migration"},
	{"", landscape.Error, `SELECT format('schema godwit of role %s', pg_get_userbyid(n.nspowner)) FROM pg_namespace n WHERE n.nspname = 'godwit'
			AND (to_regclass('godwit.state') IS NULL OR NOT (` + trusted + `))
		UNION ALL SELECT 'publication ' || pubname FROM pg_publication WHERE starts_with(pubname, 'godwit_') AND pubname <> $1`,
		"%s has a name that godwit uses", "abort the other migration of this database, or rename it"},
	{Source, landscape.Error, `SELECT lanname::text FROM (VALUES ('plpgsql')) v (lanname) WHERE NOT EXISTS (SELECT FROM pg_language l WHERE l.lanname = v.lanname)`,
		"language %s is missing: the fence is written in it", "CREATE EXTENSION plpgsql"},
	{Source, landscape.Error, needsSuperuser, "%s can be made by a superuser only, and godwit makes nothing of the source as one",
		"have an extension make it that is on both servers, or drop it"},
	{Source, landscape.Warning, calls, "%s, who is neither a superuser nor the database's owner: it runs when rows are copied, with no more rights than to write them",
		"read what it does; then ALTER ROUTINE … OWNER TO somebody whom you trust, or drop what calls it"},
	{"", landscape.Warning, `SELECT current_user::text WHERE (` + mayReplicate + `) IS NULL`,
		"role %s can make no role that replicates: the other side's Postgres gets its own password",
		"from Postgres 16 on ALTER ROLE … REPLICATION; on RDS GRANT rds_replication TO it; or give the engine a superuser"},
	{Source, landscape.Warning, `SELECT c.oid::regclass::text` + relations + ` AND c.relkind = 'm'`,
		"materialized view %s is not replicated: sync fills it once", "refresh it on the target after the cutover"},
	{Source, landscape.Warning, `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_depend e ON e.classid = 'pg_class'::regclass AND e.objid = c.oid
		AND e.deptype = 'e' WHERE c.relkind = 'r'`,
		"table %s belongs to an extension and is not replicated", "if it has rows of yours, copy them after the sync"},
	{Source, landscape.Warning, `SELECT format('%s of %s', t.tgname, c.oid::regclass) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
		WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', 'R') AND t.tgname <> 'godwit_guard' AND c.relnamespace IS DISTINCT FROM to_regnamespace('godwit')`,
		"trigger %s fires for replicated rows too", "ALTER TABLE … ENABLE TRIGGER …, unless that is what you want"},
	{Source, landscape.Warning, `SELECT DISTINCT coalesce(nullif(application_name, ''), backend_type) FROM pg_stat_activity
		WHERE datname = current_database() AND usename = current_user AND backend_type = 'client backend' AND NOT ` + ours,
		"%s connects with the engine's own role: while the side is fenced it can read, though not write", "give the engine a role of its own"},
	{Source, landscape.Warning, `SELECT DISTINCT format('%s from %s as %s', coalesce(nullif(application_name, ''), 'a client'),
			coalesce(host(client_addr), 'this machine'), usename) FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = 'client backend' AND NOT ` + ours,
		"%s is connected: the cutover ends its session", "make sure that it writes through the gateway only, or can bear that"},
	{Source, landscape.Warning, `SELECT format('%s (pid %s, %s s)', coalesce(nullif(application_name, ''), backend_type), pid,
			extract(epoch FROM clock_timestamp() - xact_start)::int) FROM pg_stat_activity
		WHERE datname = current_database() AND xact_start < clock_timestamp() - interval '10 seconds' AND backend_type = 'client backend'`,
		"a transaction of %s has been open for long: sync and cutover wait for it", "end it, or wait"},
})
