package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// definitions lists every definition that matters for moving, as (object, md5).
const definitions = `
	SELECT 'table ' || c.oid::regclass AS object, md5(concat_ws('|', c.relkind, c.relpersistence, c.relreplident, c.relrowsecurity,
		pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
		(SELECT string_agg(concat_ws(':', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
			a.attcollation, pg_get_expr(d.adbin, d.adrelid)), ',' ORDER BY a.attnum)
		 FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))) AS sum
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND ` + mine + `
	UNION ALL
	SELECT 'view ' || c.oid::regclass, md5(pg_get_viewdef(c.oid))
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND c.relpersistence <> 't' AND ` + mine + `
	UNION ALL
	SELECT 'index ' || c.oid::regclass, md5(concat_ws('|', pg_get_indexdef(c.oid), i.indisvalid, i.indisreplident))
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_index i ON i.indexrelid = c.oid
	WHERE c.relpersistence <> 't' AND ` + mine + `
	UNION ALL
	SELECT 'sequence ' || c.oid::regclass, md5(concat_ws('|', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcycle))
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid
	WHERE c.relpersistence <> 't' AND ` + mine + `
	UNION ALL
	SELECT 'constraint ' || t.conname || ' of ' || c.oid::regclass, md5(pg_get_constraintdef(t.oid))
	FROM pg_constraint t JOIN pg_class c ON c.oid = t.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relpersistence <> 't' AND ` + mine + `
	UNION ALL
	SELECT 'trigger ' || t.tgname || ' of ' || c.oid::regclass, md5(concat_ws('|', pg_get_triggerdef(t.oid), t.tgenabled))
	FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE NOT t.tgisinternal AND t.tgname <> 'godwit_guard' AND c.relpersistence <> 't' AND ` + mine + `
	UNION ALL
	SELECT 'function ' || p.oid::regprocedure, md5(concat_ws('|', p.prosrc, p.prosqlbody, p.prokind, p.provolatile, p.prosecdef, p.proconfig))
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	WHERE n.nspname NOT IN ('information_schema', 'godwit') AND n.nspname NOT LIKE 'pg\_%'
	  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
	UNION ALL
	SELECT 'enum ' || e.enumtypid::regtype, md5(string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder))
	FROM pg_enum e GROUP BY e.enumtypid`

// fingerprintOf is definitions, summed up: one round trip, one short answer.
const fingerprintOf = `SELECT coalesce(md5(string_agg(object || sum, ',' ORDER BY object)), '') FROM (` + definitions + `) d`

// stampOf changes whenever a definition may have changed: it sums up which
// transaction wrote each row of the catalogs, for objects that are not the
// server's own. Ten times cheaper than fingerprintOf, but it also changes when
// nothing of interest did.
const stampOf = `SELECT sum(hashtextextended(row, 0))::text FROM (
	SELECT concat('c', oid, ':', xmin) AS row FROM pg_class WHERE oid >= 16384
	UNION ALL SELECT concat('a', attrelid, ':', attnum, ':', xmin) FROM pg_attribute WHERE attrelid >= 16384
	UNION ALL SELECT concat('k', oid, ':', xmin) FROM pg_constraint WHERE oid >= 16384
	UNION ALL SELECT concat('t', oid, ':', xmin) FROM pg_trigger WHERE oid >= 16384
	UNION ALL SELECT concat('p', oid, ':', xmin) FROM pg_proc WHERE oid >= 16384
	UNION ALL SELECT concat('y', oid, ':', xmin) FROM pg_type WHERE oid >= 16384
	UNION ALL SELECT concat('e', oid, ':', xmin) FROM pg_enum WHERE oid >= 16384
	UNION ALL SELECT concat('i', indexrelid, ':', xmin) FROM pg_index WHERE indexrelid >= 16384
	UNION ALL SELECT concat('d', oid, ':', xmin) FROM pg_attrdef WHERE oid >= 16384
	UNION ALL SELECT concat('s', seqrelid, ':', xmin) FROM pg_sequence
	UNION ALL SELECT concat('r', oid, ':', xmin) FROM pg_rewrite WHERE oid >= 16384) rows`

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
	values, err := batch(ctx, conn, "SELECT ("+fingerprintOf+") = (SELECT value FROM godwit.state WHERE key = 'fingerprint')",
		"SELECT string_agg(t, ', ') FROM ("+unguarded+" LIMIT 5) u (t)")
	if err != nil {
		return b.about(side, err)
	}
	if values[0] == "t" {
		if values[1] != "" {
			err = fmt.Errorf("%w: trigger %s of %s was disabled, dropped or replaced; ALTER TABLE … ENABLE ALWAYS TRIGGER %[2]s, or, before the cutover, godwit migrate sync, which puts it back",
				ErrChanged, guardTrigger, values[1])
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
