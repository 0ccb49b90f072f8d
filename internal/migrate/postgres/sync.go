package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Progress of a sync.
type Progress struct {
	Database string      `json:"database"`
	Stage    string      `json:"stage"`
	Tables   int         `json:"tables"`
	Copied   int         `json:"copied"` // tables whose rows are all there
	Current  []TableCopy `json:"current,omitempty"`
	LagBytes int64       `json:"lag_bytes"`
	// Bytes are copied, about, of OfBytes that the tables had on the source.
	Bytes   int64         `json:"bytes"`
	OfBytes int64         `json:"of_bytes"`
	Left    time.Duration `json:"left_ns"` // until all are, at this rate; 0: not known
}

// TableCopy is a table whose rows are being copied.
type TableCopy struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
}

const (
	copyFailures = 3                      // errors of the copying workers after which sync gives up
	copyLook     = 100 * time.Millisecond // how often the copy is looked at
	silence      = 15 * time.Second       // how long a server may not answer before sync gives up
	standstill   = 2 * time.Minute        // how long nothing may move
	syncedLag    = 2 * time.Second        // what a row may need to the target for a sync to be done
)

// Sync brings the target to where it follows the source: definitions, guards,
// publications, slot, subscriptions, rows, statistics. It is resumable: called
// again after any failure it goes on. Writers on the source go on; clients of
// the target can read. progress may be nil.
func (b *Writer) Sync(ctx context.Context, progress func(Progress)) error {
	err := b.sync(ctx, progress)
	if !errors.Is(err, errOrphan) {
		return err
	}
	if progress != nil {
		progress(Progress{Database: b.Database, Stage: "copying anew: the target died"})
	}
	if aborted := b.Abort(ctx); aborted != nil {
		return errors.Join(err, fmt.Errorf("starting anew: %w", aborted))
	}
	return b.sync(ctx, progress)
}

func (b *Writer) sync(ctx context.Context, progress func(Progress)) error {
	stage := func(name string) {
		if progress != nil {
			progress(Progress{Database: b.Database, Stage: name})
		}
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"equipping the target", func() error { return b.equip(ctx, Target) }},
		{"fencing the target", func() error { return b.fenceTarget(ctx) }},
		{"copying definitions", func() error { return b.copyDefinitions(ctx) }},
		{"equipping the target", func() error { return b.equip(ctx, Target) }}, // its event trigger
		{"carrying settings", func() error { return errors.Join(b.carrySettings(ctx), b.findKeys(ctx)) }},
		{"guarding the target", func() error { return b.guard(ctx, Target) }},
		{"equipping the source", func() error { return b.equip(ctx, Source) }},
		{"guarding the source", func() error { return b.guard(ctx, Source) }},
		{"publishing", func() error { return errors.Join(b.publish(ctx, Source), b.publish(ctx, Target)) }},
		{"subscribing", func() error { return b.telling(ctx, stage, func() error { return b.follow(ctx) }) }},
		{"copying rows", func() error { return b.awaitCopy(ctx, progress) }},
		{"analyzing", func() error { return errors.Join(b.hasten(ctx, Target), b.analyze(ctx)) }},
	}
	for _, s := range steps {
		stage(s.name)
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	stage("synced")
	return nil
}

// fenceTarget guards the target, unless it holds the truth already.
func (b *Writer) fenceTarget(ctx context.Context) error {
	truth, err := b.truth(ctx)
	if err != nil {
		return err
	}
	if truth == Target {
		return fmt.Errorf("database %q: %w; there is nothing to sync", b.Database, ErrTruthMoved)
	}
	return b.Guard(ctx, Target)
}

// follow makes the slot and both subscriptions: the forward one streams at
// once, the reverse one waits for a switch.
func (b *Writer) follow(ctx context.Context) error {
	follows, err := b.subscribed(ctx, Target)
	if err != nil {
		return err
	}
	status, err := b.slotStatus(ctx, Source)
	if err != nil {
		return err
	}
	if follows && (status == slotGone || status == slotLost) { // another slot would start behind what is missing
		return b.about(Source, fmt.Errorf("%w: the log that the target still needs is %s; run godwit migrate abort, then sync again", ErrState, status))
	}
	if err := b.ensureSlot(ctx, Source, b.outgoing(Source)); err != nil {
		return err
	}
	if err := b.subscribe(ctx, Target, true); err != nil {
		return err
	}
	if err := b.noteCopiers(ctx); err != nil {
		return err
	}
	return b.subscribe(ctx, Source, false)
}

// awaitCopy waits until all rows are copied and the stream is close behind. It
// bears a server that is away for a moment, and gives up when nothing moves.
func (b *Writer) awaitCopy(ctx context.Context, progress func(Progress)) error {
	failures, err := b.copyErrors(ctx)
	if err != nil {
		return err
	}
	var last Progress
	lost, definitions, much := orphans{}, watched{}, estimate{}
	answered, moved := time.Now(), time.Now()
	return until(ctx, copyLook, func() (bool, error) {
		p, err := b.lookAtCopy(ctx, &failures)
		if err == nil {
			err = definitions.look(ctx, b.Reader)
		}
		if err == nil {
			err = lost.look(ctx, b.Reader)
		}
		if err == nil {
			err = much.look(ctx, b.Reader, &p, time.Now())
		}
		if errors.Is(err, ErrUnreachable) && time.Since(answered) < silence {
			return false, nil
		}
		if errors.Is(err, ErrUnreachable) {
			err = fmt.Errorf("%w; its log says why (a full disk?); start it and run sync again, it goes on where it was", err)
		}
		if err != nil {
			return false, err
		}
		answered = time.Now()
		if p.movedSince(last) {
			moved = time.Now()
		}
		last = p
		if time.Since(moved) > standstill {
			return false, b.whyCopyFails(ctx, fmt.Sprintf("nothing moves since %v", standstill))
		}
		if progress != nil {
			progress(p)
		}
		return b.closeBehind(ctx, p)
	})
}

// movedSince: rows came, or the lag shrank; a lag that grows is only the source's.
func (p Progress) movedSince(last Progress) bool {
	return p.Copied != last.Copied || p.LagBytes < last.LagBytes || !slices.Equal(p.Current, last.Current)
}

// closeBehind says whether all rows are copied and a new one arrives soon.
func (b *Writer) closeBehind(ctx context.Context, p Progress) (bool, error) {
	if p.Tables == 0 || p.Copied < p.Tables {
		return false, nil
	}
	short, cancel := context.WithTimeout(ctx, syncedLag)
	defer cancel()
	_, err := b.roundTrip(short, Source)
	if short.Err() != nil || errors.Is(err, ErrUnreachable) {
		return false, ctx.Err() // still behind: look again, also for the reason
	}
	return err == nil, err
}

// lookAtCopy is where the copy stands; an error when it can't go on. failures
// is how often workers had failed before; a server that crashed counts anew.
func (b *Writer) lookAtCopy(ctx context.Context, failures *int) (Progress, error) {
	p, err := b.progress(ctx)
	if err != nil {
		return p, err
	}
	now, err := b.copyErrors(ctx)
	*failures = min(*failures, now)
	if err == nil && now-*failures >= copyFailures {
		return p, b.whyCopyFails(ctx, fmt.Sprintf("its workers failed %d times", now-*failures))
	}
	return p, err
}

// progress reads the state of all tables of the forward subscription.
func (b *Reader) progress(ctx context.Context) (Progress, error) {
	p := Progress{Database: b.Database, Stage: "copying rows"}
	conn, err := b.watcher(ctx, Target)
	if err != nil {
		return p, err
	}
	err = conn.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE r.srsubstate = 'r') FROM pg_subscription s
		JOIN pg_subscription_rel r ON r.srsubid = s.oid WHERE s.subname = $1`, b.subscription()).Scan(&p.Tables, &p.Copied)
	if err != nil {
		return p, b.about(Target, err)
	}
	rows, err := conn.Query(ctx, `SELECT relid::regclass::text, tuples_processed, bytes_processed FROM pg_stat_progress_copy
		WHERE datname = current_database() AND command = 'COPY FROM' ORDER BY 1`)
	if err != nil {
		return p, b.about(Target, err)
	}
	if p.Current, err = pgx.CollectRows(rows, pgx.RowToStructByPos[TableCopy]); err != nil {
		return p, b.about(Target, err)
	}
	p.LagBytes, err = b.lag(ctx, Source)
	return p, err
}

// lag is how many bytes of the log of from the other side has not confirmed.
func (b *Reader) lag(ctx context.Context, from string) (int64, error) {
	conn, err := b.watcher(ctx, from)
	if err != nil {
		return 0, err
	}
	var bytes int64
	err = conn.QueryRow(ctx, `SELECT coalesce(max(pg_current_wal_lsn() - confirmed_flush_lsn), 0)::bigint FROM pg_replication_slots
		WHERE slot_name = $1`, b.outgoing(from)).Scan(&bytes)
	return bytes, b.about(from, err)
}

// copyErrors is how often workers of the forward subscription have failed; 0
// on servers that don't count (before 15).
func (b *Reader) copyErrors(ctx context.Context) (int, error) {
	counted, err := b.read(ctx, Target, "SELECT to_regclass('pg_catalog.pg_stat_subscription_stats')")
	if err != nil || counted[0] == "" {
		return 0, err
	}
	values, err := b.read(ctx, Target, "SELECT coalesce(sum(sync_error_count + apply_error_count), 0) FROM pg_stat_subscription_stats WHERE subname = "+literal(b.subscription()))
	if err != nil {
		return 0, err
	}
	var n int
	_, err = fmt.Sscan(values[0], &n)
	return n, err
}

// whyCopyFails asks the target by doing what its workers do, which only its
// log knows otherwise: write 128 MB, uncompressed. Nothing of it goes into the
// write-ahead log, for a server that has no room for that ends.
func (b *Writer) whyCopyFails(ctx context.Context, what string) error {
	_, err := b.write(ctx, Target, "BEGIN", "CREATE UNLOGGED TABLE godwit.room (filler text)", "ALTER TABLE godwit.room ALTER filler SET STORAGE EXTERNAL",
		"INSERT INTO godwit.room SELECT repeat('x', 1048576) FROM generate_series(1, 128)", "ROLLBACK")
	switch {
	case errors.Is(err, ErrDiskFull):
		return fmt.Errorf("%w (%s): %w", ErrCopy, what, err)
	case err != nil: // it has ended: a server does when it has no room for its log
		return fmt.Errorf("%w (%s), and trying what its workers do fails too: %w; its log says why (a full disk?)", ErrCopy, what, err)
	}
	waiting := b.uncopied(ctx)
	return b.about(Target, fmt.Errorf("%w (%s) at %s; the logs of both servers say why (a full disk?); mend that and run sync again, or abort and start anew", ErrCopy, what, waiting))
}

// uncopied names the tables whose rows are not there yet.
func (b *Reader) uncopied(ctx context.Context) string {
	conn, err := b.watcher(ctx, Target)
	if err != nil {
		return "unknown tables"
	}
	tables, err := column(ctx, conn, `SELECT r.srrelid::regclass::text FROM pg_subscription s JOIN pg_subscription_rel r ON r.srsubid = s.oid
		WHERE s.subname = $1 AND r.srsubstate <> 'r' ORDER BY 1 LIMIT 5`, b.subscription())
	if err != nil {
		return "unknown tables"
	}
	if len(tables) == 0 {
		return "the stream of changes"
	}
	return strings.Join(tables, ", ")
}

// analyze makes the statistics that the first queries after the cutover need,
// fills materialized views, and notes the definitions of the target.
func (b *Writer) analyze(ctx context.Context) error {
	conn, err := b.writer(ctx, Target)
	if err != nil {
		return err
	}
	filled, err := column(ctx, conn, `SELECT format('REFRESH MATERIALIZED VIEW %I.%I', n.nspname, c.relname) FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' AND NOT c.relispopulated AND `+mine+` ORDER BY c.oid`)
	if err != nil {
		return b.about(Target, err)
	}
	for _, refresh := range filled { // the server does it as the owner, whom row security may bind: here as there
		if _, err := b.write(ctx, Target, "BEGIN", "SET LOCAL row_security = on", views, refresh, "COMMIT"); err != nil {
			return err
		}
	}
	if _, err := b.write(ctx, Target, "ANALYZE"); err != nil {
		return err
	}
	all, err := b.fingerprint(ctx, Target)
	if err != nil {
		return err
	}
	return b.rememberFingerprint(ctx, Target, all)
}
