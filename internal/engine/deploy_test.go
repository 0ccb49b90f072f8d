package engine

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"godwit/internal/api"
)

func TestDeploy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	all, err := b.Deploy(t.Context(), api.DeployRequest{Service: "till", Image: b.image("v2")}, b.events.sink())
	b.ok(err)
	if len(all) != 2 || all[0].Environment != "production" || all[0].Outcome != "done" || all[1].Outcome != "done" {
		t.Errorf("%+v", all)
	}
	if r := all[0]; r.From != 1 || r.To != 2 || len(r.Steps) != 8 {
		t.Errorf("%+v", r)
	}
	b.serves("production", "till", 2)
	b.gets(host, "production/till 2")
	if r := b.deploy("test", b.image("v2")); r.Outcome != "unchanged" || r.To != 2 {
		t.Errorf("the same image again: %+v", r)
	}
	if r := b.deploy("test", ""); r.Outcome != "done" || r.To != 3 {
		t.Errorf("what the landscape declares: %+v", r)
	}
	if h := b.history("test", "till"); !slices.Equal(h, []string{"1 done", "2 done", "3 done"}) {
		t.Errorf("history %q", h)
	}
	b.concealed()
}

// TestDeployRefused: the release fails its requests; clients see none of it.
func TestDeployRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.load()
	bad := b.image("bad")
	b.breaks(bad)
	all, err := b.Deploy(t.Context(), api.DeployRequest{Service: "till", Image: bad}, b.events.sink())
	b.ok(err)
	if len(all) != 1 { // the next environment is spared
		t.Fatalf("%+v", all)
	}
	r := all[0]
	if r.Outcome != "refused" || r.Environment != "production" || !strings.Contains(r.Reason, "failed") || r.Shielded == 0 || r.Failed != 0 {
		t.Errorf("%+v", r)
	}
	b.serves("production", "till", 1)
	b.serves("test", "till", 1)
	if h := b.history("production", "till"); !slices.Equal(h, []string{"1 done", "2 refused"}) {
		t.Errorf("history %q", h)
	}
	if again, err := b.Rollback(t.Context(), api.RollbackRequest{Service: "till", Environment: "production"}, b.events.sink()); err == nil {
		t.Errorf("back to a release that was refused: %+v", again)
	}
	for _, step := range []string{"judge", "shift a little"} {
		if !strings.Contains(b.log.String(), step) {
			t.Errorf("the log does not tell of %q", step)
		}
	}
}

// TestDeployUndone: its instances never get ready, and its last words are a secret.
func TestDeployUndone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	path := b.image("v2")
	digest, err := b.Engine.images.Import(t.Context(), path)
	b.ok(err)
	b.front.SetUnready(digest)
	b.front.lastWords = fmt.Errorf("it said: no terminal at %s", secret)
	r := b.deploy("production", path)
	if r.Outcome != "undone" || !strings.Contains(r.Reason, "not ready") || r.From != 1 {
		t.Errorf("%+v", r)
	}
	b.serves("production", "till", 1)
	if h := b.history("production", "till"); !slices.Equal(h, []string{"1 done", "2 undone"}) {
		t.Errorf("history %q", h)
	}
	if !strings.Contains(r.Reason, "it said: no terminal at ***") {
		t.Errorf("reason %q", r.Reason)
	}
	b.concealed(r.Reason)
	_, err = b.tryUp(false)
	b.ok(err)
}

func TestRollback(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	back := func(to int) (api.Rollout, error) {
		r, err := b.Rollback(t.Context(), api.RollbackRequest{Service: "till", Environment: "production", To: to}, b.events.sink())
		if err != nil {
			return api.Rollout{}, err
		}
		return r[0], nil
	}
	_, err := back(0)
	b.fails(err, api.Missing, "no earlier release")
	b.deploy("production", b.image("v2"))
	b.deploy("production", b.image("v3"))
	image := func(release int) string {
		r, err := b.store.Release(t.Context(), "production", "till", release)
		b.ok(err)
		return r.Image
	}
	for _, c := range []struct{ to, want, as int }{{0, 4, 2}, {1, 5, 1}, {3, 6, 3}} {
		r, err := back(c.to)
		b.ok(err)
		if r.Outcome != "done" || r.To != c.want || image(c.want) != image(c.as) {
			t.Errorf("back to %d: %+v", c.to, r)
		}
		b.serves("production", "till", c.want)
	}
	if r, err := back(3); err != nil || r.Outcome != "unchanged" {
		t.Errorf("back to what serves: %+v, %v", r, err)
	}
	_, err = back(99)
	b.fails(err, api.Missing, "no release 99")
	b.serves("test", "till", 1)
	b.concealed()
}

func TestUnknownNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	sink := b.events.sink()
	_, err := b.Deploy(t.Context(), api.DeployRequest{Service: "till"}, sink)
	b.fails(err, api.Usage, "godwit up")
	b.up()
	_, err = b.Deploy(t.Context(), api.DeployRequest{Service: "bar"}, sink)
	b.fails(err, api.Missing, `"bar"`)
	_, err = b.Deploy(t.Context(), api.DeployRequest{Service: "till", Environment: "moon"}, sink)
	b.fails(err, api.Missing, `"moon"`)
	_, err = b.Logs(t.Context(), api.LogsRequest{Environment: "moon"}, sink)
	b.fails(err, api.Missing, `"moon"`)
	_, err = b.MigrationStatus(t.Context(), "datacenter")
	b.fails(err, api.Missing, `"datacenter"`)
	_, err = b.Check(t.Context(), "datacenter", sink)
	b.fails(err, api.Missing, `"datacenter"`)
	_, err = b.Isolation(t.Context(), sink)
	b.fails(err, api.Failed, "packet test")
}

func TestLogs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	var lines []string
	sink := api.Sink{Row: func(v any) { lines = append(lines, v.(api.LogLine).Line) }}
	_, err := b.Logs(t.Context(), api.LogsRequest{Service: "till"}, sink)
	b.ok(err)
	if !slices.Equal(lines, []string{"hello from production", "hello from test"}) {
		t.Errorf("%q", lines)
	}
}

// TestDeployCancelled: whoever asked for it goes, at every step; either release
// serves then, alone, and nothing is left half-done.
func TestDeployCancelled(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"check", "launch", "ready", "shift a little", "judge", "shift the rest", "drain old", "retire old"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.up()
			ctx, cancel := context.WithCancel(t.Context())
			b.events.tell = func(e api.Event) {
				if e.Step == step && e.State == "begun" {
					cancel()
				}
			}
			r, err := b.Deploy(ctx, api.DeployRequest{Service: "till", Environment: "production", Image: b.image("v2")}, b.events.sink())
			b.ok(err)
			serving, outcome := 1, "undone"
			if step == "drain old" || step == "retire old" { // after the point of no return
				serving, outcome = 2, "done"
			}
			b.serves("production", "till", serving)
			if r[0].Outcome != outcome {
				t.Errorf("%+v", r)
			}
			if h := b.history("production", "till"); !slices.Equal(h, []string{"1 done", "2 " + outcome}) {
				t.Errorf("history %q", h)
			}
			unfinished, err := b.journal.Unfinished(t.Context())
			b.ok(err)
			if status, _ := b.get(host); len(unfinished) > 0 || status != http.StatusOK {
				t.Errorf("unfinished %+v, and the host answers %d", unfinished, status)
			}
		})
	}
}
