package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/site"
)

// withMigration adds a data centre whose till answers "source".
func withMigration(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "source") }))
	t.Cleanup(source.Close)
	b.env["TILL_URL"] = source.URL
	b.env["DATABASE"] = "postgres://till:" + secret + "@127.0.0.1:1/till"
	b.text += `source "datacenter" {
  service "till" {
    url = env.TILL_URL
  }
  database "till" {
    url = env.DATABASE
  }
}
migration "datacenter" {
  from      = source.datacenter
  to        = environment.production
  max_pause = "2s"
}
`
	return b
}

// turned moves the truth as a switch does, without its databases.
func (b *bench) turned(to migrate.Side) {
	b.Helper()
	w, err := b.current()
	b.ok(err)
	m, err := b.migration(b.Context(), w, "datacenter")
	b.ok(err)
	b.ok((&traffic{m}).Route(b.Context(), to))
}

// dataThere is what a sync comes to, without its databases: what has waited is launched.
func (b *bench) dataThere() {
	b.Helper()
	w, err := b.current()
	b.ok(err)
	b.ok(b.changeMigration(b.Context(), w, "datacenter", func(s *migrationState) { s.Phase = phaseSynced }))
	b.up()
}

// TestRoutesFollowTheTruth: the source serves until the cutover, the environment
// after it, whatever happens in between.
func TestRoutesFollowTheTruth(t *testing.T) {
	t.Parallel()
	b := withMigration(t)
	r := b.up()
	if !slices.Contains(r.Routes, api.Route{Host: host, Pool: "source/datacenter/till"}) {
		t.Errorf("%+v", r.Routes)
	}
	b.gets(host, "source")
	b.gets("menu.bistro.example", "production/menu 1") // the data centre has none
	status := func(phase, truth string) {
		t.Helper()
		m, err := b.MigrationStatus(t.Context(), "datacenter")
		b.ok(err)
		if m.Phase != phase || m.Truth != truth {
			t.Errorf("%+v, want %s, %s", m, phase, truth)
		}
	}
	status("adopted", "source")
	b.dataThere()
	b.turned(migrate.Target)
	b.gets(host, "production/till 1")
	status("cut-over", "target")
	b.up()
	b.gets(host, "production/till 1")
	b.ok(b.restart())
	b.gets(host, "production/till 1")
	_, err := b.Down(t.Context(), api.DownRequest{}, b.events.sink())
	b.fails(err, api.Refused, "holds the truth", "rollback")
	b.turned(migrate.Source)
	b.gets(host, "source")
	status("rolled-back", "source")
	b.up()
	b.gets(host, "source")
	b.concealed()
}

// TestSourceLeaves: the pool of a data centre that is no longer declared goes.
func TestSourceLeaves(t *testing.T) {
	t.Parallel()
	b := withMigration(t)
	b.up()
	b.removeBlock(`migration "datacenter"`)
	b.up()
	b.gets(host, "production/till 1")
	table, err := b.gateway.Table(t.Context())
	b.ok(err)
	if _, there := table.Pools["source/datacenter/till"]; there {
		t.Error("its pool is left")
	}
}

// TestMigrationUnderWayStays: no up leaves its replication behind, approved or not.
func TestMigrationUnderWayStays(t *testing.T) {
	t.Parallel()
	b := withMigration(t)
	b.up()
	w, err := b.current()
	b.ok(err)
	b.ok(b.changeMigration(t.Context(), w, "datacenter", func(s *migrationState) { s.Phase = phaseSynced }))
	before := b.text
	b.removeBlock(`migration "datacenter"`)
	_, err = b.tryUp(true)
	b.fails(err, api.Refused, `"datacenter" is under way (synced)`, "abort")
	b.text = before
	b.edit(`network   = "10.30.0.0/16"`, `network   = "10.31.0.0/16"`)
	_, err = b.tryUp(true)
	b.fails(err, api.Refused, `"datacenter" is under way (synced)`, "production")
	b.text = before
	b.edit("to        = environment.production", "to        = environment.test")
	_, err = b.tryUp(true)
	b.fails(err, api.Refused, `"datacenter" is under way (synced)`, `into environment "production", not into "test"`)
	b.ok(b.changeMigration(t.Context(), w, "datacenter", func(s *migrationState) { s.Phase, s.Truth = phaseFinished, migrate.Target }))
	_, err = b.tryUp(true)
	b.fails(err, api.Refused, `"datacenter" is finished`, "another migration")
	b.ok(b.changeMigration(t.Context(), w, "datacenter", func(s *migrationState) { s.Phase = phaseCutOver }))
	b.text = before
	b.edit(`  database "till" {
    url = env.DATABASE
  }
`, "")
	_, err = b.tryUp(true)
	b.fails(err, api.Refused, `"datacenter" is under way (cut-over)`, "databases till, not none")
	b.text = before
	b.up()
}

// TestResumedElsewhere: what was begun towards one environment is not ended at another.
func TestResumedElsewhere(t *testing.T) {
	t.Parallel()
	b := withMigration(t)
	b.up()
	w, err := b.current()
	b.ok(err)
	p := migrate.Plan{Migration: "datacenter", Environment: "test", From: migrate.Source, MaxPause: time.Second}
	err = b.resumeSwitch(t.Context(), w, b.journal, journal.Run{ID: "one", Kind: p.Kind(), Payload: p.Payload()}, b.events.sink())
	if err == nil || !strings.Contains(err.Error(), `towards environment "test"`) {
		t.Errorf("%v", err)
	}
}

// TestSourceRefuses: its url may have a password, what is said of it has none.
func TestSourceRefuses(t *testing.T) {
	t.Parallel()
	b := withMigration(t)
	source := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(source.Close)
	b.env["TILL_URL"] = strings.Replace(source.URL, "://", "://till:"+secret+"@", 1)
	b.up()
	w, err := b.current()
	b.ok(err)
	m, _ := w.migration("datacenter")
	err = b.mayServe(t.Context(), w, m, migrate.Source)
	b.fails(err, api.Refused)
	if said := marshal(t, api.AsFailure(err)); !strings.Contains(said, "404") || strings.Contains(said, secret) {
		t.Error(said)
	}
}

// TestDownWithoutItsWorld: what an engine could not take up is not forgotten unasked.
func TestDownWithoutItsWorld(t *testing.T) {
	t.Parallel()
	b := withMigration(t)
	b.up()
	b.dataThere()
	b.turned(migrate.Target)
	b.ok(b.Engine.close())
	b.open()
	b.Engine.sites[defaultSite] = func(context.Context, *Engine, *world, api.Sink) (site.Site, error) {
		return nil, errors.New("there is no profile bistro")
	}
	if err := b.recover(t.Context()); err == nil {
		t.Fatal("no error")
	}
	s, err := b.Status(t.Context())
	if b.ok(err); !strings.Contains(s.Problem, "there is no profile bistro") {
		t.Errorf("status: %+v", s)
	}
	names, err := b.store.List(t.Context(), documentEnvironment)
	b.ok(err)
	for _, name := range names { // those that AWS keeps are not the engine's to remember
		b.ok(b.store.Delete(t.Context(), documentEnvironment, name))
	}
	_, err = b.Down(t.Context(), api.DownRequest{}, b.events.sink())
	b.fails(err, api.Refused, "under way (cut-over)", "godwit up")
	_, err = b.Down(t.Context(), api.DownRequest{Approve: true}, b.events.sink())
	b.ok(err)
	if !b.events.said("failed", "the source is not known") {
		t.Error("nobody says what stays on the source")
	}
}

func TestMissingSource(t *testing.T) {
	t.Parallel()
	b := withMigration(t)
	delete(b.env, "TILL_URL")
	delete(b.env, "CARD_TERMINAL")
	delete(b.env, "DATABASE")
	_, err := b.tryUp(false)
	b.fails(err, api.Usage, "TILL_URL", "CARD_TERMINAL", "source datacenter, database till", "export DATABASE=") // all at once, before anything is made
	if _, err := b.front.Observe(t.Context(), "production"); !isNotFound(err) {
		t.Errorf("something was made: %v", err)
	}
}

// TestSourceDatabaseURL: up says what migrate would stumble over, and an engine
// that was up before it did so still comes up again.
func TestSourceDatabaseURL(t *testing.T) {
	t.Parallel()
	b := withMigration(t)
	url := b.env["DATABASE"]
	for wrong, says := range map[string]string{
		"": "postgres://USER:PASSWORD@HOST",
		"postgres://till:" + secret + "@127.0.0.1:port/till":                                            "postgres://USER:PASSWORD@HOST",
		"postgres://till:" + secret + "@127.0.0.1/till?sslmode=verify-full&sslrootcert=/nowhere/ca.pem": "open /nowhere/ca.pem: no such file",
	} {
		b.env["DATABASE"] = wrong
		_, err := b.tryUp(false)
		b.fails(err, api.Usage, "source datacenter, database till: its url", says)
		b.concealed(err.Error())
	}
	b.env["DATABASE"] = url
	b.up()
	s, _, err := b.loadSettings(t.Context())
	b.ok(err)
	delete(s.Landscape.Env, "DATABASE")
	b.ok(b.saveSettings(t.Context(), s))
	b.ok(b.restart())
	b.gets(host, "source")
}

func TestMayTurn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		phase string
		truth migrate.Side
		from  migrate.Side
		may   bool
	}{
		{phaseAdopted, migrate.Source, migrate.Source, false},
		{phaseSyncing, migrate.Source, migrate.Source, false},
		{phaseSynced, migrate.Source, migrate.Source, true},
		{phaseRolledBack, migrate.Source, migrate.Source, true},
		{phaseCutOver, migrate.Target, migrate.Source, false},
		{phaseFinished, migrate.Target, migrate.Source, false},
		{phaseAdopted, migrate.Source, migrate.Target, false},
		{phaseSyncing, migrate.Source, migrate.Target, false},
		{phaseSynced, migrate.Source, migrate.Target, false},
		{phaseRolledBack, migrate.Source, migrate.Target, false},
		{phaseCutOver, migrate.Target, migrate.Target, true},
		{phaseFinished, migrate.Target, migrate.Target, false},
	} {
		err := migrationState{Phase: c.phase, Truth: c.truth}.mayTurn(c.from)
		if (err == nil) != c.may {
			t.Errorf("%s, truth %s, away from %s: %v", c.phase, c.truth, c.from, err)
		}
		if err != nil && api.AsFailure(err).Code != api.Usage {
			t.Errorf("%v", err)
		}
	}
}

// TestAdoptedFirst: the data centre is reached through the gateway whatever becomes
// of the environments, and none of them is given up because another fails.
func TestAdoptedFirst(t *testing.T) {
	t.Parallel()
	b := withMigration(t)
	digest, err := b.Engine.images.Import(t.Context(), filepath.Join(b.images, "v1"))
	b.ok(err)
	b.front.SetUnready(digest)
	_, err = b.tryUp(false)
	b.fails(err, api.Failed, "production/menu", "test/menu")
	b.gets(host, "source")
}

// TestRefusedSettlesNothing: a command that cannot be meant changes nothing, also
// not what another has left unfinished.
func TestRefusedSettlesNothing(t *testing.T) {
	t.Parallel()
	b := withMigration(t)
	b.up()
	b.dataThere()
	b.stuck()
	w, err := b.current()
	b.ok(err)
	b.ok(b.changeMigration(t.Context(), w, "datacenter", func(s *migrationState) { s.Phase = phaseAdopted }))
	b.front.SetFail(nil) // whoever settles it now succeeds
	for name, command := range map[string]func() error{
		"cutover":  func() error { _, err := b.Cutover(t.Context(), "datacenter", b.events.sink()); return err },
		"rollback": func() error { _, err := b.RollbackMigration(t.Context(), "datacenter", b.events.sink()); return err },
		"verify":   func() error { _, err := b.Verify(t.Context(), "datacenter", b.events.sink()); return err },
		"finish": func() error {
			_, err := b.Finish(t.Context(), "datacenter", api.LeaveRequest{}, b.events.sink())
			return err
		},
	} {
		b.fails(command(), api.Usage, "the")
		if left, err := b.journal.Unfinished(t.Context()); err != nil || len(left) != 1 {
			t.Errorf("after %s, which is refused: %d runs unfinished, %v", name, len(left), err)
		}
	}
}

// TestSettingsAsStored: an engine reads what an older one has written down, and
// what it writes down is its own, whatever the API becomes.
func TestSettingsAsStored(t *testing.T) {
	t.Parallel()
	const stored = `{"landscape":{"dir":"/srv/bistro","files":[{"name":"landscape.hcl","bytes":"bGFuZHNjYXBlICJiaXN0cm8iIHt9Cg=="}],"env":{"TILL_URL":"http://127.0.0.1:1"}},` +
		`"site":"aws","aws":{"endpoint":"http://127.0.0.1:2","profile":"bistro","database_ca":"/bundle.pem"},"account":"1","listen":"127.0.0.1:3","isolation":"none"}`
	var s settings
	if err := json.Unmarshal([]byte(stored), &s); err != nil {
		t.Fatal(err)
	}
	if l, err := s.Landscape.parse(); err != nil || l.Name != "bistro" {
		t.Errorf("landscape %+v, %v", l, err)
	}
	if written, err := json.Marshal(s.complete()); err != nil || string(written) != stored {
		t.Errorf("%s, %v", written, err)
	}
}
