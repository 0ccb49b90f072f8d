package engine

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/site"
)

// startsAs is what an application does with its database before it serves: statements.
func startsAs(url string, statements ...string) func(context.Context, fleet.Release) error {
	return func(ctx context.Context, r fleet.Release) error {
		if r.Service != "till" || r.Environment != "production" {
			return nil
		}
		for _, statement := range statements {
			if err := migratetest.Try(ctx, url, statement); err != nil {
				return fmt.Errorf("%s-1 ended: %w: %w", r.Service, err, site.ErrUnready)
			}
		}
		return nil
	}
}

// writing writes orders on a side until it is told to stop, and returns the keys of
// those that were acknowledged.
func writing(t *testing.T, url, prefix string) (stop func() []string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var keys []string
	var done sync.WaitGroup
	done.Go(func() {
		defer conn.Close(context.Background())
		for n := 0; ctx.Err() == nil; n++ {
			key := fmt.Sprintf("%s-%d", prefix, n)
			if _, err := conn.Exec(context.Background(), `INSERT INTO "order" (key) VALUES ($1)`, key); err != nil {
				t.Errorf("order %s: %v", key, err)
				return
			}
			keys = append(keys, key)
		}
	})
	return func() []string {
		cancel()
		done.Wait()
		return keys
	}
}

// applies makes a change on both sides beside somebody who writes.
func (l *looked) applies(url string, r api.ApplyRequest) (api.Applied, []string) {
	l.Helper()
	stop := writing(l.T, url, fmt.Sprintf("beside-%d", len(l.events.String())))
	a, err := l.Apply(l.Context(), "datacenter", r, l.events.sink())
	keys := stop()
	l.ok(err)
	return a, keys
}

// openWay wants a status that knows of nothing against the way to the other side.
func (l *looked) openWay() {
	l.Helper()
	migratetest.Eventually(l.T, "status has no problem", func() bool { // a busy machine may not answer in time
		m, err := l.MigrationStatus(l.Context(), "datacenter")
		return err == nil && m.Problem == ""
	})
}

// closedWay wants everybody who is asked to say that the way to the other side is closed.
func (l *looked) closedWay(words ...string) {
	l.Helper()
	said := map[string]string{}
	m, err := l.MigrationStatus(l.Context(), "datacenter")
	l.ok(err)
	said["status"] = m.Problem
	checks, err := l.Check(l.Context(), "datacenter", l.events.sink())
	if l.ok(err); checks.Go {
		l.Error("check says go")
	}
	for _, f := range checks.Findings {
		said["check"] += f.Summary + "; " + f.Mend
	}
	v, err := l.Verify(l.Context(), "datacenter", l.events.sink())
	if l.ok(err); v.Equal {
		l.Error("verify says equal")
	}
	said["verify"] = strings.Join(v.Differing, " ") + v.Problem
	for _, image := range []string{"", l.image(fmt.Sprint("v", len(l.events.String())))} { // it is found, or comes with it
		r, err := l.Deploy(l.Context(), api.DeployRequest{Service: "till", Environment: "production", Image: image}, l.events.sink())
		if l.ok(err); len(r) == 1 {
			said["deploy "+r[0].Outcome] = r[0].Problem
		}
	}
	if len(said) != 5 {
		l.Errorf("asked %v", said)
	}
	for who, text := range said {
		for _, word := range words {
			if !strings.Contains(text, word) {
				l.Errorf("%s does not say %q: %q", who, word, text)
			}
		}
	}
}

// TestBothSidesStayUsable: services wait for their data and start beside a database that
// takes no write; definitions change after the sync and after the cutover, on both sides
// or by a release on one, which everybody says at once; what runs on the side that lost
// the truth starts again; the way back stays open, and no row is lost.
func TestBothSidesStayUsable(t *testing.T) {
	t.Parallel()
	l := newLooked(t, 500)
	source, target := l.site.source.App, l.site.target.App
	const reads = "SELECT count(*) FROM receipt"
	l.site.starts = startsAs(target, "CREATE TABLE IF NOT EXISTS register (id int PRIMARY KEY, last bigint NOT NULL DEFAULT 0)", reads)
	if f := l.fleet("production", "till"); f != nil && len(f.Instances) > 0 {
		t.Fatalf("it was launched against an empty database: %+v", f)
	}
	l.serves("test", "till", 1)
	r, err := l.Deploy(t.Context(), api.DeployRequest{Service: "till", Environment: "production"}, l.events.sink())
	if l.ok(err); len(r) != 1 || r[0].Outcome != api.RolloutWaits || !strings.Contains(r[0].Reason, "godwit migrate sync") {
		t.Errorf("deploy before the sync: %+v", r)
	}
	m, err := l.Sync(t.Context(), "datacenter", l.events.sink())
	if l.ok(err); m.Phase != phaseSynced {
		t.Fatalf("sync: %+v", m)
	}
	l.serves("production", "till", 1)

	a, keys := l.applies(source, api.ApplyRequest{SQL: "ALTER TABLE receipt ADD COLUMN tip int NOT NULL DEFAULT 0; CREATE TABLE kind (id int PRIMARY KEY); INSERT INTO kind VALUES (1)"})
	if a.Outcome != api.AppliedDone || !slices.Contains(a.Changes, "table public.kind added") {
		t.Fatalf("after the sync: %+v", a)
	}
	l.switched("cutover", l.Cutover, l.events.sink())
	if err := migratetest.Try(t.Context(), source, `SELECT count(*) FROM "order"`); err != nil {
		t.Errorf("what the data centre starts again cannot read: %v", err)
	}
	if err := migratetest.Try(t.Context(), source, `INSERT INTO "order" (key) VALUES ('behind')`); err == nil {
		t.Error("the data centre writes behind the fence")
	}
	a, more := l.applies(target, api.ApplyRequest{SQL: "ALTER TABLE receipt DROP COLUMN tip; CREATE INDEX by_note ON \"order\" (note)"})
	if a.Outcome != api.AppliedDone {
		t.Fatalf("after the cutover: %+v", a)
	}

	const release = "CREATE TABLE guest (id int PRIMARY KEY); ALTER TABLE receipt ADD COLUMN day date"
	migratetest.Exec(t, target, release, "INSERT INTO guest VALUES (7)", "UPDATE receipt SET day = '2026-12-01'")
	l.closedWay("table public.guest added", "table public.receipt changed", "godwit migrate apply FILE --catch-up")
	a, last := l.applies(target, api.ApplyRequest{SQL: release, CatchUp: true})
	if a.Outcome != api.AppliedDone {
		t.Fatalf("catching up: %+v", a)
	}
	l.openWay()
	a, _ = l.applies(target, api.ApplyRequest{SQL: "ALTER TABLE register ADD COLUMN made timestamptz DEFAULT now()"})
	if a.Outcome != api.AppliedRefused || !strings.Contains(a.Reason, "public.register.made") {
		t.Errorf("what cannot be the same on both sides: %+v", a)
	}
	v, err := l.Verify(t.Context(), "datacenter", l.events.sink())
	if l.ok(err); !v.Equal || v.Problem != "" {
		t.Errorf("verify: %+v", v)
	}
	l.switched("rollback", l.RollbackMigration, l.events.sink())
	for _, key := range slices.Concat(keys, more, last) {
		if n := migratetest.Text(t, source, `SELECT count(*) FROM "order" WHERE key = '`+key+`'`); n != "1" {
			t.Errorf("order %s is there %s times", key, n)
		}
	}
	if n := migratetest.Text(t, source, "SELECT count(*) FROM guest"); n != "1" {
		t.Errorf("%s guests came back", n)
	}
	l.site.starts = startsAs(target, reads) // new sessions there are read-only now
	if r := l.deploy("production", l.image("after the way back")); r.Outcome != api.RolloutDone || r.Problem != "" {
		t.Errorf("deploy after the rollback: %+v", r)
	}
	t.Logf("%d, %d and %d orders beside the changes", len(keys), len(more), len(last))
	l.concealed()
}

// TestChangeGoesOn: an engine that ends in the middle of a change leaves it to the next
// one, which makes it on the other side too, before anything else is begun. What is sent
// again is answered with how it came out.
func TestChangeGoesOn(t *testing.T) {
	t.Parallel()
	l := newLooked(t, 100)
	_, err := l.Sync(t.Context(), "datacenter", l.events.sink())
	l.ok(err)
	w, err := l.current()
	l.ok(err)
	for i, step := range []string{"rehearse", "truth", "other", "follow", "remember"} {
		m, err := l.migration(t.Context(), w, "datacenter")
		l.ok(err)
		l.ok(whole(t.Context(), m))
		r := api.ApplyRequest{SQL: fmt.Sprintf("CREATE TABLE made_%d (id int PRIMARY KEY)", i), Key: fmt.Sprint("key", i)}
		a := migrate.Apply{Migration: "datacenter", Environment: "production", Database: "till", Truth: migrate.Source, SQL: r.SQL}
		run := journal.Run{ID: strings.Join([]string{migrate.KindApply, "datacenter", r.Key}, "-"), Kind: migrate.KindApply, Subject: "datacenter", Payload: a.Payload()}
		steps := migrate.ApplySteps(a, run.ID, m.links.writer("till"))
		do := steps[i].Do
		steps[i].Do = func(ctx context.Context, n *journal.Notes) error {
			l.ok(do(ctx, n))
			runtime.Goexit() // nothing of this engine comes after it
			return nil
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = l.journal.Run(t.Context(), run, steps, nil)
		}()
		<-ended
		m.links.close()
		l.ok(l.restart())
		want := api.AppliedDone
		if step == "rehearse" {
			want = api.AppliedRefused // it was taken back
		}
		how, err := l.Apply(t.Context(), "datacenter", r, l.events.sink())
		if l.ok(err); how.Outcome != want {
			t.Errorf("engine gone after %s: %+v", step, how)
		}
		l.openWay()
	}
	l.switched("cutover", l.Cutover, l.events.sink())
}
