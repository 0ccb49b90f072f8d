package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// comparison compares the rows of both sides, in a session of its own on each, as
// a role that may only read them.
type comparison struct {
	*Writer
	truth    string
	result   *Verification
	sessions map[string]*pgx.Conn // by side
	digits   string               // statement that lets both sides write fractions alike
	keys     map[string][]string  // of rows that were looked at: what each key, as text, consists of
}

// compareRows makes the roles of a comparison; end it.
func (b *Writer) compareRows(ctx context.Context, truth string, v *Verification) (*comparison, error) {
	c := &comparison{Writer: b, truth: truth, result: v, sessions: map[string]*pgx.Conn{}, keys: map[string][]string{}}
	for _, side := range []string{Source, Target} {
		conn, err := b.writer(ctx, side)
		if err == nil {
			err = c.fitDigits(ctx, side)
		}
		if err == nil {
			err = b.about(side, b.makeRole(ctx, conn, b.comparer(), "LOGIN", mayRead))
		}
		if err != nil {
			return nil, errors.Join(err, c.end(context.WithoutCancel(ctx)))
		}
	}
	return c, nil
}

// fitDigits has both sides write 15 digits of a fraction where one is older than 12:
// only newer ones write the shortest text that is exact, and older ones never do.
func (c *comparison) fitDigits(ctx context.Context, side string) error {
	old, err := c.read(ctx, side, "SELECT current_setting('server_version_num')::int < 120000")
	if err == nil && (old[0] == "t" || c.digits == "") {
		c.digits = "SET extra_float_digits = " + map[bool]string{true: "0", false: "1"}[old[0] == "t"]
	}
	return err
}

// end ends the sessions and drops the roles.
func (c *comparison) end(ctx context.Context) error {
	closeAll(c.sessions)
	return errors.Join(c.dropOwnRoles(ctx, Source, c.comparer()), c.dropOwnRoles(ctx, Target, c.comparer()))
}

// session that reads rows on side, opened when first needed and again when it broke.
func (c *comparison) session(ctx context.Context, side string) (*pgx.Conn, error) {
	if conn := c.sessions[side]; conn != nil && !conn.IsClosed() {
		return conn, nil
	}
	conn, err := c.enter(ctx, side, c.comparer())
	if err == nil {
		c.sessions[side] = conn
	}
	return conn, err
}

// ask runs a query about rows on side.
func (c *comparison) ask(ctx context.Context, side, query string) (pgx.Rows, error) {
	conn, err := c.session(ctx, side)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, query)
	return rows, c.about(side, err)
}

// table compares a table chunk by chunk.
func (c *comparison) table(ctx context.Context, t table) error {
	for _, side := range []string{Source, Target} { // what the owner of the table before it has set here ends here
		conn, err := c.session(ctx, side)
		if err != nil {
			return err
		}
		for _, statement := range []string{"DISCARD ALL", c.digits} { // the first in no transaction
			if _, err := batch(ctx, conn, statement); err != nil {
				return c.about(side, err)
			}
		}
	}
	clear(c.keys)
	if t.sorts {
		return c.buckets(ctx, t)
	}
	var from []string
	for {
		to, err := c.boundary(ctx, t, from)
		if err != nil {
			return err
		}
		if err := c.chunk(ctx, chunk{table: t, from: from, to: to}); err != nil {
			return err
		}
		if to == nil {
			return nil
		}
		from = to
	}
}

// boundary is the key chunkRows rows above from; nil when there are fewer.
func (c *comparison) boundary(ctx context.Context, t table, from []string) ([]string, error) {
	if len(t.key) == 0 {
		return nil, nil
	}
	rows, err := c.ask(ctx, c.truth, chunk{table: t, from: from}.boundary())
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil || len(found) == 0 {
		return nil, c.about(c.truth, err)
	}
	return found[0], nil
}

// sum is the checksum of a chunk.
type sum struct {
	Rows int64
	Text string
}

func (c *comparison) sum(ctx context.Context, side string, part chunk) (sum, error) {
	rows, err := c.ask(ctx, side, part.sum())
	if err != nil {
		return sum{}, err
	}
	s, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[sum])
	return s, c.about(side, err)
}

// same compares a chunk on both sides, now.
func (c *comparison) same(ctx context.Context, part chunk) (bool, int64, error) {
	one, err := c.sum(ctx, c.truth, part)
	if err != nil {
		return false, 0, err
	}
	two, err := c.sum(ctx, other(c.truth), part)
	return one == two, one.Rows, err
}

func (c *comparison) chunk(ctx context.Context, part chunk) error {
	c.result.Chunks++
	equal, rows, err := c.same(ctx, part)
	c.result.Rows += rows
	if err != nil || equal {
		return err
	}
	c.result.Retried++
	for range 3 {
		if err := c.arrive(ctx); err != nil {
			return err
		}
		if equal, _, err = c.same(ctx, part); err != nil || equal {
			return err
		}
	}
	d := Differ{Table: part.table.name, From: strings.Join(part.from, ", "), To: strings.Join(part.to, ", ")}
	if len(part.table.key) > 0 {
		if d.Rows, err = c.differing(ctx, part); err != nil || len(d.Rows) == 0 {
			return err
		}
	}
	c.result.Differing = append(c.result.Differing, d)
	return nil
}

// arrive waits until all that is committed on truth now is on the other side.
func (c *comparison) arrive(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, verifyLag)
	defer cancel()
	_, err := c.roundTrip(short, c.truth)
	return err
}

// differing are the keys of rows of a chunk that really differ.
func (c *comparison) differing(ctx context.Context, part chunk) ([]string, error) {
	one, err := c.sums(ctx, c.truth, part, "true")
	if err != nil {
		return nil, err
	}
	two, err := c.sums(ctx, other(c.truth), part, "true")
	if err != nil {
		return nil, err
	}
	suspects := unequal(one, two)
	if len(suspects) == 0 || len(suspects) > namedRows {
		return suspects, nil
	}
	return c.settle(ctx, part, suspects)
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

// look is a row of truth, before and after all that was committed had arrived on
// the other side, and what was there then. No row is "".
type look struct{ before, there, after string }

// equal: the other side has what truth had.
func (l look) equal() bool { return l.there == l.before || l.there == l.after }

// still: the row of truth did not move meanwhile.
func (l look) still() bool { return l.before == l.after }

// settle decides of each suspect whether it differs: it does when it stood still
// and yet was twice the same other row on the other side.
func (c *comparison) settle(ctx context.Context, part chunk, suspects []string) (differ []string, err error) {
	last := map[string]look{}
	for range looks {
		now, err := c.look(ctx, part, suspects)
		if err != nil {
			return nil, err
		}
		var open []string
		for _, key := range suspects {
			l := now[key]
			switch {
			case l.equal():
			case l.still() && l == last[key]:
				differ = append(differ, key)
			default:
				open = append(open, key)
			}
		}
		if suspects, last = open, now; len(suspects) == 0 {
			break
		}
	}
	if len(suspects) > 0 {
		locked, err := c.lookLocked(ctx, part, suspects)
		if err != nil {
			return nil, err
		}
		differ = append(differ, locked...)
	}
	slices.Sort(differ)
	return differ, nil
}

func (c *comparison) look(ctx context.Context, part chunk, keys []string) (map[string]look, error) {
	only := part.table.only(keys)
	if part.buckets != nil { // a bucket is found by reading the whole table
		parts := make([][]string, len(keys))
		for i, key := range keys {
			parts[i] = c.keys[key]
		}
		part, only = chunk{table: part.table}, part.table.exactly(parts)
	}
	before, err := c.sums(ctx, c.truth, part, only)
	if err != nil {
		return nil, err
	}
	if err := c.arrive(ctx); err != nil {
		return nil, err
	}
	there, err := c.sums(ctx, other(c.truth), part, only)
	if err != nil {
		return nil, err
	}
	after, err := c.sums(ctx, c.truth, part, only)
	all := map[string]look{}
	for _, key := range keys {
		all[key] = look{before[key], there[key], after[key]}
	}
	return all, err
}

// lookLocked looks at rows while nobody writes to their table. Who locks it is the
// engine's own session, which reads no row: a lock on rows would need the right to
// change them.
func (c *comparison) lookLocked(ctx context.Context, part chunk, keys []string) ([]string, error) {
	conn, err := c.watcher(ctx, c.truth)
	if err != nil {
		return nil, err
	}
	if _, err := batch(ctx, conn, "BEGIN", "SET LOCAL lock_timeout = '2s'", "LOCK TABLE ONLY "+part.table.name+" IN SHARE MODE"); err != nil {
		return nil, c.about(c.truth, err)
	}
	defer batch(context.WithoutCancel(ctx), conn, "ROLLBACK")
	all, err := c.look(ctx, part, keys)
	var differ []string
	for key, l := range all {
		if !l.equal() {
			differ = append(differ, key)
		}
	}
	return differ, err
}

// sums are the md5 of the rows of a chunk, by key.
func (c *comparison) sums(ctx context.Context, side string, part chunk, more string) (map[string]string, error) {
	rows, err := c.ask(ctx, side, part.sums(more))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var key, hash string
		var parts []string
		if err := rows.Scan(&key, &hash, &parts); err != nil {
			return nil, c.about(side, err)
		}
		all[key] = hash
		if part.buckets != nil {
			c.keys[key] = parts
		}
	}
	return all, c.about(side, rows.Err())
}
