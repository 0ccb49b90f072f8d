package postgres

import (
	"context"

	"godwit/internal/landscape"
)

// A managed server (RDS) gives nobody a superuser. The engine's role has these
// instead, each of which a rule asks for: CREATEROLE, REPLICATION or membership
// in rds_replication, pg_signal_backend, pg_monitor, from 16 on
// pg_create_subscription, the functions of replication origins, the database
// itself, and membership in the role that owns the copied objects.
//
// What a superuser alone can do is done without there:
//   - a closed fence keeps no session out: the engine's own would be refused as
//     well. New sessions are read-only, and the guards refuse writes of those
//     that say they are not;
//   - sessions of superusers, who are the provider, are not ended;
//   - where no event trigger may be made, DDL behind the fence is not refused,
//     but found: Unchanged and StillUnchanged look for it.

// super says whether the engine's role on side is a superuser.
func (b *Reader) super(ctx context.Context, side string) (bool, error) {
	values, err := b.read(ctx, side, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
	return err == nil && values[0] == "t", err
}

// amSuper is that question inside a statement.
const amSuper = "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"

// endable is a condition on pg_stat_activity a: sessions that the engine may end.
const endable = ` AND (` + amSuper + ` OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.usesysid AND r.rolsuper))`

// powers are the rules about what the engine's role may do. A superuser may
// everything; has(…) is what stands for one.
var powers = []rule{
	power("NOT r.rolcreaterole", "may not make roles", "ALTER ROLE … CREATEROLE, or give the engine the master user (rds_superuser)"),
	power(`NOT r.rolreplication AND NOT `+has("rds_replication"), "may not replicate",
		"on RDS GRANT rds_replication TO it; elsewhere ALTER ROLE … REPLICATION, or give the engine a superuser"),
	power("NOT "+has("pg_signal_backend"), "may not end sessions: no fence could stand", "GRANT pg_signal_backend TO it"),
	power("NOT "+has("pg_read_all_stats"), "does not see what other sessions do: no fence could be proved", "GRANT pg_monitor TO it"),
	power("current_setting('server_version_num')::int >= 160000 AND NOT "+has("pg_create_subscription")+" AND NOT "+has("rds_superuser"),
		"may not subscribe", "GRANT pg_create_subscription TO it; on RDS the master user may"),
	power("current_setting('server_version_num')::int < 160000 AND NOT "+has("rds_superuser"),
		"may not subscribe: before Postgres 16 only a superuser may, or RDS's master user", "give the engine one of them"),
	power(`NOT has_function_privilege('pg_replication_origin_advance(text, pg_lsn)', 'execute')
			OR NOT has_function_privilege('pg_replication_origin_progress(text, boolean)', 'execute')`,
		"may not use replication origins", "GRANT EXECUTE ON FUNCTION pg_replication_origin_advance, pg_replication_origin_progress TO it"),
	power("NOT pg_has_role(d.datdba, 'usage')", "does not own the database", "ALTER DATABASE … OWNER TO it"),
	{"", landscape.Warning, `SELECT r.rolname::text FROM pg_roles r WHERE r.rolname = current_user AND NOT r.rolsuper AND NOT ` + has("rds_superuser"),
		"role %s is no superuser and may make no event trigger: DDL behind the fence is found, not refused", "change no definitions during the migration"},
}

// power is a rule about a role that is no superuser: r is it, d the database.
func power(lacks, summary, mend string) rule {
	return rule{"", landscape.Error, `SELECT r.rolname::text FROM pg_roles r, pg_database d
		WHERE r.rolname = current_user AND d.datname = current_database() AND NOT r.rolsuper AND (` + lacks + `)`, "role %s " + summary, mend}
}

// has is a condition on r: membership in a role, which need not exist.
func has(role string) string {
	return "EXISTS (SELECT FROM pg_roles m WHERE m.rolname = " + literal(role) + " AND pg_has_role(r.oid, m.oid, 'usage'))"
}
