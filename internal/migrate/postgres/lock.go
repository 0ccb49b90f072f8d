package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// lockSpace is the first half of the advisory lock that a Writer's session holds
// on each side; the second half is derived from the pair.
const lockSpace = 0x676f6477

// heldPatience is how long a session that holds the lock may take to end: that of
// the operation before has been closed, and its server needs a moment.
const heldPatience = 3 * time.Second

// What keeps a Writer from writing.
var (
	// ErrHeld: somebody else writes for this pair just now.
	ErrHeld = errors.New("somebody else moves this database just now")
	// ErrSuperseded: a later engine of the same state has been here.
	ErrSuperseded = errors.New("a later engine has taken over")
	// ErrOwned: what is there belongs to another state directory, or another migration.
	ErrOwned = errors.New("belongs to another migration")
)

// Keys of godwit.state that say whose the objects of a side are.
const (
	keyPair       = "pair"       // name of the pair
	keyOwner      = "owner"      // State of the pair that made them
	keyGeneration = "generation" // highest generation that has written
)

// ours is a condition on pg_stat_activity: sessions of an engine, by their names.
const ours = `application_name ~ '^godwit( g[0-9]+ .*|-reader|-probe)?$'`

// sessionName is what the writer's session is called: everybody sees of which
// generation and state it is.
func (b *Writer) sessionName() string { return fmt.Sprintf("godwit g%d %s", b.generation, b.State) }

// lockKey is the second half of the advisory lock.
func (p *Pair) lockKey() int32 {
	h := fnv.New32a()
	h.Write([]byte(p.name()))
	return int32(h.Sum32() >> 1)
}

// session is one session of a server, for as long as that runs.
type session struct{ pid, begun string }

// holder is who holds the lock of a pair.
type holder struct {
	session
	name   string // of its session
	from   string // address
	engine bool   // its role is one that an engine could have
}

// acquire gets the advisory lock of side for conn, and notes whose side it is.
// What is another's is found before anything is touched, and once more when
// nobody else can change it.
func (b *Writer) acquire(ctx context.Context, side string, conn *pgx.Conn) error {
	if err := b.mayWrite(ctx, conn); err != nil {
		return err
	}
	late := time.Now().Add(heldPatience)
	err := until(ctx, 2*time.Millisecond, func() (bool, error) {
		var got bool
		if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", int32(lockSpace), b.lockKey()).Scan(&got); err != nil || got {
			return got, err
		}
		held := b.giveWay(ctx, side, conn)
		if errors.Is(held, ErrHeld) && time.Now().Before(late) {
			return false, nil
		}
		return false, held
	})
	if err == nil {
		err = b.mayWrite(ctx, conn)
	}
	if err == nil {
		err = b.sign(ctx, conn)
	}
	if err != nil {
		return err
	}
	values, err := batch(ctx, conn, "SELECT pid FROM pg_stat_activity WHERE pid = pg_backend_pid()", "SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()")
	if err == nil {
		b.mine[side] = session{values[0], values[1]}
	}
	return err
}

// giveWay ends whoever holds the lock of side, if it is one that this Writer may
// end: its own session from before the connection broke, one of an earlier
// engine, or one of a role that no engine has.
func (b *Writer) giveWay(ctx context.Context, side string, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT a.pid::text, a.backend_start::text, coalesce(a.application_name, ''), coalesce(host(a.client_addr), 'its own machine'),
			coalesce(a.usename = current_user OR r.rolsuper, false)
		FROM pg_locks l JOIN pg_database d ON d.oid = l.database JOIN pg_stat_activity a ON a.pid = l.pid LEFT JOIN pg_roles r ON r.oid = a.usesysid
		WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
		  AND l.classid = $1 AND l.objid = $2 AND l.objsubid = 2`, int64(lockSpace), int64(b.lockKey()))
	if err != nil {
		return err
	}
	holders, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h holder, err error) {
		err = row.Scan(&h.pid, &h.begun, &h.name, &h.from, &h.engine)
		return h, err
	})
	if err != nil || len(holders) == 0 { // it has ended meanwhile
		return err
	}
	h := holders[0]
	if err := b.mayEnd(side, h); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1::text::int AND backend_start = $2::text::timestamptz", h.pid, h.begun)
	return err
}

// mayEnd says why the session of h is to be left alone; nil when it may be ended.
func (b *Writer) mayEnd(side string, h holder) error {
	if !h.engine || h.session == b.mine[side] {
		return nil
	}
	held := fmt.Errorf("%w: session %q (pid %s, from %s) holds it since %s", ErrHeld, h.name, h.pid, h.from, h.begun)
	if h.name == "godwit" { // an engine from before generations
		return nil
	}
	var generation uint64
	var state string
	if _, err := fmt.Sscanf(h.name, "godwit g%d %s", &generation, &state); err != nil || state != b.State {
		return fmt.Errorf("%w; run godwit where that was started from, or wait until it has ended", held)
	}
	switch {
	case generation > b.generation:
		return b.superseded(generation)
	case generation == b.generation:
		return held
	}
	return nil
}

// superseded ends this Writer for good.
func (b *Writer) superseded(by uint64) error {
	b.over = fmt.Errorf("database %q: %w: generation %d, and this one is %d; nothing more is written from here", b.Database, ErrSuperseded, by, b.generation)
	return b.over
}

// mayWrite refuses where the objects of godwit are another's, or a later
// generation's.
func (b *Writer) mayWrite(ctx context.Context, conn *pgx.Conn) error {
	o, err := ownerOf(ctx, conn)
	if err != nil {
		return err
	}
	if o.generation > b.generation && o.state == b.State {
		return b.superseded(o.generation)
	}
	return b.foreign(o)
}

// owner is whose the objects of godwit on a side are; zero where there are none.
type owner struct {
	pair, state string
	generation  uint64
}

func ownerOf(ctx context.Context, conn *pgx.Conn) (owner, error) {
	there, err := batch(ctx, conn, apparatusIn("state"))
	if err != nil || there[0] == "" {
		return owner{}, err
	}
	values, err := batch(ctx, conn, stateOf(keyPair), stateOf(keyOwner), stateOf(keyGeneration))
	if err != nil {
		return owner{}, err
	}
	generation, _ := strconv.ParseUint(values[2], 10, 64)
	return owner{values[0], values[1], generation}, nil
}

// foreign is ErrOwned when the objects on a side are of another migration or
// another state directory. Those that say nothing, of an earlier godwit, are not.
func (p *Pair) foreign(o owner) error {
	switch {
	case o.pair != "" && o.pair != p.name():
		return fmt.Errorf("%w: %s; finish or abort that one first", ErrOwned, o.pair)
	case o.state != "" && o.state != p.State:
		return fmt.Errorf("%w: of this name, of state directory %s (this one is %s); finish or abort it with that one, or, if that is gone for good, hand it over: "+
			"DELETE FROM godwit.state WHERE key = 'owner', on both sides", ErrOwned, o.state, p.State)
	}
	return nil
}

// sign notes whose a side is, and which generation writes there, where there is
// something of godwit.
func (b *Writer) sign(ctx context.Context, conn *pgx.Conn) error {
	there, err := batch(ctx, conn, apparatusIn("state"))
	if err != nil || there[0] == "" {
		return err
	}
	_, err = batch(ctx, conn, b.signature()...)
	return err
}

// signature are the statements that note it.
func (b *Writer) signature() []string {
	return []string{noteOnce(keyPair, b.name()), noteOnce(keyOwner, b.State), noteState(keyGeneration, literal(strconv.FormatUint(b.generation, 10)))}
}

func noteOnce(key, value string) string {
	return "INSERT INTO godwit.state VALUES (" + literal(key) + ", " + literal(value) + ") ON CONFLICT DO NOTHING"
}

func stateOf(key string) string { return "SELECT value FROM godwit.state WHERE key = " + literal(key) }

// abortTarget aborts where the objects on the source are another's: they stay, and
// what this pair has made on the target goes.
func (b *Writer) abortTarget(ctx context.Context) error {
	err := b.unsubscribe(ctx, Target)
	if err == nil {
		err = b.wipeTarget(ctx)
	}
	if errors.Is(err, ErrOwned) {
		return nil // there is nothing of this pair
	}
	return err
}
