package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// holder is the name of the session that holds the lock.
const holder = `SELECT string_agg(a.application_name, ' and ') FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
	WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 1735353463`

// TestLivingWriterIsLeftAlone: who comes second is refused, and told who is first.
func TestLivingWriterIsLeftAlone(t *testing.T) {
	t.Parallel()
	source, target, _ := synced(t, 10)
	pair := migratetest.Pair(t, source, target)
	generation := migratetest.Generation()
	one, two := postgres.NewWriter(pair, generation), postgres.NewWriter(pair, generation)
	defer one.Close()
	defer two.Close()
	if err := one.Unfence(t.Context(), postgres.Source); err != nil {
		t.Fatal(err)
	}
	err := two.Unfence(t.Context(), postgres.Source)
	if !errors.Is(err, postgres.ErrHeld) || !strings.Contains(err.Error(), "since ") {
		t.Errorf("beside a living one: %v", err)
	}
	if err := one.Unfence(t.Context(), postgres.Source); err != nil {
		t.Errorf("the first one was ended: %v", err)
	}
	one.Close()
	if err := two.Unfence(t.Context(), postgres.Source); err != nil {
		t.Errorf("when the first has gone: %v", err)
	}
}

// TestGenerations: the next engine ends the session of the one before, which
// stops for good: it never takes over again.
func TestGenerations(t *testing.T) {
	t.Parallel()
	source, target, old := synced(t, 10)
	if err := old.Unfence(t.Context(), postgres.Source); err != nil {
		t.Fatal(err)
	}
	next := migratetest.Writer(t, migratetest.Pair(t, source, target))
	if err := next.Unfence(t.Context(), postgres.Source); err != nil {
		t.Fatal(err)
	}
	if err := old.Unfence(t.Context(), postgres.Source); !errors.Is(err, postgres.ErrUnreachable) {
		t.Errorf("the session of the engine before lives: %v", err)
	}
	for range 2 {
		if err := old.Unfence(t.Context(), postgres.Source); !errors.Is(err, postgres.ErrSuperseded) {
			t.Errorf("the engine before comes back: %v", err)
		}
	}
	if err := next.Unfence(t.Context(), postgres.Source); err != nil {
		t.Errorf("the next engine was ended: %v", err)
	}
	next.Close()
	if err := old.Unfence(t.Context(), postgres.Source); !errors.Is(err, postgres.ErrSuperseded) {
		t.Errorf("nobody holds the lock, and the engine before comes back: %v", err)
	}
}

// TestOwnSessionIsReplaced: a connection that broke is no reason to stop, and its
// session, which the server still believes in, no reason to wait.
func TestOwnSessionIsReplaced(t *testing.T) {
	t.Parallel()
	source, target, _ := synced(t, 10)
	way := migratetest.StartProxy(t, source.Admin)
	pair := migratetest.Pair(t, source, target)
	pair.Source = migratetest.Side(t, way.URL(source.Admin))
	b := migratetest.Writer(t, pair)
	for range 3 {
		if err := b.Unfence(t.Context(), postgres.Source); err != nil {
			t.Fatal(err)
		}
		way.Cut()
		if err := b.Unfence(t.Context(), postgres.Source); !errors.Is(err, postgres.ErrUnreachable) {
			t.Fatalf("the way is cut: %v", err)
		}
		way.Mend()
	}
}

// TestLockOfARole: a role without any right cannot keep the engine out.
func TestLockOfARole(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 10)
	if err := b.Unfence(t.Context(), postgres.Source); err != nil {
		t.Fatal(err)
	}
	key := migratetest.Text(t, source.Admin, "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = 1735353463")
	b.Close()
	stranger := connect(t, source.App)
	if _, err := stranger.Exec(t.Context(), "SET application_name = 'godwit g99999999999 test'"); err != nil {
		t.Fatal(err)
	}
	migratetest.Eventually(t, "the role has the lock", func() bool {
		var got bool
		return stranger.QueryRow(t.Context(), "SELECT pg_try_advisory_lock(1735353463, "+key+")").Scan(&got) == nil && got
	})
	if err := b.Unfence(t.Context(), postgres.Source); err != nil {
		t.Errorf("behind the lock of a role without rights: %v", err)
	}
	if who := migratetest.Text(t, source.Admin, holder); !strings.HasPrefix(who, "godwit g") || strings.Contains(who, "g99999999999") {
		t.Errorf("the lock is held by %q", who)
	}
}

// TestSecondState: what one state directory moves, another neither moves nor
// strips; what nobody's name is on is adopted.
func TestSecondState(t *testing.T) {
	t.Parallel()
	source, target, first := synced(t, 10)
	elsewhere := migratetest.StartServer(t)
	pair := migratetest.Pair(t, source, elsewhere)
	pair.State = "second"
	objects := `SELECT (SELECT count(*) FROM pg_publication) || ' ' || (SELECT count(*) FROM pg_trigger WHERE tgname = 'godwit_guard') || ' ' ||
		(SELECT count(*) FROM pg_replication_slots) || ' ' || (SELECT count(*) FROM godwit.state)`
	before := migratetest.Text(t, source.Admin, objects)
	findings, err := check(t, pair)
	if err != nil || !found(findings, "error source: belongs to another migration: of this name, of state directory test") {
		t.Errorf("check: %+v, %v", findings, err)
	}
	second := migratetest.Writer(t, pair)
	if err := second.Sync(t.Context(), nil); !errors.Is(err, postgres.ErrOwned) {
		t.Errorf("sync: %v", err)
	}
	if err := second.Finish(t.Context()); !errors.Is(err, postgres.ErrOwned) {
		t.Errorf("finish: %v", err)
	}
	if err := second.Abort(t.Context()); err != nil {
		t.Errorf("abort of what it made itself: %v", err)
	}
	another := migratetest.Pair(t, source, elsewhere)
	another.Migration = "another"
	if err := migratetest.Writer(t, another).Abort(t.Context()); err != nil {
		t.Errorf("abort of another migration: %v", err)
	}
	if after := migratetest.Text(t, source.Admin, objects); after != before {
		t.Errorf("the first one's objects: %s, then %s", before, after)
	}
	if n := migratetest.Text(t, elsewhere.Admin, left); n != "0" {
		t.Errorf("%s things are left on the second's target", n)
	}
	if s, err := migratetest.Reader(t, migratetest.Pair(t, source, target)).Status(t.Context()); err != nil || s.Phase != postgres.Synced {
		t.Errorf("the first one: %+v, %v", s, err)
	}
	if err := first.Unfence(t.Context(), postgres.Source); err != nil {
		t.Errorf("the first one writes no more: %v", err)
	}
	for _, side := range []string{source.Admin, target.Admin} { // as the finding says, or as an earlier godwit left it
		migratetest.Exec(t, side, "DELETE FROM godwit.state WHERE key IN ('owner', 'generation')")
	}
	first.Close()
	pair = migratetest.Pair(t, source, target)
	pair.State = "second"
	if err := migratetest.Writer(t, pair).Abort(t.Context()); err != nil {
		t.Errorf("what was handed over: %v", err)
	}
	if n := migratetest.Text(t, source.Admin, left); n != "0" {
		t.Errorf("%s things are left on the source", n)
	}
}

// TestReaderTouchesNothing: look after look at everything there is to look at,
// on servers that refuse every write of theirs, beside a writer that goes on.
func TestReaderTouchesNothing(t *testing.T) {
	t.Parallel()
	source, target, b := synced(t, 10)
	sessions := "SELECT string_agg(pid::text || application_name || backend_start, ' ' ORDER BY pid) FROM pg_stat_activity WHERE application_name LIKE 'godwit g%'"
	if err := b.Unfence(t.Context(), postgres.Source); err != nil {
		t.Fatal(err)
	}
	before := migratetest.Text(t, source.Admin, sessions)
	written := migratetest.Text(t, source.Admin, "SELECT sum(hashtextextended(key || value, 0)) FROM godwit.state")
	for range 30 {
		r := postgres.NewReader(migratetest.Pair(t, source, target))
		if s, err := r.Status(t.Context()); err != nil || s.Phase != postgres.Synced {
			t.Errorf("%+v, %v", s, err)
		}
		if err := r.Unchanged(t.Context(), postgres.Source); err != nil {
			t.Error(err)
		}
		r.Close()
	}
	r := migratetest.Reader(t, migratetest.Pair(t, source, target))
	if _, err := r.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if after := migratetest.Text(t, source.Admin, sessions); after != before || before == "" {
		t.Errorf("writers before %q, after %q", before, after)
	}
	if after := migratetest.Text(t, source.Admin, "SELECT sum(hashtextextended(key || value, 0)) FROM godwit.state"); after != written {
		t.Error("looking wrote into godwit.state")
	}
	if n := migratetest.Text(t, source.Admin, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1735353463"); n != "1" {
		t.Errorf("%s sessions hold the lock", n)
	}
}
