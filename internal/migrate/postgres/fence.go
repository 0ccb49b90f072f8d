package postgres

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
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

// clock is what a server's clock showed, in microseconds since 1970, and when by
// the engine's own clock that was at the latest.
type clock struct {
	shown int64
	at    time.Time
}

// readClock asks side for the time. The engine's own clock never jumps; what it
// says of a server's is late by the way there at most.
func (b *Writer) readClock(ctx context.Context, side string) error {
	values, err := b.write(ctx, side, "SELECT godwit.now()")
	if err != nil {
		return err
	}
	c := clock{at: time.Now()}
	if c.shown, err = strconv.ParseInt(values[0], 10, 64); err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.clocks[side] = c
	}
	return err
}

// deadline is a moment of the engine's clock by that of side. It has passed there
// when it has passed here, not the other way round.
func (b *Writer) deadline(side string, end time.Time) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.clocks[side]
	return c.shown + end.Sub(c.at).Microseconds()
}

// Fence makes side refuse writes of every role until end, ends all sessions that
// are in a transaction, and returns the position after which nobody else's
// transaction commits a change, as long as the fence stands. It ends by itself:
// side keeps the deadline, and refuses what arrives behind it. Decide makes it
// one for good. ErrPrepared when a prepared transaction is open, ErrChanged when
// definitions are no longer those that Prepare found; the fence is up then,
// Unfence takes it down. Prepare comes before.
//
// All is one round trip. Sessions without a transaction are not waited for:
// whatever they begin now sees the fence. The flag is committed without waiting
// for the disk: the marker's commit waits, and with it everything before.
func (b *Writer) Fence(ctx context.Context, side string, end time.Time) (Position, error) {
	deadline := b.deadline(side, end)
	statements := []string{"BEGIN", "SET LOCAL synchronous_commit = off", fmt.Sprintf("SELECT godwit.raise_until(%d)", deadline), "COMMIT",
		"BEGIN", b.endAll(side, busy, deadline), "COMMIT", prepared, "SELECT pg_current_wal_insert_lsn()"}
	values, err := b.write(ctx, side, append(append(statements, markStatements(side)...), stampOf)...)
	if err != nil {
		return Position{}, err
	}
	if values[7] != "" {
		return Position{}, b.about(side, fmt.Errorf("%w: %s; COMMIT PREPARED or ROLLBACK PREPARED it first", ErrPrepared, values[7]))
	}
	if values[14] != b.prepared {
		if err := b.Unchanged(ctx, side); err != nil {
			return Position{}, err
		}
	}
	return Position{Fence: values[8], Xid: values[11], Marker: values[12]}, nil
}

// Decide makes the fence of side, which was raised until end, one for good, and
// returns where its sequences stand. ErrLate when it has ended by itself: then
// nothing is decided. Asked again it answers the same. Any other error leaves
// open what it was: Unfence settles that.
func (b *Writer) Decide(ctx context.Context, side string, end time.Time) ([]Sequence, error) {
	values, err := b.write(ctx, side, append([]string{fmt.Sprintf("SELECT godwit.decide(%d)", b.deadline(side, end)), largeObjects}, b.carry...)...)
	if err != nil {
		return nil, err
	}
	if values[0] != "t" {
		return nil, b.about(side, fmt.Errorf("%w: its fence has ended", ErrLate))
	}
	seqs, err := parseSequences(values[2:])
	if err == nil && values[1] != "0" {
		err = b.about(side, b.largeObjects(values[1]))
	}
	return seqs, err
}

// Evict makes new sessions on side read-only, ends all of others and waits until
// they are gone. They may come back: to read.
func (b *Writer) Evict(ctx context.Context, side string) error {
	_, err := b.write(ctx, side, "BEGIN", "SELECT godwit.close_fence()", "COMMIT", "BEGIN", b.endAll(side, "", math.MaxInt64), "COMMIT")
	return err
}

// end is the statement that ends strangers.
func (b *Writer) end(side, which string) string {
	return "SELECT count(pg_terminate_backend(a.pid)) " + fmt.Sprintf(strangers, pidList(b.own(side))) + which
}

// endAll is the statement that ends strangers and waits until they are gone, and
// no others: whoever came after them sees the fence, and somebody who connects for
// ever must not keep it from standing.
func (b *Writer) endAll(side, which string, deadline int64) string {
	return "DO " + literal(fmt.Sprintf(`DECLARE
	ended text[];
BEGIN
	SELECT array_agg(a.pid || ' ' || a.backend_start) FILTER (WHERE pg_terminate_backend(a.pid)) INTO ended %s;
	WHILE ended IS NOT NULL LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid || ' ' || a.backend_start = ANY (ended));
		PERFORM godwit.in_time(%d);
		PERFORM pg_sleep(0.0005);
	END LOOP;
END`, fmt.Sprintf(strangers, pidList(b.own(side)))+which, deadline))
}

// markStatements commit the engine's own row on side. Marker is read before the
// commit: the commit is after it, and whoever has replayed beyond it has the commit.
func markStatements(side string) []string {
	return []string{"BEGIN", "INSERT INTO godwit.marker VALUES (" + literal(side) + ", 1) ON CONFLICT (side) DO UPDATE SET n = marker.n + 1",
		"SELECT txid_current()", "SELECT pg_current_wal_insert_lsn()", "COMMIT"}
}

// mark puts a row of its own into the stream.
func (b *Writer) mark(ctx context.Context, side string) (Position, error) {
	values, err := b.write(ctx, side, markStatements(side)...)
	if err != nil {
		return Position{}, err
	}
	return Position{Xid: values[2], Marker: values[3]}, nil
}

// Guard makes side refuse writes, but lets everybody connect and read: the
// target from sync on, so that its services can be up, with open sessions,
// before the cutover.
func (b *Writer) Guard(ctx context.Context, side string) error {
	_, err := b.write(ctx, side, "SELECT godwit.raise_fence()")
	return err
}

// Thaw restores what there was before Evict; the fence stays up. Sessions that
// were opened meanwhile would stay read-only: they are ended, so that their owners
// open new ones before anybody waits for them.
func (b *Writer) Thaw(ctx context.Context, side string) error {
	return b.reopen(ctx, side, "SELECT godwit.thaw()")
}

// Unfence restores what there was before Fence, Guard and Evict.
func (b *Writer) Unfence(ctx context.Context, side string) error {
	return b.reopen(ctx, side, "SELECT godwit.lower_fence()")
}

func (b *Writer) reopen(ctx context.Context, side, how string) error {
	_, err := b.write(ctx, side, how, "BEGIN", b.end(side, " AND a.backend_start > (SELECT closed_at FROM godwit.fence)"), "COMMIT")
	return err
}

// fenced says whether side refuses writes. false when godwit was never there.
func (b *Reader) fenced(ctx context.Context, side string) (bool, error) {
	values, err := b.read(ctx, side, apparatusIn("fence"), "SELECT to_regprocedure('godwit.stands()')")
	switch {
	case err != nil || values[0] == "":
		return false, err
	case values[1] == "": // made by an earlier godwit, for good
		values, err = b.read(ctx, side, "SELECT raised FROM godwit.fence")
	default:
		values, err = b.read(ctx, side, "SELECT godwit.stands()")
	}
	return err == nil && values[0] == "t", err
}

func pidList(pids []int32) string {
	text := make([]string, len(pids))
	for i, pid := range pids {
		text[i] = strconv.Itoa(int(pid))
	}
	return strings.Join(text, ",")
}
