package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// changer is the role of a moment that runs the statements of a change. They run,
// and with them whatever owners wrote, with what the owners of the tables may: no
// superuser's session touches them.
func (p *Pair) changer() string { return p.name() + "_d" }

// changing is a session of the changer, with a transaction that is open after try.
type changing struct {
	conn  *pgx.Conn
	side  string
	owner string // who gets what is made
	path  string // search_path
	place string // number that marks the change in the stream
	noted map[string]string
}

// owners of what moves, who is the owner of most first. No superuser is among them.
const owners = `SELECT r.rolname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles r ON r.oid = c.relowner
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND NOT r.rolsuper AND ` + mine + ` GROUP BY 1 ORDER BY count(*) DESC, 1`

// searchPath is what the role $1 has as its search_path in this database.
const searchPath = `SELECT coalesce((SELECT substr(c, 13) FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) c
	WHERE c LIKE 'search\_path=%%' AND (s.setrole = 0 OR r.rolname = %[1]s)
	  AND (s.setdatabase = 0 OR s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
	ORDER BY s.setrole <> 0 AND s.setdatabase <> 0 DESC, s.setrole <> 0 DESC, s.setdatabase <> 0 DESC LIMIT 1),
	(SELECT reset_val FROM pg_settings WHERE name = 'search_path' AND reset_val <> 'pg_catalog'), '"$user", public')`

// changing opens a session on side that changes definitions, which the guards let
// through, and closes it again. What it has not committed is taken back.
func (b *Writer) changing(ctx context.Context, side string, do func(*changing) error) error {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return err
	}
	all, err := column(ctx, conn, owners)
	if err != nil {
		return b.about(side, err)
	}
	if len(all) == 0 {
		return b.about(side, refused("its tables belong to superusers, and godwit runs nobody's statements as one: "+
			"ALTER TABLE … OWNER TO a role that is none, or make the change by hand when the migration is finished"))
	}
	if err := b.dropChanger(ctx, side, all[0]); err != nil {
		return err
	}
	may := mayConnect + ` UNION ALL SELECT format('GRANT USAGE ON SCHEMA godwit TO %I', $2::text)
		UNION ALL SELECT format('GRANT EXECUTE ON FUNCTION godwit.note_change(text, text) TO %I', $2::text)
		UNION ALL SELECT format('GRANT %I TO %I', o, $2::text) FROM unnest(string_to_array(` + literal(strings.Join(all, "\n")) + `, E'\n')) o`
	if err := b.makeRole(ctx, conn, b.changer(), "LOGIN", may); err != nil {
		return b.about(side, err)
	}
	s := &changing{side: side, owner: all[0]}
	if s.noted, err = b.noted(ctx, side); err == nil {
		err = b.pass(ctx, s, do)
	}
	late := context.WithoutCancel(ctx)
	return errors.Join(err, b.dropChanger(late, side, s.owner))
}

// pass opens the session of the changer and does something in it.
func (b *Writer) pass(ctx context.Context, s *changing, do func(*changing) error) error {
	path, err := b.write(ctx, s.side, fmt.Sprintf(searchPath, literal(s.owner)))
	if err != nil {
		return err
	}
	s.path = path[0]
	if s.conn, err = b.enter(ctx, s.side, b.changer()); err != nil {
		return err
	}
	defer s.conn.Close(context.WithoutCancel(ctx))
	_, err = b.write(ctx, s.side, noteState(passkey, fmt.Sprintf("(SELECT pid || ' ' || extract(epoch FROM backend_start) FROM pg_stat_activity WHERE pid = %d)", s.conn.PgConn().PID())))
	if err != nil {
		return err
	}
	return b.about(s.side, do(s))
}

// dropChanger drops the changer; what it made as itself becomes the owner's.
func (b *Writer) dropChanger(ctx context.Context, side, owner string) error {
	there, err := b.write(ctx, side, "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = "+literal(b.changer()))
	if err != nil {
		return err
	}
	statements := []string{"BEGIN", "SET LOCAL client_min_messages = error", "DELETE FROM godwit.state WHERE key = " + literal(passkey)}
	if there[0] != "" && owner != "" {
		statements = append(statements, "REASSIGN OWNED BY "+there[0]+" TO "+ident(owner))
	}
	if there[0] != "" {
		statements = append(statements, "DROP OWNED BY "+there[0], "DROP ROLE "+there[0])
	}
	_, err = b.write(ctx, side, append(statements, "COMMIT")...)
	return err
}

// before keeps, for the transaction, which tables and columns there are.
const before = `SELECT set_config('godwit.before', coalesce(jsonb_object_agg(c.oid, jsonb_build_array(c.relnatts, coalesce(pg_relation_filenode(c.oid), 0), coalesce(pg_relation_size(c.oid), 0))), '{}')::text, true)
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND ` + mine

// was is what before kept, as a query.
const was = `(SELECT key::oid AS oid, (value->>0)::int AS columns, (value->>1)::oid AS file, (value->>2)::bigint AS size FROM jsonb_each(current_setting('godwit.before')::jsonb))`

// try runs the statements of a change in a transaction, which it leaves open, and says
// what they did. fromSide is the side on which their place in the stream is marked. It
// gives way to whoever uses a table.
func (s *changing) try(ctx context.Context, c Change, fromSide string) (Rehearsal, error) {
	note := "SELECT ''"
	if fromSide != "" || s.side != c.Truth {
		note = fmt.Sprintf("SELECT godwit.note_change(%s, %s)", literal(c.ID), literal(fromSide))
	}
	var last error
	err := until(ctx, lockPatience/2, func() (bool, error) {
		values, err := batch(ctx, s.conn, "BEGIN READ WRITE", fmt.Sprintf("SET LOCAL lock_timeout = '%dms'", lockPatience.Milliseconds()),
			"SET LOCAL client_min_messages = error", before, note, views, "SET LOCAL row_security = on",
			"SELECT set_config('search_path', "+literal(s.path)+", true)", "SET LOCAL ROLE "+ident(s.owner),
			"DO "+literal("BEGIN EXECUTE "+literal(c.SQL)+"; END"),
			"SET LOCAL ROLE NONE", "SET LOCAL search_path = pg_catalog", "SET LOCAL row_security = off")
		if waitedInVain(err) {
			last = err
			return false, nil
		}
		if err == nil {
			s.place = values[4]
		}
		return true, err
	})
	if err != nil && last != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w; a long transaction uses a table of it: %w", err, last)
	}
	if err != nil {
		return Rehearsal{}, s.why(c, err)
	}
	return s.judge(ctx, c)
}

// judge says what the statements did, and refuses what cannot be the same on both sides.
func (s *changing) judge(ctx context.Context, c Change) (r Rehearsal, err error) {
	if err := s.rows(ctx, c); err != nil {
		return r, err
	}
	if err := s.keyed(ctx); err != nil {
		return r, err
	}
	now, err := definitionsIn(ctx, s.conn)
	if err != nil {
		return r, err
	}
	r.Filled, err = pairsOf(ctx, s.conn, fillOf(s.side)+` FROM `+was+` w JOIN pg_class c ON c.oid = w.oid JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE w.size > 0 AND a.attnum > w.columns AND NOT a.attisdropped AND coalesce(to_jsonb(a)->>'attgenerated', '') = ''
		  AND (a.atthasmissing OR (a.atthasdef OR a.attidentity <> '') AND pg_relation_filenode(c.oid) <> w.file)`)
	if err != nil {
		return r, err
	}
	r.Changes = changesOf(s.noted, now)
	return r, nil
}

// keyed refuses what would be published without a key by which its rows are found: from
// then on its updates would fail where the truth is.
func (s *changing) keyed(ctx context.Context) error {
	tables, err := findKeyless(ctx, s.conn)
	if err != nil {
		return err
	}
	if len(tables) > 0 {
		return refused("table %s would have no primary key and no replica identity: give it one in the same statements, for instance %s", tables[0].Table, tables[0].give())
	}
	for _, r := range keyShapes {
		found, err := column(ctx, s.conn, r.query)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return refused(r.summary+"; %s", found[0], r.mend)
		}
	}
	return nil
}

// fillOf is the head of a query for what rows from before a column was added have in
// it: a value that the server keeps once, or one that side made for each row.
func fillOf(side string) string {
	return `SELECT c.oid::regclass::text || '.' || quote_ident(a.attname),
		CASE WHEN a.atthasmissing THEN a.attmissingval::text ELSE ` + literal("made on the "+side) + ` END`
}

// filled is what such rows have in columns of side.
func (b *Reader) filled(ctx context.Context, side string, columns []string) (map[string]string, error) {
	conn, err := b.watcher(ctx, side)
	if err != nil || len(columns) == 0 {
		return map[string]string{}, err
	}
	all, err := pairsOf(ctx, conn, fillOf(side)+` FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.oid::regclass::text || '.' || quote_ident(a.attname) = ANY (string_to_array(`+literal(strings.Join(columns, "\n"))+`, E'\n'))`)
	return all, b.about(side, err)
}

// rows refuses what the statements do with rows and cannot be the same on both sides:
// what they add to a table comes from the other side too. New tables are left empty
// where the rows of them are copied to.
func (s *changing) rows(ctx context.Context, c Change) error {
	added, err := column(ctx, s.conn, `SELECT w.oid::regclass::text FROM `+was+` w JOIN pg_stat_xact_all_tables t ON t.relid = w.oid WHERE t.n_tup_ins > 0 ORDER BY 1`)
	if err != nil {
		return err
	}
	if len(added) > 0 {
		return refused("it adds rows to %s: they would come a second time from the %s; change the definitions with this, then add the rows there by hand", strings.Join(added, ", "), c.Truth)
	}
	if s.side == c.Truth {
		return nil
	}
	if c.CatchUp {
		changed, err := column(ctx, s.conn, `SELECT w.oid::regclass::text FROM `+was+` w JOIN pg_stat_xact_all_tables t ON t.relid = w.oid JOIN pg_class c ON c.oid = w.oid
			WHERE t.n_tup_upd + t.n_tup_del > 0 AND c.relnatts = w.columns ORDER BY 1`)
		if err != nil {
			return err
		}
		if len(changed) > 0 {
			return refused("it changes rows of %s, which the %s has sent already: leave those statements out", strings.Join(changed, ", "), c.Truth)
		}
	}
	return s.empty(ctx)
}

// empty removes the rows of tables that the statements have made.
func (s *changing) empty(ctx context.Context) error {
	fresh, err := column(ctx, s.conn, `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND `+mine+` AND c.oid NOT IN (SELECT oid FROM `+was+` w) ORDER BY c.oid DESC`)
	if err != nil || len(fresh) == 0 {
		return err
	}
	_, err = batch(ctx, s.conn, "SET LOCAL ROLE "+ident(s.owner), "DELETE FROM "+strings.Join(fresh, "; DELETE FROM "), "SET LOCAL ROLE NONE")
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "23503" {
		return refused("tables of before refer to rows of a table that it makes, which arrive later: make the table in a file of its own first (%s)", pgErr.Message)
	}
	return err
}

// takeBack and commit end the transaction that try has left open.
func (s *changing) takeBack(ctx context.Context) error {
	_, err := batch(ctx, s.conn, "ROLLBACK")
	return err
}

func (s *changing) commit(ctx context.Context) error {
	_, err := batch(ctx, s.conn, "COMMIT")
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && !strings.HasPrefix(pgErr.Code, "57") {
		return refused("%s does not commit it: %w", s.side, err)
	}
	return err
}

// why turns what a server said of the statements into what to do about it.
func (s *changing) why(c Change, err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || strings.HasPrefix(pgErr.Code, "57") || strings.HasPrefix(pgErr.Code, "53") {
		return err
	}
	at := ""
	if p := int(pgErr.InternalPosition); p > 0 && pgErr.InternalQuery == c.SQL {
		at = fmt.Sprintf("line %d: ", 1+strings.Count(string([]rune(c.SQL)[:min(p-1, len([]rune(c.SQL)))]), "\n"))
	}
	mend := ""
	switch {
	case pgErr.Code == "25001":
		mend = "; all of it is one transaction on each side: leave out what cannot be in one, like CONCURRENTLY, or do that when the migration is finished"
	case pgErr.Code == "0A000" && strings.Contains(pgErr.Message, "transaction"):
		mend = "; all of it is one transaction on each side already: leave out BEGIN, COMMIT and ROLLBACK"
	case pgErr.Code == "42501":
		mend = fmt.Sprintf("; it runs as role %s, which owns most of what moves, and never as a superuser", s.owner)
	case pgErr.Code == "42601" && strings.Contains(c.SQL, "\n\\"):
		mend = "; commands of psql are not SQL: leave them out"
	}
	return refused("the %s says: %s%w%s", s.side, at, err, mend)
}

// pairsOf reads a query of two columns.
func pairsOf(ctx context.Context, conn *pgx.Conn, query string) (map[string]string, error) {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return nil, err
		}
		all[key] = value
	}
	return all, rows.Err()
}
