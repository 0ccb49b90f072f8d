// Package database is a pool of Postgres sessions that outlives what an
// administrator does to them: Do runs one idempotent statement or transaction,
// and runs it again, on a fresh session, when the session was ended, the server
// is away, refuses sessions or is read-only for the moment.
//
// It needs no database to start. While the database is away one caller knocks
// for all, at a calm pace, so that a server that comes back meets no storm.
package database

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/singleflight"
)

const (
	// Patience is how long Do goes on trying: longer than a cutover, shorter
	// than a till waits for its answer.
	Patience = 8 * time.Second

	attemptTimeout = 4 * time.Second // a session that hangs is given up
	connectTimeout = 2 * time.Second
	minPause       = 10 * time.Millisecond
	maxPause       = 250 * time.Millisecond
)

// ErrAway: the database could not be used for all of Patience. Nothing is known
// to have been done; the same key may be sent again.
var ErrAway = errors.New("database is away")

// Database is a pool of sessions.
type Database struct {
	pool       *pgxpool.Pool
	generation atomic.Int64 // sessions of an older generation are not used again
	knocking   singleflight.Group
	misses     atomic.Int64 // knocks in a row without an answer
	closed     context.Context
	close      context.CancelFunc
}

// key of a session's generation in its custom data.
const generationKey = "bistro.generation"

// Open makes a pool of at most sessions; it does not connect. The error never
// contains the URL, which holds a password.
func Open(url string, sessions int32) (*Database, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("DATABASE_URL is not a Postgres URL (postgres://user:password@host:port/name)")
	}
	d := &Database{}
	d.closed, d.close = context.WithCancel(context.Background())
	config.MaxConns = sessions
	config.MinConns = 0
	config.MaxConnIdleTime = 5 * time.Minute
	config.ConnConfig.ConnectTimeout = connectTimeout
	config.ConnConfig.RuntimeParams["application_name"] = "bistro"
	config.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		c.PgConn().CustomData()[generationKey] = d.generation.Load()
		return nil
	}
	config.PrepareConn = func(_ context.Context, c *pgx.Conn) (bool, error) {
		return generation(c) == d.generation.Load(), nil
	}
	d.pool, err = pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("database pool: %w", err)
	}
	return d, nil
}

func generation(c *pgx.Conn) int64 {
	g, _ := c.PgConn().CustomData()[generationKey].(int64)
	return g
}

// Close ends all sessions, once they are given back, and whoever waits in Do.
func (d *Database) Close() {
	d.close()
	d.pool.Close()
}

// Do runs work on a session. Work must be idempotent as a whole, because it runs
// again when it is not known whether it was done. ErrAway after Patience; any
// other error is work's own.
func (d *Database) Do(ctx context.Context, work func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	if d.misses.Load() > 0 && !d.awaitBack(ctx) { // others knock in vain: join them
		return ErrAway
	}
	err := d.attempt(ctx, work)
	for tries := 1; err != nil && passing(err); tries++ {
		// At first only this session may have ended: try a fresh one at once.
		if (tries > 1 || d.misses.Load() > 0) && !d.awaitBack(ctx) {
			return fmt.Errorf("%w: %w", ErrAway, err)
		}
		err = d.attempt(ctx, work)
	}
	return err
}

func (d *Database) attempt(caller context.Context, work func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(caller, attemptTimeout)
	defer cancel()
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return &unusable{err}
	}
	defer conn.Release()
	err = work(ctx, conn.Conn())
	if err == nil || caller.Err() != nil { // a caller who left says nothing about the database
		return err
	}
	if conn.Conn().IsClosed() {
		err = &unusable{err}
	}
	if passing(err) && !contended(err) {
		d.outdate(conn.Conn())
	}
	return err
}

// outdate discards every session as old as c: what ended one has ended, or
// made read-only, the others too. Younger ones stay.
func (d *Database) outdate(c *pgx.Conn) {
	g := generation(c)
	d.generation.CompareAndSwap(g, g+1)
}

// awaitBack waits until the database can be written to; false when ctx ended first.
func (d *Database) awaitBack(ctx context.Context) bool {
	for ctx.Err() == nil && d.closed.Err() == nil {
		answer := d.knocking.DoChan("knock", func() (any, error) { return d.knock(), nil })
		select {
		case back := <-answer:
			if back.Val.(bool) {
				return true
			}
		case <-ctx.Done():
		}
	}
	return false
}

// knock tries once for all who wait, and after a miss holds them back for a
// pause that grows with the misses. It is nobody's own, so no caller's context
// ends it, only Close does.
func (d *Database) knock() bool {
	ctx, cancel := context.WithTimeout(d.closed, connectTimeout)
	defer cancel()
	if d.writable(ctx) {
		d.misses.Store(0)
		return true
	}
	select {
	case <-time.After(pause(d.misses.Add(1))):
	case <-d.closed.Done():
	}
	return false
}

func pause(misses int64) time.Duration {
	return min(minPause<<min(misses-1, 8), maxPause)
}

func (d *Database) writable(ctx context.Context) bool {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return false
	}
	defer conn.Release()
	var readOnly bool
	err = conn.QueryRow(ctx, "SELECT current_setting('transaction_read_only')::bool").Scan(&readOnly)
	if err != nil || readOnly {
		d.outdate(conn.Conn()) // a session keeps the read-only default it was born with
		return false
	}
	return true
}

// unusable: the session ended or could not be had, whatever the cause.
type unusable struct{ cause error }

func (u *unusable) Error() string { return u.cause.Error() }
func (u *unusable) Unwrap() error { return u.cause }

// passing says whether the same work may succeed on another session.
func passing(err error) bool {
	if contended(err) {
		return true
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return passingState(pg.Code)
	}
	_, lost := errors.AsType[*unusable](err)
	return lost
}

func passingState(code string) bool {
	switch code {
	case "25006", // read-only transaction: fenced for the moment
		"53300", // too many connections, for the server or for the role
		"55000", // database is not accepting connections
		"28000", // role may not log in: fenced for the moment
		"57P01", // ended by the administrator
		"57P02", // the server crashed
		"57P03", // starting up or shutting down
		"57P05": // idle for too long
		return true
	}
	return code[:min(2, len(code))] == "08" // connection exceptions
}

// contended: the server chose this transaction to give way; its session is well.
func contended(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "40001" || pg.Code == "40P01")
}
