package engine

import (
	"errors"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/site/memory"
)

// stuck deploys a release of till in production that can neither be launched nor
// retired.
func (b *bench) stuck() {
	b.Helper()
	limits := journal.Limits{Undo: 50 * time.Millisecond, Finish: 50 * time.Millisecond, Grace: 50 * time.Millisecond,
		Pause: time.Millisecond, LongestPause: 10 * time.Millisecond}
	b.journal.Limits, b.brief = limits, limits
	b.front.SetFail(func(c memory.Call) error {
		if c.Environment == "production" && (c.Method == "Launch" || c.Method == "Retire") {
			return errors.New("the machine is full")
		}
		return nil
	})
	if r := b.deploy("production", b.image("v2")); r.Outcome != "stuck" {
		b.Fatalf("%+v", r)
	}
}

// TestStuckRolloutIsGivenUp: it says what it waits for, keeps nobody from another
// environment, and is ended by a command that leaves the serving release; what it
// had launched goes when it can.
func TestStuckRolloutIsGivenUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.stuck()
	s, err := b.Status(t.Context())
	b.ok(err)
	if len(s.Unfinished) != 1 || !strings.Contains(s.Unfinished[0], "the machine is full") || !strings.Contains(s.Unfinished[0], "godwit abandon till --env production") {
		t.Errorf("status: %q", s.Unfinished)
	}
	_, err = b.Deploy(t.Context(), api.DeployRequest{Service: "menu", Environment: "production", Image: b.image("v3")}, b.events.sink())
	b.fails(err, api.Failed, "the machine is full", "godwit abandon till --env production")
	if r := b.deploy("test", b.image("v4")); r.Outcome != "done" {
		t.Errorf("another environment: %+v", r)
	}
	given, err := b.Abandon(t.Context(), api.AbandonRequest{Service: "till"}, b.events.sink())
	b.ok(err)
	if len(given) != 1 || given[0].Outcome != "given-up" || !strings.Contains(given[0].Reason, "the machine is full") {
		t.Errorf("given up: %+v", given)
	}
	b.gets(host, "production/till 1")
	if _, err := b.Abandon(t.Context(), api.AbandonRequest{Service: "till"}, b.events.sink()); err == nil {
		t.Error("given up twice")
	}
	b.front.SetFail(nil)
	b.settleIdle(t.Context(), b.here())
	b.serves("production", "till", 1)
	if r := b.deploy("production", b.image("v5")); r.Outcome != "done" {
		t.Errorf("afterwards: %+v", r)
	}
	if h := b.history("production", "till"); strings.Join(h, ", ") != "1 done, 2 stuck, 2 given-up, 3 done" {
		t.Errorf("history %q", h)
	}
}

// here is the world that is up.
func (b *bench) here() *world {
	b.Helper()
	w, err := b.current()
	b.ok(err)
	return w
}

// TestStuckRolloutEndsByItself: when what it waits for is there, nobody types a command.
func TestStuckRolloutEndsByItself(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.stuck()
	b.settleIdle(t.Context(), b.here())
	if left, err := b.journal.Unfinished(t.Context()); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	b.front.SetFail(nil)
	b.settleIdle(t.Context(), b.here())
	if left, err := b.journal.Unfinished(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
	b.serves("production", "till", 1)
}

// TestRunningRolloutIsGivenUp: it is told to end, and takes back what it has done.
func TestRunningRolloutIsGivenUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.rollouts.Watch = time.Hour
	judging := make(chan struct{})
	b.events.tell = func(e api.Event) {
		if e.Step == "judge" && e.State == "begun" {
			close(judging)
		}
	}
	path := b.image("v2")
	ended := make(chan []api.Rollout, 1)
	go func() {
		r, _ := b.Deploy(t.Context(), api.DeployRequest{Service: "till", Environment: "production", Image: path}, b.events.sink())
		ended <- r
	}()
	<-judging
	given, err := b.Abandon(t.Context(), api.AbandonRequest{Service: "till", Environment: "production"}, b.events.sink())
	b.ok(err)
	if r := <-ended; len(r) != 1 || r[0].Outcome != "undone" {
		t.Errorf("deploy: %+v", r)
	}
	if len(given) != 1 || given[0].Outcome != "undone" {
		t.Errorf("given up: %+v", given)
	}
	b.serves("production", "till", 1)
}

// TestClaims: environments exclude only themselves; what is brief is waited for.
func TestClaims(t *testing.T) {
	t.Parallel()
	var c claims
	one, other, all := &claim{name: "one", environments: []string{"test"}}, &claim{name: "other", environments: []string{"stage"}}, &claim{name: "all"}
	for _, right := range []*claim{one, other} {
		if err := c.claim(t.Context(), right); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.claim(t.Context(), all); !isBusy(err) || !strings.Contains(err.Error(), "one is under way") {
		t.Errorf("%v", err)
	}
	c.giveBack(one)
	c.giveBack(other)
	loop := &claim{name: "a loop", brief: true}
	if err := c.claim(t.Context(), loop); err != nil {
		t.Fatal(err)
	}
	if err := c.claim(t.Context(), &claim{name: "another loop", brief: true}); !isBusy(err) {
		t.Errorf("a loop waits for a loop: %v", err)
	}
	got := make(chan error)
	go func() { got <- c.claim(t.Context(), all) }()
	c.giveBack(loop)
	if err := <-got; err != nil {
		t.Error(err)
	}
	if c.underWay() != "all" {
		t.Errorf("under way: %q", c.underWay())
	}
}
