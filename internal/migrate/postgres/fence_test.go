package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// synced is a source and a target that follows it.
func synced(t *testing.T, rows int) (source, target *migratetest.Server, b *postgres.Writer) {
	t.Helper()
	source, target = migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, rows)
	b = migratetest.Writer(t, migratetest.Pair(t, source, target))
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return source, target, b
}

// prepared is a Writer that may fence side.
func prepared(t *testing.T, b *postgres.Writer, side string) {
	t.Helper()
	if err := b.Prepare(t.Context(), side); err != nil {
		t.Fatal(err)
	}
}

// fence raises the fence of a side that was prepared, for as long as a test may take.
func fence(t *testing.T, b *postgres.Writer, side string) (postgres.Position, time.Time, error) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	p, err := b.Fence(t.Context(), side, end)
	return p, end, err
}

// decided raises the fence of side for good.
func decided(t *testing.T, b *postgres.Writer, side string) (postgres.Position, []postgres.Sequence) {
	t.Helper()
	prepared(t, b, side)
	p, end, err := fence(t, b, side)
	if err != nil {
		t.Fatal(err)
	}
	sequences, err := b.Decide(t.Context(), side, end)
	if err != nil {
		t.Fatal(err)
	}
	return p, sequences
}

// writer hammers one side in one way and keeps what was acknowledged.
type writer struct {
	name, url string
	begin     string // what opens each transaction
	hold      time.Duration
	acked     []string
}

// hammer writes until ctx ends, connecting again whenever it is thrown out.
func (w *writer) hammer(ctx context.Context, acks *atomic.Int64) {
	for n := 0; ctx.Err() == nil; {
		conn, err := pgx.Connect(ctx, w.url)
		if err != nil {
			continue
		}
		for ctx.Err() == nil && !conn.IsClosed() {
			n++
			key := fmt.Sprint(w.name, "-", n)
			if err := w.once(ctx, conn, key); err == nil {
				w.acked = append(w.acked, key)
				acks.Add(1)
			}
		}
		conn.Close(context.Background())
	}
}

func (w *writer) once(ctx context.Context, conn *pgx.Conn, key string) error {
	statements := fmt.Sprintf(`%s; INSERT INTO "order" (key) VALUES ('%s'); SELECT pg_sleep(%f); COMMIT`, w.begin, key, w.hold.Seconds())
	_, err := conn.PgConn().Exec(ctx, statements).ReadAll()
	if err != nil && !conn.IsClosed() {
		conn.Exec(ctx, "ROLLBACK")
	}
	return err
}

func TestFenceHoldsAgainstEveryRole(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 10)
	migratetest.Exec(t, source.Admin, "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'boss'", "GRANT pg_write_all_data TO shop")
	b := migratetest.Writer(t, migratetest.Pair(t, source, target))
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	boss := strings.Replace(source.App, "shop:shop@", "boss:boss@", 1)
	writers := []*writer{
		{name: "owner", url: source.App, begin: "BEGIN"},
		{name: "owner-override", url: source.App, begin: "SET default_transaction_read_only = off; BEGIN READ WRITE"},
		{name: "owner-slow", url: source.App, begin: "BEGIN", hold: 30 * time.Millisecond},
		{name: "super", url: boss, begin: "SET default_transaction_read_only = off; BEGIN READ WRITE"},
		{name: "super-snapshot", url: boss, begin: "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE"},
		{name: "super-replica", url: boss, begin: "SET session_replication_role = replica; BEGIN READ WRITE"},
		{name: "super-slow", url: boss, begin: "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE", hold: 30 * time.Millisecond},
		{name: "engine-role", url: source.Admin, begin: "BEGIN READ WRITE"},
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var acks atomic.Int64
	var done sync.WaitGroup
	for _, w := range writers {
		done.Go(func() { w.hammer(ctx, &acks) })
	}
	for round := range 5 {
		from := acks.Load()
		migratetest.Eventually(t, "writes are acknowledged", func() bool { return acks.Load() > from+50 })
		p, _ := decided(t, b, postgres.Source)
		if err := b.CaughtUp(t.Context(), postgres.Source, p); err != nil {
			t.Fatal(err)
		}
		at := acks.Load()
		if err := b.Evict(t.Context(), postgres.Source); err != nil {
			t.Fatal(err)
		}
		if v, err := b.Prove(t.Context(), postgres.Source, p); err != nil || v != nil {
			t.Fatalf("round %d: %+v, %v", round, v, err)
		}
		// Both sides hold the same rows, and every acknowledgement is among them.
		count := `SELECT count(*) || ' ' || max(id) FROM "order"`
		if s, g := migratetest.Text(t, source.Admin, count), migratetest.Text(t, target.Admin, count); s != g {
			t.Errorf("round %d: source has %s, target %s", round, s, g)
		}
		if late := acks.Load(); late > at+int64(len(writers)) { // those read late by their own client
			t.Errorf("round %d: %d writes acknowledged behind the fence", round, late-at)
		}
		if err := b.Unfence(t.Context(), postgres.Source); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	done.Wait()
	for _, w := range writers {
		if len(w.acked) == 0 {
			t.Errorf("%s never wrote: it proves nothing", w.name)
		}
		list := "'" + strings.Join(w.acked, "', '") + "'"
		if got := migratetest.Text(t, source.Admin, `SELECT count(*) FROM "order" WHERE key IN (`+list+`)`); got != fmt.Sprint(len(w.acked)) {
			t.Errorf("%s: %d acknowledged, %s found", w.name, len(w.acked), got)
		}
		t.Logf("%-15s %5d acknowledged", w.name, len(w.acked))
	}
}

// The proof is only worth something if it finds what it looks for.
// TestLockOpensNoFence: a role that takes the lock by which godwit knows its own
// sessions may change no definition behind a fence.
func TestLockOpensNoFence(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 10)
	prepared(t, b, postgres.Source)
	if _, _, err := fence(t, b, postgres.Source); err != nil {
		t.Fatal(err)
	}
	err := migratetest.Try(t.Context(), source.App, "SELECT pg_advisory_lock(1735353463, 7); CREATE TABLE sneaked (id int)")
	if err == nil || !strings.Contains(err.Error(), "CREATE TABLE is refused") {
		t.Errorf("a table made behind the fence: %v", err)
	}
	if err := b.Unfence(t.Context(), postgres.Source); err != nil {
		t.Fatal(err)
	}
}

func TestProofFindsViolation(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 10)
	p, _ := decided(t, b, postgres.Source)
	saboteur := `ALTER TABLE register DISABLE TRIGGER godwit_guard; SET default_transaction_read_only = off;`
	if err := migratetest.Try(t.Context(), source.Admin, saboteur); err == nil {
		t.Error("definitions could be changed behind the fence")
	}
	migratetest.Exec(t, source.Admin, `BEGIN READ WRITE; UPDATE pg_trigger SET tgenabled = 'D' WHERE tgname = 'godwit_guard'; COMMIT`)
	migratetest.Exec(t, source.Admin, `BEGIN READ WRITE; UPDATE register SET last = 99 WHERE id = 1; INSERT INTO "order" (key) VALUES ('rogue'); COMMIT`,
		`BEGIN READ WRITE; TRUNCATE visit; COMMIT`)
	v, err := b.Prove(t.Context(), postgres.Source, p)
	if err != nil || v == nil || v.Commits != 2 {
		t.Fatalf("violation %+v, %v", v, err)
	}
	if got := strings.Join(v.Tables, " "); got != "public.order public.register public.visit_1 public.visit_2" {
		t.Errorf("tables %s", got)
	}
}

func TestFenceRestoresWhatWasThere(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 10)
	settings := `SELECT concat(datconnlimit, ' ', (SELECT setconfig FROM pg_db_role_setting s WHERE s.setdatabase = d.oid AND setrole = 0))
		FROM pg_database d WHERE datname = current_database()`
	for _, prior := range [][]string{
		nil,
		{"ALTER DATABASE shop CONNECTION LIMIT 37", "ALTER DATABASE shop SET work_mem = '7MB'"},
		{"ALTER DATABASE shop SET default_transaction_read_only = off"},
		{"ALTER DATABASE shop SET default_transaction_read_only = on"},
	} {
		migratetest.Exec(t, source.Admin, prior...)
		before := migratetest.Text(t, source.Admin, settings)
		decided(t, b, postgres.Source)
		for range 2 { // twice: what was there before is what was there first
			if err := b.Evict(t.Context(), postgres.Source); err != nil {
				t.Fatal(err)
			}
		}
		if got := migratetest.Text(t, source.App, "SELECT current_setting('default_transaction_read_only')"); got != "on" {
			t.Errorf("the owner connects behind the fence, and read-only is %s", got)
		}
		if got := migratetest.Text(t, source.Admin, `SELECT count(*) FROM "order"`); got != "10" {
			t.Errorf("a superuser reads %s behind the fence", got)
		}
		for range 2 {
			if err := b.Unfence(t.Context(), postgres.Source); err != nil {
				t.Fatal(err)
			}
		}
		if after := migratetest.Text(t, source.Admin, settings); after != before {
			t.Errorf("was %q, is %q", before, after)
		}
	}
}

func TestFenceRefusesPreparedTransaction(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 10)
	prepared(t, b, postgres.Source)
	migratetest.Exec(t, source.Admin, `BEGIN; INSERT INTO "order" (key) VALUES ('prepared'); PREPARE TRANSACTION 'two-phase'`)
	if _, _, err := fence(t, b, postgres.Source); !errors.Is(err, postgres.ErrPrepared) || !strings.Contains(err.Error(), "two-phase") {
		t.Errorf("fence with a prepared transaction: %v", err)
	}
	if err := b.Unfence(t.Context(), postgres.Source); err != nil {
		t.Fatal(err)
	}
	if err := b.Prepare(t.Context(), postgres.Source); !errors.Is(err, postgres.ErrPrepared) {
		t.Errorf("prepare with a prepared transaction: %v", err)
	}
	migratetest.Exec(t, source.Admin, `COMMIT PREPARED 'two-phase'`)
	decided(t, b, postgres.Source)
}

// A fence that nobody decided on ends by itself, for every kind of session, also
// one whose snapshot is from before; what comes behind its end does nothing.
func TestFenceEndsByItself(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 10)
	prepared(t, b, postgres.Source)
	end := time.Now().Add(2 * time.Second)
	if _, err := b.Fence(t.Context(), postgres.Source, end); err != nil {
		t.Fatal(err)
	}
	old := connect(t, source.App)
	if _, err := old.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM register"); err != nil {
		t.Fatal(err)
	}
	write := `INSERT INTO "order" (key) VALUES ('x') ON CONFLICT DO NOTHING`
	if err := migratetest.Try(t.Context(), source.App, write); err == nil && time.Now().Before(end) {
		t.Error("written while the fence stood")
	}
	migratetest.Eventually(t, "the fence has ended", func() bool { return migratetest.Try(t.Context(), source.App, write) == nil })
	if _, err := old.Exec(t.Context(), `UPDATE register SET last = last WHERE id = 1`); err != nil {
		t.Errorf("a transaction with an older snapshot: %v", err)
	}
	if _, err := old.Exec(t.Context(), "COMMIT"); err != nil { // no slot could start before
		t.Error(err)
	}
	migratetest.Exec(t, source.App, "CREATE TABLE after (id int PRIMARY KEY)", "DROP TABLE after")
	busy := connect(t, source.App)
	if _, err := busy.Exec(t.Context(), "BEGIN; "+write); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Decide(t.Context(), postgres.Source, end); !errors.Is(err, postgres.ErrLate) {
		t.Errorf("decided behind the end: %v", err)
	}
	if _, err := b.Fence(t.Context(), postgres.Source, end); !errors.Is(err, postgres.ErrLate) {
		t.Errorf("fenced behind the end: %v", err)
	}
	if _, err := busy.Exec(t.Context(), "COMMIT"); err != nil {
		t.Errorf("a fence that came too late ended a session: %v", err)
	}
	if s, err := b.Status(t.Context()); err != nil || s.Truth != postgres.Source {
		t.Errorf("status %+v, %v", s, err)
	}
	decided(t, b, postgres.Source) // and again
}

// What was decided stays, also for a transaction whose snapshot is from when the
// fence was one for a time.
func TestDecidedFenceStays(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 10)
	prepared(t, b, postgres.Source)
	var end time.Time
	var old *pgx.Conn
	for long := 2 * time.Second; ; long *= 2 { // a slow machine needs more
		end = time.Now().Add(long)
		_, err := b.Fence(t.Context(), postgres.Source, end)
		if err == nil {
			old = connect(t, source.App)
			if _, err := old.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM register"); err != nil {
				t.Fatal(err)
			}
			_, err = b.Decide(t.Context(), postgres.Source, end)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, postgres.ErrLate) || long > time.Minute {
			t.Fatal(err)
		}
	}
	migratetest.Eventually(t, "the fence would have ended", func() bool {
		return migratetest.Text(t, source.Admin, "SELECT clock_timestamp() > to_timestamp("+fmt.Sprint(end.Unix()+1)+")") == "true"
	})
	if _, err := b.Decide(t.Context(), postgres.Source, end); err != nil {
		t.Errorf("asked once more: %v", err)
	}
	if _, err := old.Exec(t.Context(), `UPDATE register SET last = 1`); err == nil {
		t.Error("a transaction with an older snapshot writes behind the decision")
	}
	if err := migratetest.Try(t.Context(), source.App, `UPDATE register SET last = 1`); err == nil {
		t.Error("written behind the decision")
	}
}

// A session that a killed engine left behind must not act later.
func TestTakeOverEndsEarlierEngine(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 10)
	if err := b.Unfence(t.Context(), postgres.Source); err != nil { // opens its session
		t.Fatal(err)
	}
	second := migratetest.Writer(t, migratetest.Pair(t, source, source))
	second.Target = b.Target
	if err := second.Unfence(t.Context(), postgres.Source); err != nil {
		t.Fatal(err)
	}
	if err := b.Unfence(t.Context(), postgres.Source); !errors.Is(err, postgres.ErrUnreachable) {
		t.Errorf("the earlier engine's session lives: %v", err)
	}
}

// A superuser may still connect behind a fence, and its session is read-only
// for good: it must not outlive the fence, or a pool would keep it.
func TestSessionsOpenedBehindAFenceEndWithIt(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 1)
	decided(t, b, postgres.Source)
	if err := b.Evict(t.Context(), postgres.Source); err != nil {
		t.Fatal(err)
	}
	behind := connect(t, source.App)
	if err := b.Unfence(t.Context(), postgres.Source); err != nil {
		t.Fatal(err)
	}
	if _, err := behind.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("a session that was opened behind the fence, read-only, goes on")
	}
	if _, err := connect(t, source.Admin).Exec(t.Context(), `DELETE FROM "order" WHERE false`); err != nil {
		t.Errorf("a session from after the fence: %v", err)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}
