package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// ReaderName is what sessions that only look are called on a server.
const ReaderName = "godwit-reader"

// restful: after so long without use a session is tried before it is given out.
const restful = time.Second

// pair keeps a Pair inside a Reader or Writer: nobody makes the one of the other.
type pair = Pair

// Reader looks at both sides of a pair. Its sessions are read-only, take no lock
// and end nobody; opening one changes nothing on either side, so that anybody may
// look as often as they want, whatever runs. Several may be open at once; one is
// used by one goroutine at a time on each side.
type Reader struct {
	pair

	mu       sync.Mutex
	watchers map[string]*pgx.Conn // by side
	used     map[string]time.Time // when each was last given out
	// first is what a Writer makes sure of before it looks: that it holds the lock,
	// so that nobody changes what it is about to judge. nil for those who only look.
	first func(ctx context.Context, side string) error
}

// NewReader makes a Reader; no session is opened yet. Close it.
func NewReader(p Pair) *Reader {
	p.Source.Name, p.Target.Name = Source, Target
	return &Reader{pair: p, watchers: map[string]*pgx.Conn{}, used: map[string]time.Time{}}
}

// Close ends the sessions.
func (b *Reader) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	closeAll(b.watchers)
}

// forget ends the session of side; the next use opens another.
func (b *Reader) forget(side string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if conn := b.watchers[side]; conn != nil {
		closeAll(map[string]*pgx.Conn{side: conn})
		delete(b.watchers, side)
	}
}

// closeAll ends sessions, without waiting long for servers that don't answer.
func closeAll(sessions map[string]*pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for side, conn := range sessions {
		conn.Close(ctx)
		delete(sessions, side)
	}
}

// watcher returns the session that looks at side, opened when first needed and
// again when it broke.
func (b *Reader) watcher(ctx context.Context, side string) (*pgx.Conn, error) {
	if b.first != nil {
		if err := b.first(ctx, side); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	idle := time.Since(b.used[side])
	b.used[side] = time.Now()
	if conn := b.watchers[side]; conn != nil && !conn.IsClosed() {
		if idle < restful || conn.Ping(ctx) == nil {
			return conn, nil
		}
		conn.Close(ctx) // it broke while nobody used it
	}
	conn, err := b.connect(ctx, side, ReaderName, false)
	if err == nil {
		b.watchers[side] = conn
	}
	return conn, err
}

// read runs a batch in the session that looks at side.
func (b *Reader) read(ctx context.Context, side string, statements ...string) ([]string, error) {
	conn, err := b.watcher(ctx, side)
	if err != nil {
		return nil, err
	}
	values, err := batch(ctx, conn, statements...)
	return values, b.about(side, err)
}
