package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
)

// Writer changes both sides of a pair. Its session on each holds an advisory lock
// from when it is opened until Close: no other session of any engine changes
// anything there meanwhile. A Writer may be used by one operation at a time;
// operations use its sessions on both sides at once by themselves.
//
// A Writer has a generation: a number that grows with every start of the engine.
// It ends the session of a lower one, which a killed engine left, so that nothing
// of that is executed later. A living one of the same engine, or of another state,
// it leaves alone, with ErrHeld; where a higher one has been it stops for good,
// with ErrSuperseded.
type Writer struct {
	*Reader

	generation uint64
	mu         sync.Mutex
	writers    map[string]*pgx.Conn // by side; each holds the lock
	mine       map[string]session   // by side: the last one that did
	over       error                // why this Writer writes nothing any more
	clocks     map[string]clock     // by side, read by Prepare
	carry      []string             // queries that read all sequences, made by Prepare
	prepared   string               // stamp of the definitions when Prepare looked at them
}

// NewWriter makes a Writer of an engine's generation; no session is opened yet.
// Close it.
func NewWriter(p Pair, generation uint64) *Writer {
	b := &Writer{Reader: NewReader(p), generation: generation, writers: map[string]*pgx.Conn{}, mine: map[string]session{}, clocks: map[string]clock{}}
	b.first = func(ctx context.Context, side string) error {
		_, err := b.writer(ctx, side)
		return err
	}
	return b
}

// Close ends the sessions.
func (b *Writer) Close() {
	b.mu.Lock()
	closeAll(b.writers)
	b.mu.Unlock()
	b.Reader.Close()
}

// writer returns the session that may change something on side.
func (b *Writer) writer(ctx context.Context, side string) (*pgx.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over != nil {
		return nil, b.over
	}
	if conn := b.writers[side]; conn != nil && !conn.IsClosed() {
		return conn, nil
	}
	conn, err := b.connect(ctx, side, b.sessionName(), true)
	if err != nil {
		return nil, err
	}
	b.forget(side) // it may have broken in the same way
	if err := b.acquire(ctx, side, conn); err != nil {
		conn.Close(ctx)
		return nil, b.about(side, err)
	}
	b.writers[side] = conn
	return conn, nil
}

// own are the process ids of the sessions on side.
func (b *Writer) own(side string) []int32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Reader.mu.Lock()
	defer b.Reader.mu.Unlock()
	pids := []int32{}
	for _, sessions := range []map[string]*pgx.Conn{b.writers, b.watchers} {
		if conn := sessions[side]; conn != nil && !conn.IsClosed() {
			pids = append(pids, int32(conn.PgConn().PID()))
		}
	}
	return pids
}

// write runs a batch in the writer's session of side.
func (b *Writer) write(ctx context.Context, side string, statements ...string) ([]string, error) {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return nil, err
	}
	values, err := batch(ctx, conn, statements...)
	return values, b.about(side, err)
}
