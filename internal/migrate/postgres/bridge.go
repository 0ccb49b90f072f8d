package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// poll is how often a condition is looked at inside the write pause.
const poll = 500 * time.Microsecond

// patience is how long a server may take to accept a session.
const patience = 5 * time.Second

// lockSpace is the first half of the advisory lock that the engine's writing
// session holds on each side; the second half is derived from the pair.
const lockSpace = 0x676f6477

// Bridge is a pair with the engine's sessions on both sides, opened when first
// needed and again when they broke. A Bridge may be used by one operation at a
// time; operations use several sessions at once by themselves.
type Bridge struct {
	Pair

	mu       sync.Mutex
	writers  map[string]*pgx.Conn // by side; holds the advisory lock
	watchers map[string]*pgx.Conn // by side; reads only
	carry    string               // query that reads all sequences, made by Prepare
	prepared string               // stamp of the definitions when Prepare looked at them
}

// NewBridge makes a Bridge; no session is opened yet. Close it.
func NewBridge(p Pair) *Bridge {
	p.Source.Name, p.Target.Name = Source, Target
	return &Bridge{Pair: p, writers: map[string]*pgx.Conn{}, watchers: map[string]*pgx.Conn{}}
}

// Close ends the sessions.
func (b *Bridge) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, sessions := range []map[string]*pgx.Conn{b.writers, b.watchers} {
		for side, conn := range sessions {
			conn.Close(ctx)
			delete(sessions, side)
		}
	}
}

// drop ends the writer's session of side; the next use opens another.
func (b *Bridge) drop(ctx context.Context, side string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if conn := b.writers[side]; conn != nil {
		conn.Close(ctx)
		delete(b.writers, side)
	}
}

// lockKey is the second half of the advisory lock.
func (b *Bridge) lockKey() int32 {
	h := fnv.New32a()
	h.Write([]byte(b.name()))
	return int32(h.Sum32() >> 1)
}

// writer returns the session that may change something on side. No other
// session of any engine writes for this pair while it lives: those of a killed
// engine are ended first, so that nothing of it is executed later.
func (b *Bridge) writer(ctx context.Context, side string) (*pgx.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if conn := b.writers[side]; conn != nil && !conn.IsClosed() {
		return conn, nil
	}
	conn, err := b.connect(ctx, side)
	if err != nil {
		return nil, err
	}
	if err := b.takeOver(ctx, conn); err != nil {
		conn.Close(ctx)
		return nil, b.about(side, fmt.Errorf("taking over from an earlier engine: %w", err))
	}
	b.writers[side] = conn
	return conn, nil
}

// watcher returns a session for reading, beside the writer.
func (b *Bridge) watcher(ctx context.Context, side string) (*pgx.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if conn := b.watchers[side]; conn != nil && !conn.IsClosed() {
		return conn, nil
	}
	conn, err := b.connect(ctx, side)
	if err == nil {
		b.watchers[side] = conn
	}
	return conn, err
}

// own are the process ids of the engine's sessions on side.
func (b *Bridge) own(side string) []int32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	pids := []int32{}
	for _, sessions := range []map[string]*pgx.Conn{b.writers, b.watchers} {
		if conn := sessions[side]; conn != nil && !conn.IsClosed() {
			pids = append(pids, int32(conn.PgConn().PID()))
		}
	}
	return pids
}

// connect opens a session whose settings don't depend on those of the
// database: a raised fence must not bind the engine, and both sides must print
// values alike.
func (b *Bridge) connect(ctx context.Context, side string) (*pgx.Conn, error) {
	config := b.side(side).Config.Copy()
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = patience
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // one round trip per query
	for name, value := range map[string]string{
		"application_name": "godwit", "default_transaction_read_only": "off", "default_transaction_isolation": "read committed",
		"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0", "synchronous_commit": "on",
		"client_encoding": "UTF8", "standard_conforming_strings": "on", "search_path": "pg_catalog", "timezone": "UTC",
		"datestyle": "ISO, YMD", "intervalstyle": "postgres", "extra_float_digits": "1", "bytea_output": "hex", "row_security": "off",
	} {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, b.about(side, err)
	}
	return conn, nil
}

// takeOver gets the advisory lock; whoever holds it is ended.
func (b *Bridge) takeOver(ctx context.Context, conn *pgx.Conn) error {
	for {
		var got bool
		if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", int32(lockSpace), b.lockKey()).Scan(&got); err != nil || got {
			return err
		}
		_, err := conn.Exec(ctx, `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
			WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
			  AND l.classid = $1 AND l.objid = $2 AND l.objsubid = 2`, int64(lockSpace), int64(b.lockKey()))
		if err != nil {
			return err
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

// batch sends several statements in one round trip and returns the first
// column of the first row of each, "" where there is none. After an error the
// session has no open transaction.
func batch(ctx context.Context, conn *pgx.Conn, statements ...string) ([]string, error) {
	var sql string
	for _, s := range statements {
		sql += s + ";\n"
	}
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		if !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
			_, rollback := conn.Exec(ctx, "ROLLBACK")
			err = errors.Join(err, rollback)
		}
		return nil, err
	}
	values := make([]string, len(results))
	for i, r := range results {
		if len(r.Rows) > 0 && len(r.Rows[0]) > 0 {
			values[i] = string(r.Rows[0][0])
		}
	}
	return values, nil
}

// write runs a batch in the writer's session of side.
func (b *Bridge) write(ctx context.Context, side string, statements ...string) ([]string, error) {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return nil, err
	}
	values, err := batch(ctx, conn, statements...)
	return values, b.about(side, err)
}

// explain turns what a server or the driver said into an error of this package.
func explain(side string, err error) error {
	var pgErr *pgconn.PgError
	switch {
	case errors.As(err, &pgErr) && pgErr.Code == "53100":
		return fmt.Errorf("%w: %w; make room on the disk of the %s, then run the command again", ErrDiskFull, err, side)
	case errors.As(err, &pgErr) && strings.HasPrefix(pgErr.Code, "57P"): // shutdowns
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	case pgErr == nil && broken(err):
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// broken says whether an error means that a connection was lost, or could not be made.
func broken(err error) bool {
	var network *net.OpError
	var connect *pgconn.ConnectError
	if err == nil || errors.Is(err, ErrUnreachable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	return errors.As(err, &network) || errors.As(err, &connect) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || strings.HasSuffix(err.Error(), "conn closed")
}

// until looks at a condition until it holds.
func until(ctx context.Context, every time.Duration, holds func() (bool, error)) error {
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		if err := pause(ctx, every); err != nil {
			return err
		}
	}
}

// pause waits, or returns the reason why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
