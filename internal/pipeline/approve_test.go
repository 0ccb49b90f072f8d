package pipeline

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"godwit/internal/landscape"
)

// asking is a pipeline with an approval before its only command.
func asking(limit time.Duration) landscape.Pipeline {
	p := shell("echo released", time.Minute)
	p.Stages = append([]landscape.Stage{{Name: "approve", Approve: "Go?", Timeout: limit}}, p.Stages...)
	return p
}

func TestApproval(t *testing.T) {
	t.Parallel()
	answer := func(approved, answered bool) func(context.Context, string) (bool, bool) {
		return func(context.Context, string) (bool, bool) { return approved, answered }
	}
	for name, c := range map[string]struct {
		drive  Drive
		status Status
		says   string
	}{
		"beforehand":         {Drive{Approve: true, By: who("ann")}, Done, ""},
		"yes here":           {Drive{Ask: answer(true, true), By: who("ann")}, Done, ""},
		"no here":            {Drive{Ask: answer(false, true), By: who("ann")}, Refused, "denied by ann"},
		"nobody here":        {Drive{}, Asking, "godwit pipeline approve"},
		"nobody ever":        {Drive{Wait: true}, Asking, "nobody answered"},
		"no answer, no more": {Drive{Ask: answer(false, false)}, Asking, "nobody answered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			th := newTheatre(t)
			r := th.begin("local", asking(500*time.Millisecond))
			err := r.Drive(t.Context(), c.drive)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
			s := must(r.State())
			if name == "nobody ever" || name == "no answer, no more" { // it may be asked again
				c.status = Interrupted
			}
			if s.Status != c.status {
				t.Errorf("status %s, want %s", s.Status, c.status)
			}
			if u := s.Stages[0].Units[0]; c.status == Done && (len(u.Approvals) != 1 || !strings.Contains(u.Approvals[0].By, "ann") || u.Approvals[0].At.IsZero()) {
				t.Errorf("who approved is not kept: %+v", u)
			}
			if ran := must(r.lastAttempt(Unit{Stage: 1, Title: "run"})).Number > 0; ran != (c.status == Done) {
				t.Errorf("the stage after it ran: %v", ran)
			}
			if c.status != Refused {
				return
			}
			if err := r.Drive(t.Context(), Drive{Approve: true, By: who("bob")}); err == nil || !strings.Contains(err.Error(), "denied by ann") {
				t.Errorf("denied, and then %v", err)
			}
		})
	}
}

// TestApprovalFromElsewhere: a waiting run goes on; the first answer counts.
func TestApprovalFromElsewhere(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", asking(time.Minute))
	if _, _, err := r.Decide(Decide(true, who("too early"), time.Now())); !errors.Is(err, ErrUsage) {
		t.Errorf("before it was asked: %v", err)
	}
	asked, ended := make(chan struct{}), make(chan error)
	go func() {
		ended <- r.Drive(t.Context(), Drive{By: who("here"), Ask: func(ctx context.Context, q string) (bool, bool) {
			close(asked)
			<-ctx.Done()
			return false, true // too late
		}})
	}()
	<-asked
	if s := th.status(r); s != Asking {
		t.Errorf("status %s", s)
	}
	elsewhere := must(Open(th.state).Get(r.ID))
	if stage, _, err := elsewhere.Decide(Decide(true, who("ann"), time.Now())); err != nil || stage != "approve" {
		t.Errorf("%s, %v", stage, err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if by := must(r.State()).Stages[0].Units[0].Approvals[0].By; by != "ann" {
		t.Errorf("approved by %s", by)
	}
	if _, _, err := elsewhere.Decide(Decide(false, who("bob"), time.Now())); !errors.Is(err, ErrUsage) {
		t.Errorf("a second answer: %v", err)
	}
}

// TestApprovalGoneOnWith: what exits because it waits goes on after the answer.
func TestApprovalGoneOnWith(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", asking(time.Minute))
	var w *Waiting
	for range 2 {
		if err := r.Drive(t.Context(), Drive{}); !errors.As(err, &w) || w.Question != "Go?" {
			t.Fatal(err)
		}
	}
	if _, _, err := r.Decide(Decide(true, who("ann"), time.Now())); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Decide(Decide(false, who("bob"), time.Now())); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "ann") {
		t.Errorf("another answer: %v", err)
	}
	if err := r.Drive(t.Context(), Drive{}); err != nil {
		t.Fatal(err)
	}
}

// TestApprovalByJenkins: the stage is done by who answered there.
func TestApprovalByJenkins(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", asking(time.Minute))
	if err := r.Stage(t.Context(), "approve", "", said("jane"), Drive{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Stage(t.Context(), "run", "", nil, Drive{}); err != nil {
		t.Fatal(err)
	}
	if by := must(r.State()).Stages[0].Units[0].Approvals[0].By; by != "jane (so says jenkins)" {
		t.Errorf("approved by %s", by)
	}
}
