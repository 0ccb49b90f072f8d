package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// fingerprintOf is definitions, summed up: one round trip, one short answer.
var fingerprintOf = `SELECT coalesce(md5(string_agg(object || sum, ',' ORDER BY object)), '') FROM (` + definitions + `) d`

// stampOf changes whenever a definition may have changed: it sums up which
// transaction wrote each row of the catalogs, for objects that are not the
// server's own. Five times cheaper than fingerprintOf, but it also changes when
// nothing of interest did. It leaves out how users are mapped on foreign servers, which
// only a superuser may read; the servers are an error of check.
var stampOf = func() string {
	rows := []string{
		"SELECT concat('a', attrelid, ':', attnum, ':', xmin) AS row FROM pg_attribute WHERE attrelid >= 16384",
		"SELECT concat('i', indexrelid, ':', xmin) FROM pg_index WHERE indexrelid >= 16384",
		"SELECT concat('o', objoid, ':', xmin) FROM pg_description WHERE objoid >= 16384",
		"SELECT concat('f', oid, ':', xmin) FROM pg_proc WHERE oid < 16384 AND proacl IS NOT NULL",
		"SELECT concat('r', oid, ':', xmin) FROM pg_class WHERE oid < 16384 AND relacl IS NOT NULL",
		"SELECT concat('x', ctid, ':', xmin) FROM pg_depend WHERE refclassid = 'pg_extension'::regclass",
		"SELECT concat('b', oid, ':', xmin) FROM pg_database WHERE datname = current_database()",
		"SELECT concat('u', oid, ':', rolsuper, rolinherit, rolbypassrls) FROM pg_roles WHERE NOT starts_with(rolname, 'godwit_')",
	}
	for _, catalog := range []string{"class", "constraint", "trigger", "proc", "type", "enum", "attrdef", "rewrite", "policy", "namespace", "cast", "operator", "opclass", "opfamily",
		"amop", "amproc", "collation", "conversion", "ts_config", "ts_dict", "ts_parser", "ts_template", "statistic_ext", "transform", "am",
		"foreign_data_wrapper", "foreign_server", "event_trigger", "extension", "default_acl", "publication"} {
		rows = append(rows, "SELECT concat(tableoid, ':', oid, ':', xmin) FROM pg_"+catalog+" WHERE oid >= 16384")
	}
	for _, catalog := range []string{"sequence", "inherits", "ts_config_map", "seclabel", "db_role_setting", "auth_members", "publication_rel", "foreign_table", "language"} {
		rows = append(rows, "SELECT concat(tableoid, ':', ctid, ':', xmin) FROM pg_"+catalog)
	}
	return "SELECT sum(hashtextextended(row, 0))::text FROM (" + strings.Join(rows, "\nUNION ALL ") + ") rows"
}()

// stamp reads stampOf of side, beside the writer.
func (b *Reader) stamp(ctx context.Context, side string) (string, error) {
	conn, err := b.watcher(ctx, side)
	if err != nil {
		return "", err
	}
	values, err := batch(ctx, conn, stampOf)
	if err != nil {
		return "", b.about(side, err)
	}
	return values[0], nil
}

// definitionsLook is how often definitions are looked at while rows are copied.
const definitionsLook = time.Second

// watched notices that the definitions on the source change while rows are copied:
// reading all of them again costs seconds where they are many.
type watched struct {
	stamp string
	at    time.Time
}

func (w *watched) look(ctx context.Context, b *Reader) error {
	if time.Since(w.at) < definitionsLook {
		return nil
	}
	stamp, err := b.stamp(ctx, Source)
	if err == nil && stamp != w.stamp {
		err = b.Unchanged(ctx, Source)
	}
	if err == nil {
		w.stamp, w.at = stamp, time.Now()
	}
	return err
}

// fingerprint returns every definition on side with its sum.
func (b *Reader) fingerprint(ctx context.Context, side string) (map[string]string, error) {
	conn, err := b.watcher(ctx, side)
	if err != nil {
		return nil, err
	}
	all, err := definitionsIn(ctx, conn)
	return all, b.about(side, err)
}

// definitionsIn is every definition that a session sees, with its sum.
func definitionsIn(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	rows, err := conn.Query(ctx, definitions)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var object, sum string
		if err := rows.Scan(&object, &sum); err != nil {
			return nil, err
		}
		all[object] = sum
	}
	return all, rows.Err()
}

// rememberFingerprint notes the definitions of side as they are now.
func (b *Writer) rememberFingerprint(ctx context.Context, side string, all map[string]string) error {
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	_, err = b.write(ctx, side, "BEGIN", noteState("definitions", literal(string(text))),
		noteState("fingerprint", "("+fingerprintOf+")"), "COMMIT")
	return err
}

// Unchanged is ErrChanged, naming the objects, when the definitions on side
// are not those of the sync, or a guard is not as it was made. It uses a session of its own, beside the writer.
func (b *Reader) Unchanged(ctx context.Context, side string) error {
	conn, err := b.watcher(ctx, side)
	if err != nil {
		return err
	}
	values, err := batch(ctx, conn, stampOf, "SELECT value FROM godwit.state WHERE key = 'fingerprint'",
		"SELECT string_agg(t, ', ') FROM ("+unguarded+" LIMIT 5) u (t)")
	if err != nil {
		return b.about(side, err)
	}
	same, err := b.sameAsNoted(ctx, conn, side, values[0], values[1])
	if err != nil {
		return b.about(side, err)
	}
	if same {
		if values[2] != "" {
			err = fmt.Errorf("%w: trigger %s of %s was disabled, dropped or replaced; ALTER TABLE … ENABLE ALWAYS TRIGGER %[2]s, or, before the cutover, godwit migrate sync, which puts it back",
				ErrChanged, guardTrigger, values[2])
		}
		return b.about(side, err)
	}
	before, err := b.noted(ctx, side)
	if err != nil {
		return err
	}
	now, err := b.fingerprint(ctx, side)
	if err != nil {
		return err
	}
	if changes := diff(before, now); len(changes) > 0 {
		return b.about(side, fmt.Errorf("%w: %s", ErrChanged, strings.Join(changes, ", ")))
	}
	return nil
}

// sameAsNoted compares all definitions with what was noted, unless that was done for
// the same stamp before.
func (b *Reader) sameAsNoted(ctx context.Context, conn *pgx.Conn, side, stamp, noted string) (bool, error) {
	place, state := b.Migration+"/"+b.Database+"/"+side, stamp+" "+noted
	if b.Known.is(place, state) {
		return true, nil
	}
	values, err := batch(ctx, conn, fingerprintOf)
	if err != nil || values[0] != noted || noted == "" {
		return false, err
	}
	b.Known.note(place, state)
	return true, nil
}

// Known remembers at which stamp of their catalogs the definitions of databases were
// found to be those of the sync: to read all of them costs five times as much as the
// stamp, and a status is asked for at any rate. Many may share one; nil remembers nothing.
type Known struct {
	mu sync.Mutex
	of map[string]string
}

func (k *Known) is(place, state string) bool {
	if k == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.of[place] == state
}

func (k *Known) note(place, state string) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.of == nil {
		k.of = map[string]string{}
	}
	k.of[place] = state
}

// noted are the definitions of side as they were remembered.
func (b *Reader) noted(ctx context.Context, side string) (map[string]string, error) {
	values, err := b.read(ctx, side, stateOf("definitions"))
	if err != nil {
		return nil, err
	}
	before := map[string]string{}
	if err := json.Unmarshal([]byte(values[0]), &before); err != nil {
		return nil, b.about(side, fmt.Errorf("%w: no definitions noted, run sync first", ErrState))
	}
	return before, nil
}

// diff names what was added, changed and dropped, sorted; at most 20 of them.
func diff(before, now map[string]string) []string {
	var changes []string
	for object, sum := range now {
		if was, ok := before[object]; !ok {
			changes = append(changes, object+" added")
		} else if was != sum {
			changes = append(changes, object+" changed")
		}
	}
	for object := range before {
		if _, ok := now[object]; !ok {
			changes = append(changes, object+" dropped")
		}
	}
	sort.Strings(changes)
	if more := len(changes) - 20; more > 0 {
		changes = append(changes[:20], fmt.Sprintf("and %d more", more))
	}
	return changes
}

// noteState is the statement that notes a value, given as SQL, under key.
func noteState(key, sql string) string {
	return "INSERT INTO godwit.state VALUES (" + literal(key) + ", " + sql + ") ON CONFLICT (key) DO UPDATE SET value = excluded.value"
}
