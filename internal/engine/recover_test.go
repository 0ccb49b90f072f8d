package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/site"
	"godwit/internal/site/memory"
)

// killAt runs an operation in a goroutine that ends, as if the engine were
// killed, when the n-th event is told; false when there are fewer events. An
// event is told between a step and the line of the journal about it, so this
// reaches every point of the journal from both sides.
func (b *bench) killAt(n int, operation func()) (killed bool) {
	told := 0
	b.events.tell = func(api.Event) {
		if told++; told == n {
			killed = true
			runtime.Goexit() // nothing after it is written down
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		operation()
	}()
	<-ended
	b.events.tell = nil
	return killed
}

// TestKilledInRollout kills an engine at every event of a rollout; the next one
// settles it.
func TestKilledInRollout(t *testing.T) {
	t.Parallel()
	for image, events := range map[string]int{"good": 18, "bad": 16} {
		for n := 1; n <= events; n++ {
			t.Run(fmt.Sprintf("%s %d", image, n), func(t *testing.T) {
				t.Parallel()
				if killed := killedInRollout(t, image, n); !killed {
					t.Errorf("a rollout of %s has fewer than %d events", image, n)
				}
			})
		}
	}
}

// imageEvents are told before a rollout begins.
const imageEvents = 2

func killedInRollout(t *testing.T, image string, n int) bool {
	b := newBench(t)
	b.edit("    min = 2", "    min = 1")
	b.removeBlock(`environment "test"`)
	b.up()
	b.load()
	path := b.image(image)
	if image == "bad" {
		b.breaks(path)
	}
	killed := b.killAt(n, func() {
		_, err := b.Deploy(t.Context(), api.DeployRequest{Service: "till", Environment: "production", Image: path}, b.events.sink())
		b.ok(err)
	})
	b.ok(b.restart())
	unfinished, err := b.journal.Unfinished(t.Context())
	b.ok(err)
	if len(unfinished) > 0 {
		t.Errorf("unfinished: %+v", unfinished)
	}
	serving := 1
	if f := b.fleet("production", "till"); f.Weights[2] > 0 {
		serving = 2
	}
	b.serves("production", "till", serving)
	if image == "bad" && serving == 2 {
		t.Error("the release that should be refused serves")
	}
	outcomes := map[int][]string{1: {"2 undone", "2 refused"}, 2: {"2 done"}}[serving]
	if h := b.history("production", "till"); n > imageEvents && (len(h) != 2 || !slices.Contains(outcomes, h[1])) {
		t.Errorf("release %d serves, history %q", serving, h)
	}
	if status, _ := b.get(host); status != http.StatusOK {
		t.Errorf("the host answers %d", status)
	}
	if r := b.deploy("production", b.image("v9")); r.Outcome != "done" {
		t.Errorf("afterwards: %+v", r)
	}
	return killed
}

// TestRollbackSentAgain: whenever its engine is killed, a rollback to "the release
// before" that is sent again returns to the one that it meant.
func TestRollbackSentAgain(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 16; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.edit("    min = 2", "    min = 1")
			b.removeBlock(`environment "test"`)
			b.up()
			b.load()
			second := b.image("v2")
			b.deploy("production", second)
			b.deploy("production", b.image("v3"))
			r := api.RollbackRequest{Service: "till", Environment: "production", ID: "once"}
			if !b.killAt(n, func() { _, _ = b.Rollback(t.Context(), r, b.events.sink()) }) {
				t.Errorf("a rollback has fewer than %d events", n)
			}
			b.ok(b.restart())
			_, err := b.Rollback(t.Context(), r, b.events.sink())
			b.ok(err)
			want, err := b.store.Release(t.Context(), "production", "till", 2)
			b.ok(err)
			for number := range b.fleet("production", "till").Weights {
				if serves, err := b.store.Release(t.Context(), "production", "till", number); err != nil || serves.Image != want.Image {
					t.Errorf("killed at event %d: release %d serves, which has not the image of release 2 (%v)", n, number, err)
				}
			}
		})
	}
}

// TestKilledInUp: the next up goes on where the first was killed.
func TestKilledInUp(t *testing.T) {
	t.Parallel()
	for n := 1; n < 26; n += 2 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.removeBlock(`environment "test"`) // environments are made in goroutines of their own
			if !b.killAt(n, func() { _, _ = b.tryUp(false) }) {
				t.Errorf("an up has fewer than %d events", n)
			}
			b.ok(b.restart())
			b.up()
			if r := b.up(); !r.Plan.Empty() {
				t.Errorf("%q", changes(r.Plan))
			}
			if status, _ := b.get(host); status != http.StatusOK {
				t.Errorf("the host answers %d", status)
			}
		})
	}
}

// TestStuck: what can be neither finished nor undone keeps others from
// beginning, and is settled by the first of them that can.
func TestStuck(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	patient := b.journal.Limits
	b.journal.Limits.Undo, b.journal.Limits.Finish = 100*time.Millisecond, 100*time.Millisecond
	errBroken := errors.New("the machine is broken")
	b.events.tell = func(e api.Event) {
		if e.Step == "ready" && e.State == "begun" {
			b.front.SetFail(func(memory.Call) error { return errBroken })
		}
	}
	r := b.deploy("production", b.image("v2"))
	if r.Outcome != "stuck" || !strings.Contains(r.Reason, errBroken.Error()) {
		t.Fatalf("%+v", r)
	}
	b.events.tell = nil
	b.front.SetFail(func(c memory.Call) error {
		if c.Method == "Retire" {
			return errBroken
		}
		return nil
	})
	s, err := b.Status(t.Context())
	b.ok(err)
	if len(s.Unfinished) != 1 || !strings.HasPrefix(s.Unfinished[0], "rollout production/till: step ") || !strings.Contains(s.Unfinished[0], errBroken.Error()) {
		t.Errorf("unfinished %q", s.Unfinished)
	}
	_, err = b.Deploy(t.Context(), api.DeployRequest{Service: "menu"}, b.events.sink())
	b.fails(err, api.Failed, "rollout of production/till", errBroken.Error(), "mend that")
	b.journal.Limits = patient
	b.front.SetFail(nil)
	if r := b.deploy("production", b.image("v3")); r.Outcome != "done" || r.From != 1 {
		t.Errorf("%+v", r)
	}
	b.serves("production", "till", 3)
}

// TestDownEndsWhatIsStuck: a run that could not be settled does nothing to the
// environments that are made afterwards.
func TestDownEndsWhatIsStuck(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.killAt(8, func() { b.deploy("production", b.image("v2")) })
	_, err := b.Down(t.Context(), api.DownRequest{Approve: true}, b.events.sink())
	b.ok(err)
	unfinished, err := b.journal.Unfinished(t.Context())
	b.ok(err)
	if len(unfinished) > 0 {
		t.Errorf("%+v", unfinished)
	}
}

func TestNothingToRecover(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.ok(b.recover(t.Context()))
	_, err := b.current()
	b.fails(err, api.Usage, "no landscape is up yet")
}

// TestCorruptSettings: the error says what and how to mend it, status works, and
// down removes what is there.
func TestCorruptSettings(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.ok(b.store.Put(t.Context(), documentSettings, "engine", []string{"not", "settings"}))
	err := b.restart()
	if err == nil {
		t.Fatal("no error")
	}
	_, err = b.current()
	b.fails(err, api.Failed, "settings", b.dir, "godwit down")
	_, err = b.tryUp(false)
	b.fails(err, api.Failed, "settings", b.dir, "godwit down")
	if s, err := b.Status(t.Context()); err != nil || s.Landscape != "" {
		t.Errorf("%+v, %v", s, err)
	}
	_, err = b.Down(t.Context(), api.DownRequest{}, b.events.sink())
	b.fails(err, api.Refused, `"production" is protected`)
	_, err = b.Down(t.Context(), api.DownRequest{Approve: true}, b.events.sink())
	b.ok(err)
	if _, err := b.front.Observe(t.Context(), "production"); !isNotFound(err) {
		t.Errorf("left behind: %v", err)
	}
}

// TestDownOfWhatIsProtected: only databases that are there are said to be lost.
func TestDownOfWhatIsProtected(t *testing.T) {
	t.Parallel()
	for name, databases := range map[string]bool{"with databases": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if !databases {
				b.removeBlock(`database "till"`)
				b.edit("DATABASE_URL = database.till.url, ", "")
				b.edit("database.till, ", "")
			}
			b.up()
			_, err := b.Down(t.Context(), api.DownRequest{}, b.events.sink())
			b.fails(err, api.Refused, `environment "production" is protected`, "--approve")
			if strings.Contains(err.Error(), "databases would be removed with their data") != databases {
				t.Errorf("%v", err)
			}
			if databases {
				b.removeBlock(`database "till"`) // what is declared no more is kept
				b.edit("DATABASE_URL = database.till.url, ", "")
				b.edit("database.till, ", "")
				b.up()
				_, err = b.Down(t.Context(), api.DownRequest{}, b.events.sink())
				b.fails(err, api.Refused, "databases would be removed with their data")
			}
		})
	}
}

// TestSiteCannotBeOpened: nothing is lost; the next up settles and goes on.
func TestSiteCannotBeOpened(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.killAt(12, func() { b.deploy("production", b.image("v2")) })
	b.ok(b.Engine.close())
	b.open()
	works := b.Engine.sites[defaultSite]
	b.Engine.sites[defaultSite] = func(context.Context, *Engine, *world, api.Sink) (site.Site, error) {
		return nil, errors.New("no Postgres on this machine")
	}
	if err := b.recover(t.Context()); err == nil {
		t.Fatal("no error")
	}
	_, err := b.current()
	b.fails(err, api.Failed, "no Postgres on this machine", "godwit up")
	b.Engine.sites[defaultSite] = works
	b.up()
	b.serves("production", "till", 1)
}
