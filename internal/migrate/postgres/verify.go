package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	chunkRows  = 10_000           // rows compared at a time
	verifyLag  = 10 * time.Second // what a row may need to the other side meanwhile
	lockedRows = 500              // differing rows of a chunk that are compared under a lock
)

// Verification is what comparing the two sides found.
type Verification struct {
	Database  string   `json:"database"`
	Tables    int      `json:"tables"`
	Rows      int64    `json:"rows"`
	Chunks    int      `json:"chunks"`
	Retried   int      `json:"retried"` // chunks that differed at first: rows under way
	Differing []Differ `json:"differing"`
	Sequences int      `json:"sequences"` // of the truth; behind ones are in Behind
	Behind    []string `json:"behind"`
}

// Differ is a chunk that is not the same on both sides.
type Differ struct {
	Table string   `json:"table"`
	From  string   `json:"from"` // keys of the chunk: above From, up to To; "" is the end
	To    string   `json:"to"`
	Rows  []string `json:"rows,omitempty"` // keys of rows that differ, at most lockedRows
}

// table is a table as Verify sees it.
type table struct {
	name  string
	key   []string // quoted columns of the key; none: the table is one chunk
	types []string
}

// chunk is a range of keys, above from up to to; nil is the end.
type chunk struct {
	table    table
	from, to []string
}

// Verify compares every row of every table, in chunks, while both sides run:
// a chunk that differs is compared again when the rows under way have arrived,
// then row by row, and rows that keep changing under a lock on them. Sequences
// of the other side are compared only between switches, when the truth is
// ahead: they are carried in the switch.
func (b *Writer) Verify(ctx context.Context, progress func(Verification)) (Verification, error) {
	v := Verification{Database: b.Database}
	truth, err := b.truth(ctx)
	if err != nil {
		return v, err
	}
	if truth == "" {
		return v, fmt.Errorf("database %q: %w: a switch is under way", b.Database, ErrState)
	}
	tables, err := b.tables(ctx, truth)
	if err != nil {
		return v, err
	}
	for _, t := range tables {
		if err := b.verifyTable(ctx, truth, t, &v); err != nil {
			return v, fmt.Errorf("comparing table %s: %w", t.name, err)
		}
		v.Tables++
		if progress != nil {
			progress(v)
		}
	}
	return v, b.verifySequences(ctx, truth, &v)
}

// tables lists what is compared, with keys.
func (b *Reader) tables(ctx context.Context, side string) ([]table, error) {
	conn, err := b.watcher(ctx, side)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, `SELECT format('%I.%I', n.nspname, c.relname),
			coalesce((SELECT array_agg(quote_ident(a.attname) ORDER BY k.n) FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k (attnum, n)
				JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum WHERE i.indrelid = c.oid AND i.indisprimary), '{}'),
			coalesce((SELECT array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY k.n) FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k (attnum, n)
				JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum WHERE i.indrelid = c.oid AND i.indisprimary), '{}')
		FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname
		JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
		WHERE p.pubname = $1 AND n.nspname <> 'godwit' ORDER BY 1`, b.publication())
	if err != nil {
		return nil, b.about(side, err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (table, error) {
		var t table
		err := row.Scan(&t.name, &t.key, &t.types)
		return t, err
	})
	if err == nil && len(tables) == 0 {
		err = fmt.Errorf("%w: nothing is published, run sync first", ErrState)
	}
	return tables, b.about(side, err)
}

// verifyTable compares a table chunk by chunk.
func (b *Writer) verifyTable(ctx context.Context, truth string, t table, v *Verification) error {
	var from []string
	for {
		to, err := b.boundary(ctx, truth, t, from)
		if err != nil {
			return err
		}
		if err := b.verifyChunk(ctx, truth, chunk{t, from, to}, v); err != nil {
			return err
		}
		if to == nil {
			return nil
		}
		from = to
	}
}

// boundary is the key chunkRows rows above from; nil when there are fewer.
func (b *Reader) boundary(ctx context.Context, side string, t table, from []string) ([]string, error) {
	if len(t.key) == 0 {
		return nil, nil
	}
	conn, err := b.watcher(ctx, side)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(t.key))
	for i, k := range t.key {
		keys[i] = k + "::text"
	}
	rows, err := conn.Query(ctx, fmt.Sprintf("SELECT ARRAY[%s] FROM %s WHERE %s ORDER BY %s LIMIT 1 OFFSET %d",
		strings.Join(keys, ", "), t.name, chunk{table: t, from: from}.where(), strings.Join(t.key, ", "), chunkRows-1))
	if err != nil {
		return nil, b.about(side, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil || len(found) == 0 {
		return nil, b.about(side, err)
	}
	return found[0], nil
}

// where is the condition of a chunk.
func (c chunk) where() string {
	conditions := []string{"true"}
	for _, end := range []struct {
		operator string
		key      []string
	}{{">", c.from}, {"<=", c.to}} {
		if end.key != nil {
			conditions = append(conditions, fmt.Sprintf("ROW(%s) %s %s", strings.Join(c.table.key, ", "), end.operator, c.table.row(end.key)))
		}
	}
	return strings.Join(conditions, " AND ")
}

// row is a key as SQL.
func (t table) row(key []string) string {
	values := make([]string, len(key))
	for i := range key {
		values[i] = literal(key[i]) + "::" + t.types[i]
	}
	return "ROW(" + strings.Join(values, ", ") + ")"
}

// sum is the checksum of a chunk, in any order of rows: count, sum and exclusive or of their md5.
type sum struct {
	rows int64
	text string
}

func (b *Reader) sum(ctx context.Context, side string, c chunk) (sum, error) {
	conn, err := b.watcher(ctx, side)
	if err != nil {
		return sum{}, err
	}
	values, err := batch(ctx, conn, fmt.Sprintf(`SELECT count(*) || ' ' || coalesce(sum(lo::bigint)::text, '') || ' ' || coalesce(bit_xor(hi)::text, '') FROM
		(SELECT ('x' || left(h, 16))::bit(64) AS lo, ('x' || right(h, 16))::bit(64) AS hi FROM
			(SELECT md5(t::text) AS h FROM %s t WHERE %s) m) s`, c.table.name, c.where()))
	if err != nil {
		return sum{}, b.about(side, err)
	}
	count, _, _ := strings.Cut(values[0], " ")
	n, err := strconv.ParseInt(count, 10, 64)
	return sum{n, values[0]}, err
}

// same compares a chunk on both sides, now.
func (b *Reader) same(ctx context.Context, truth string, c chunk) (bool, int64, error) {
	one, err := b.sum(ctx, truth, c)
	if err != nil {
		return false, 0, err
	}
	two, err := b.sum(ctx, other(truth), c)
	return one == two, one.rows, err
}

func (b *Writer) verifyChunk(ctx context.Context, truth string, c chunk, v *Verification) error {
	v.Chunks++
	equal, rows, err := b.same(ctx, truth, c)
	v.Rows += rows
	if err != nil || equal {
		return err
	}
	v.Retried++
	for range 3 {
		if err := b.arrive(ctx, truth); err != nil {
			return err
		}
		if equal, _, err = b.same(ctx, truth, c); err != nil || equal {
			return err
		}
	}
	d := Differ{Table: c.table.name, From: strings.Join(c.from, ", "), To: strings.Join(c.to, ", ")}
	if len(c.table.key) > 0 {
		if d.Rows, err = b.differingRows(ctx, truth, c); err != nil || len(d.Rows) == 0 {
			return err
		}
	}
	v.Differing = append(v.Differing, d)
	return nil
}

// arrive waits until all that is committed on truth now is on the other side.
func (b *Writer) arrive(ctx context.Context, truth string) error {
	short, cancel := context.WithTimeout(ctx, verifyLag)
	defer cancel()
	_, err := b.roundTrip(short, truth)
	return err
}

// differingRows compares a chunk row by row, then those that differ under a
// lock, so that they can't change meanwhile. It returns the keys of those that
// really differ.
func (b *Writer) differingRows(ctx context.Context, truth string, c chunk) ([]string, error) {
	one, err := b.hashes(ctx, truth, c, "")
	if err != nil {
		return nil, err
	}
	two, err := b.hashes(ctx, other(truth), c, "")
	if err != nil {
		return nil, err
	}
	suspects := unequal(one, two)
	if len(suspects) == 0 || len(suspects) > lockedRows {
		return suspects, nil
	}
	return b.compareLocked(ctx, truth, c, suspects)
}

// unequal are the keys, sorted, whose hashes differ, or that one has not.
func unequal(one, two map[string]string) []string {
	var keys []string
	for key, hash := range one {
		if two[key] != hash {
			keys = append(keys, key)
		}
	}
	for key := range two {
		if _, ok := one[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// compareLocked holds the rows on truth, lets all that was committed arrive, and compares.
func (b *Writer) compareLocked(ctx context.Context, truth string, c chunk, keys []string) ([]string, error) {
	conn, err := b.watcher(ctx, truth)
	if err != nil {
		return nil, err
	}
	quoted := make([]string, len(keys))
	for i, key := range keys {
		quoted[i] = literal(key)
	}
	only := fmt.Sprintf(" AND %s IN (%s)", c.table.keyText(), strings.Join(quoted, ", "))
	if _, err := batch(ctx, conn, "BEGIN READ WRITE", "SET LOCAL lock_timeout = '2s'"); err != nil {
		return nil, b.about(truth, err)
	}
	defer batch(context.WithoutCancel(ctx), conn, "ROLLBACK")
	one, err := b.hashes(ctx, truth, c, only+" FOR SHARE")
	if err != nil {
		return nil, err
	}
	if err := b.arrive(ctx, truth); err != nil {
		return nil, err
	}
	two, err := b.hashes(ctx, other(truth), c, only)
	return unequal(one, two), err
}

// keyText is the key of a row as one text.
func (t table) keyText() string { return "ROW(" + strings.Join(t.key, ", ") + ")::text" }

// hashes are the md5 of the rows of a chunk, by key.
func (b *Reader) hashes(ctx context.Context, side string, c chunk, more string) (map[string]string, error) {
	conn, err := b.watcher(ctx, side)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, fmt.Sprintf("SELECT %s, md5(t::text) FROM %s t WHERE %s%s", c.table.keyText(), c.table.name, c.where(), more))
	if err != nil {
		return nil, b.about(side, err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var key, hash string
		if err := rows.Scan(&key, &hash); err != nil {
			return nil, b.about(side, err)
		}
		all[key] = hash
	}
	return all, b.about(side, rows.Err())
}

// verifySequences finds sequences of truth that would give out a value again:
// ones that stand below what the other side, which had the truth before, has
// already given out.
func (b *Writer) verifySequences(ctx context.Context, truth string, v *Verification) error {
	ahead, err := b.Sequences(ctx, truth)
	if err != nil {
		return err
	}
	behind, err := b.Sequences(ctx, other(truth))
	if err != nil {
		return err
	}
	was := map[string]Sequence{}
	for _, s := range behind {
		was[s.Name] = s
	}
	v.Sequences = len(ahead)
	for _, s := range ahead {
		old := was[s.Name]
		if s.Falls {
			s.Last, old.Last = -s.Last, -old.Last
		}
		if s.Last < old.Last || s.Last == old.Last && old.Called && !s.Called {
			v.Behind = append(v.Behind, s.Name)
		}
	}
	return nil
}
