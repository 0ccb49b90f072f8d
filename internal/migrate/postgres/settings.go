package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"godwit/internal/landscape"
)

// A statement means what the settings of its session say: which schema a name is of,
// which time "now" is, how a text is read. Such settings come from the server, the
// database and the role of the source; a session of the target's has them from the
// database. What only says how much of a machine is used stays where it is.

// meant are the settings of a server that change what statements mean, and that
// everybody may set, with their values in a session that sets none.
const meant = `SELECT name, reset_val FROM pg_settings WHERE context = 'user' AND source NOT IN ('client', 'database', 'user', 'database user')
	AND (category LIKE 'Client Connection Defaults%' OR category LIKE 'Version and Platform Compatibility%')
	AND name NOT IN ('default_tablespace', 'temp_tablespaces', 'default_transaction_read_only', 'transaction_read_only', 'client_encoding', 'client_min_messages', 'application_name',
		'session_replication_role', 'gin_pending_list_limit', 'local_preload_libraries', 'dynamic_library_path', 'lc_messages')
	AND name NOT LIKE 'vacuum\_%' AND name NOT LIKE 'transaction\_%' AND name NOT LIKE 'tcp\_%'`

// givenSettings are those that somebody has given the database, or a role, the most
// special last; not those that only a superuser may give.
const givenSettings = `SELECT split_part(c, '=', 1), substr(c, strpos(c, '=') + 1) FROM pg_db_role_setting s, unnest(s.setconfig) c
	WHERE (s.setrole = 0 OR s.setrole = (SELECT oid FROM pg_roles WHERE rolname = %[1]s)) AND (s.setdatabase = 0 OR s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
	  AND split_part(c, '=', 1) NOT IN ('default_transaction_read_only', 'default_tablespace', 'temp_tablespaces')
	  AND NOT EXISTS (SELECT FROM pg_settings p WHERE p.name = split_part(c, '=', 1) AND p.context <> 'user')
	ORDER BY s.setrole <> 0, s.setdatabase <> 0`

// otherSettings are those of other roles that log in: nothing of the target has them.
const otherSettings = `SELECT format('%%s has %%s', r.rolname, string_agg(c, ', ')) FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) c
	WHERE r.rolcanlogin AND r.rolname <> %[1]s AND r.rolname <> current_user AND NOT starts_with(r.rolname, 'godwit_')
	  AND (s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) OR s.setdatabase = 0 AND r.oid IN ` + usedRoles + `)
	GROUP BY r.rolname ORDER BY 1`

// mainOwner is the role that owns most of what moves, as which services log in.
func (b *Reader) mainOwner(ctx context.Context) (string, error) {
	conn, err := b.watcher(ctx, Source)
	if err != nil {
		return "", err
	}
	all, err := column(ctx, conn, owners)
	if err != nil || len(all) == 0 {
		return "", b.about(Source, err)
	}
	return all[0], nil
}

// settingsToCarry are those that a session of the source's services has and one of the
// target's would not.
func (b *Reader) settingsToCarry(ctx context.Context) (map[string]string, error) {
	carry, err := b.plainSettings(ctx, Source)
	if err != nil {
		return nil, err
	}
	there, err := b.plainSettings(ctx, Target)
	if err != nil {
		return nil, err
	}
	already, err := b.settingsCarried(ctx)
	if err != nil {
		return nil, err
	}
	// What somebody else has given the target's database stays.
	maps.DeleteFunc(carry, func(name, value string) bool {
		is, plain := there[name]
		return is == value || !plain && !slices.Contains(already, name)
	})
	owner, err := b.mainOwner(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := b.watcher(ctx, Source)
	if err != nil {
		return nil, err
	}
	special, err := pairsOf(ctx, conn, fmt.Sprintf(givenSettings, literal(owner)))
	maps.Copy(carry, special)
	return carry, b.about(Source, err)
}

// plainSettings are those of the server, in a session that sets nothing.
func (b *Reader) plainSettings(ctx context.Context, side string) (map[string]string, error) {
	config := b.side(side).Config.Copy()
	config.RuntimeParams = map[string]string{"application_name": ReaderName}
	conn, err := openWith(ctx, config)
	if err != nil {
		return nil, b.about(side, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := batch(ctx, conn, "SET search_path = pg_catalog"); err != nil {
		return nil, b.about(side, err)
	}
	all, err := pairsOf(ctx, conn, meant)
	return all, b.about(side, err)
}

// keySettings of godwit.state names what was carried.
const keySettings = "settings"

// carrySettings gives the target's database what sessions of the source have. It is
// done again by each sync, and taken back by an abort.
func (b *Writer) carrySettings(ctx context.Context) error {
	carry, err := b.settingsToCarry(ctx)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(carry))
	if err := b.dropSettings(ctx, names); err != nil {
		return err
	}
	if len(names) == 0 {
		return nil
	}
	// The search_path last: no statement is to run with it.
	if i := slices.Index(names, "search_path"); i >= 0 {
		names = append(slices.Delete(names, i, i+1), "search_path")
	}
	// Noted before, so that an abort knows of them. A list is taken from the session: as
	// one text it would be one name.
	statements := []string{"BEGIN", noteState(keySettings, literal(strings.Join(names, "\n"))), "COMMIT", "BEGIN"}
	for _, name := range names {
		statements = append(statements, fmt.Sprintf("SELECT pg_catalog.set_config(%s, %s, true)", literal(name), literal(carry[name])),
			b.ofDatabase("SET "+setting(name)+" FROM CURRENT"))
	}
	_, err = b.write(ctx, Target, append(statements, "COMMIT")...)
	return err
}

// ofDatabase alters the target's database.
func (b *Writer) ofDatabase(what string) string {
	return "ALTER DATABASE " + ident(b.Target.Config.Database) + " " + what
}

// setting is the name of one as SQL: one that an application made up has a point in it.
func setting(name string) string { return ident(strings.Split(name, ".")...) }

// settingsCarried names what was carried by a sync before.
func (b *Reader) settingsCarried(ctx context.Context) ([]string, error) {
	there, err := b.read(ctx, Target, apparatusIn("state"))
	if err != nil || there[0] == "" {
		return nil, err
	}
	noted, err := b.read(ctx, Target, stateOf(keySettings))
	if err != nil || noted[0] == "" {
		return nil, err
	}
	return strings.Split(noted[0], "\n"), nil
}

// dropSettings takes back what was carried, but for what is carried again.
func (b *Writer) dropSettings(ctx context.Context, but []string) error {
	carried, err := b.settingsCarried(ctx)
	if err != nil || len(carried) == 0 {
		return err
	}
	statements := []string{"BEGIN"}
	for _, name := range carried {
		if !slices.Contains(but, name) {
			statements = append(statements, b.ofDatabase("RESET "+setting(name)))
		}
	}
	left := slices.DeleteFunc(carried, func(name string) bool { return !slices.Contains(but, name) })
	_, err = b.write(ctx, Target, append(statements, noteState(keySettings, literal(strings.Join(left, "\n"))), "COMMIT")...)
	return err
}

// settings finds what the target's server does not take, and what is carried for nobody.
func (b *Reader) settings(ctx context.Context) (landscape.Findings, error) {
	carry, err := b.settingsToCarry(ctx)
	if err != nil {
		return nil, err
	}
	target, err := b.watcher(ctx, Target)
	if err != nil {
		return nil, err
	}
	var all landscape.Findings
	for _, name := range slices.Sorted(maps.Keys(carry)) {
		if name == "default_text_search_config" || name == "default_table_access_method" {
			continue // it may come with the definitions
		}
		if _, err := batch(ctx, target, "BEGIN", fmt.Sprintf("SELECT pg_catalog.set_config(%s, %s, true)", literal(name), literal(carry[name])), "ROLLBACK"); err != nil {
			all = append(all, b.finding(Target, landscape.Error, fmt.Sprintf("it does not take the source's setting %s = %q: %v", name, carry[name], err),
				"change or reset it on the source, or give the target what it needs"))
		}
	}
	owner, err := b.mainOwner(ctx)
	if err != nil {
		return nil, err
	}
	source, err := b.watcher(ctx, Source)
	if err != nil {
		return nil, err
	}
	others, err := column(ctx, source, fmt.Sprintf(otherSettings, literal(owner)))
	for _, other := range others {
		all = append(all, b.finding(Source, landscape.Warning, fmt.Sprintf("role %s, which the target's sessions will not have", other),
			"if a service logs in as that role, ALTER DATABASE … SET it on the target after the sync"))
	}
	return all, b.about(Source, err)
}
