package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Position is where a fence stands in the write-ahead log of its side.
type Position struct {
	Fence  string `json:"fence"`  // no other session's transaction commits after it
	Marker string `json:"marker"` // the engine's own commit comes after it
	Xid    string `json:"xid"`    // transaction of the marker
}

// String and ParsePosition are inverse: a Position as a note.
func (p Position) String() string { return p.Fence + " " + p.Marker + " " + p.Xid }

// ParsePosition reads what String wrote.
func ParsePosition(s string) (Position, error) {
	f := strings.Fields(s)
	if len(f) != 3 {
		return Position{}, fmt.Errorf("position %q: want fence, marker and transaction", s)
	}
	return Position{f[0], f[1], f[2]}, nil
}

// strangers are the sessions of others in this database: clients, and
// walsenders that run a transaction of their own, for they take SQL too.
const strangers = `FROM pg_stat_activity a WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.pid <> ALL ('{%s}'::int[])
	AND NOT (a.application_name = '` + ReaderName + `' AND a.usename = current_user)
	AND (a.backend_type = 'client backend' OR a.backend_type = 'walsender' AND a.xact_start IS NOT NULL
		AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = a.pid))` + endable

// busy are those of them that may have begun before the fence was up, and
// whose transaction would not see it.
const busy = ` AND (a.xact_start IS NOT NULL OR a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)`

// prepared names the prepared transactions of the database.
const prepared = "SELECT string_agg(gid, ', ') FROM pg_prepared_xacts WHERE database = current_database()"

// Fence makes side refuse writes of every role, ends all sessions that are in
// a transaction, and returns the position after which nobody else's
// transaction commits a change. Calling it again gives a later, equally good
// position. ErrPrepared when a prepared transaction is open; the fence is up
// then, Unfence takes it down.
//
// Sessions without a transaction are not waited for: whatever they begin now
// sees the fence. Ending them takes a server longer than all the rest of the
// fence, so that Evict does it when clients no longer wait.
//
// The flag is committed without waiting for the disk: the marker's commit
// waits, and with it everything before.
func (b *Writer) Fence(ctx context.Context, side string) (Position, error) {
	var p Position
	values, err := b.write(ctx, side, "BEGIN", "SET LOCAL synchronous_commit = off", "SELECT godwit.raise_fence(true)", "COMMIT",
		b.end(side, busy), prepared, "SELECT pg_current_wal_insert_lsn()")
	if err != nil {
		return p, err
	}
	ended, open := values[4], values[5]
	p.Fence = values[6]
	if ended != "" {
		if open, p.Fence, err = b.awaitEnd(ctx, side, ended); err != nil {
			return p, err
		}
	}
	if open != "" {
		return p, b.about(side, fmt.Errorf("%w: %s; COMMIT PREPARED or ROLLBACK PREPARED it first", ErrPrepared, open))
	}
	return p, b.mark(ctx, side, &p)
}

// Evict ends all sessions of others on side and waits until they are gone.
// New ones of all but superusers are refused while the fence is up, where the
// engine is one itself; else they are read-only.
func (b *Writer) Evict(ctx context.Context, side string) error {
	values, err := b.write(ctx, side, b.end(side, ""))
	if err == nil && values[0] != "" {
		_, _, err = b.awaitEnd(ctx, side, values[0])
	}
	return err
}

// end is the statement that ends strangers and returns who they are.
func (b *Writer) end(side, which string) string {
	return "SELECT string_agg(format('(%s, %L)', a.pid, a.backend_start), ', ') FILTER (WHERE pg_terminate_backend(a.pid)) " +
		fmt.Sprintf(strangers, pidList(b.own(side))) + which
}

// awaitEnd waits until sessions are gone, and no others: whoever came after
// them sees the fence, and somebody who connects for ever must not keep it
// from standing. It returns prepared transactions and the position since when
// they are gone.
func (b *Writer) awaitEnd(ctx context.Context, side, sessions string) (open, position string, err error) {
	look := []string{
		"SELECT count(*) FROM pg_stat_activity WHERE (pid, backend_start) IN (SELECT pid, t::timestamptz FROM (VALUES " + sessions + ") v (pid, t))",
		prepared,
		"SELECT pg_current_wal_insert_lsn()", // a statement of its own: read after the count
	}
	err = until(ctx, poll, func() (bool, error) {
		values, err := b.write(ctx, side, look...)
		if err != nil {
			return false, err
		}
		open, position = values[1], values[2]
		return values[0] == "0", nil
	})
	return open, position, err
}

// mark commits the engine's own row on side. Marker is read before the commit:
// the commit is after it, and whoever has replayed beyond it has the commit.
func (b *Writer) mark(ctx context.Context, side string, p *Position) error {
	values, err := b.write(ctx, side, "BEGIN",
		"INSERT INTO godwit.marker VALUES ("+literal(side)+", 1) ON CONFLICT (side) DO UPDATE SET n = marker.n + 1",
		"SELECT pg_current_xact_id()", "SELECT pg_current_wal_insert_lsn()", "COMMIT")
	if err != nil {
		return err
	}
	p.Xid, p.Marker = values[2], values[3]
	return nil
}

// Guard makes side refuse writes, but lets everybody connect and read: the
// target from sync on, so that its services can be up, with open sessions,
// before the cutover.
func (b *Writer) Guard(ctx context.Context, side string) error {
	_, err := b.write(ctx, side, "SELECT godwit.raise_fence(false)")
	return err
}

// Unfence restores what there was before Fence or Guard. Sessions that were
// opened behind a fence would stay read-only: they are ended, so that their
// owners open new ones.
func (b *Writer) Unfence(ctx context.Context, side string) error {
	values, err := b.write(ctx, side,
		"SELECT coalesce(CASE WHEN closed THEN closed_at END::text, '') FROM godwit.fence", "SELECT godwit.lower_fence()")
	if err != nil || values[0] == "" {
		return err
	}
	_, err = b.write(ctx, side, b.end(side, " AND a.backend_start > "+literal(values[0])+"::timestamptz"))
	return err
}

// fenced says whether side refuses writes. false when godwit was never there.
func (b *Reader) fenced(ctx context.Context, side string) (bool, error) {
	conn, err := b.watcher(ctx, side)
	if err != nil {
		return false, err
	}
	values, err := batch(ctx, conn, "SELECT to_regclass('godwit.fence')")
	if err != nil || values[0] == "" {
		return false, b.about(side, err)
	}
	values, err = batch(ctx, conn, "SELECT raised FROM godwit.fence")
	return err == nil && values[0] == "t", b.about(side, err)
}

func pidList(pids []int32) string {
	text := make([]string, len(pids))
	for i, pid := range pids {
		text[i] = strconv.Itoa(int(pid))
	}
	return strings.Join(text, ",")
}
