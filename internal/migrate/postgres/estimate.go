package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// estimate says how much of the rows is copied, and how long the rest takes.
type estimate struct {
	sizes map[string]int64 // of the tables on the source, by name, when the copy was first looked at
	total int64
	done  int64 // when last asked
	asked time.Time

	first time.Time // when done was begun
	begun int64
}

const (
	estimateEvery = 2 * time.Second // a list of thousands of tables is not asked for at every look
	estimateAfter = 5 * time.Second // before that a rate says nothing
)

// look asks what is not copied yet, now and then, and notes in p how much is done.
func (e *estimate) look(ctx context.Context, b *Reader, p *Progress, now time.Time) error {
	if e.sizes == nil {
		if err := e.measure(ctx, b); err != nil {
			return err
		}
	}
	if now.Sub(e.asked) >= estimateEvery {
		conn, err := b.watcher(ctx, Target)
		if err != nil {
			return err
		}
		open, err := column(ctx, conn, `SELECT r.srrelid::regclass::text FROM pg_subscription s JOIN pg_subscription_rel r ON r.srsubid = s.oid
			WHERE s.subname = $1 AND r.srsubstate NOT IN ('f', 's', 'r')`, b.subscription())
		if err != nil {
			return b.about(Target, err)
		}
		e.note(open, p.Current, now)
	}
	p.Bytes, p.OfBytes, p.Left = e.done, e.total, e.left(now)
	return nil
}

// measure reads the sizes of all tables that move, as VACUUM and ANALYZE saw them last:
// asking the files would wait for a session that has locked a table.
func (e *estimate) measure(ctx context.Context, b *Reader) error {
	conn, err := b.watcher(ctx, Source)
	if err != nil {
		return err
	}
	rows, err := conn.Query(ctx, `SELECT c.oid::regclass::text, (c.relpages + coalesce(o.relpages, 0))::bigint * current_setting('block_size')::bigint FROM pg_publication_tables p
		JOIN pg_namespace n ON n.nspname = p.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename LEFT JOIN pg_class o ON o.oid = c.reltoastrelid
		WHERE p.pubname = $1`, b.publication())
	if err != nil {
		return b.about(Source, err)
	}
	sizes, total := map[string]int64{}, int64(0)
	var name string
	var size int64
	_, err = pgx.ForEachRow(rows, []any{&name, &size}, func() error {
		sizes[name], total = size, total+size
		return nil
	})
	if err != nil {
		return b.about(Source, err)
	}
	e.sizes, e.total = sizes, total
	return nil
}

// note takes in which tables are not copied yet, and how far those are that are being
// copied: in bytes of text, which only says about how far.
func (e *estimate) note(open []string, current []TableCopy, now time.Time) {
	e.asked, e.done = now, e.total
	for _, table := range open {
		e.done -= e.sizes[table]
	}
	for _, c := range current {
		e.done += min(c.Bytes, e.sizes[c.Table])
	}
	e.done = min(e.done, e.total)
	if e.first.IsZero() {
		e.first, e.begun = now, e.done
	}
}

// left is how long the rest takes at the rate of what was done until now; 0: not known.
func (e *estimate) left(now time.Time) time.Duration {
	took, done := now.Sub(e.first), e.done-e.begun
	if took < estimateAfter || done <= 0 || e.done >= e.total {
		return 0
	}
	return time.Duration(float64(took) * float64(e.total-e.done) / float64(done))
}
