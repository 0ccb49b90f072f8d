package api

import (
	"errors"
	"fmt"
	"testing"

	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/rollout"
)

// TestEndedRollout: what a person is told of a rollout, and what is an error.
func TestEndedRollout(t *testing.T) {
	t.Parallel()
	refused := fmt.Errorf("step judge: %w", &rollout.RefusedError{Reason: "p99 is twice as long"})
	broken := errors.New("no instance came up")
	taken := fmt.Errorf("step drain: %w", journal.ErrTaken)
	for name, c := range map[string]struct {
		status  journal.Status
		cause   error
		outcome string
		reason  string
		fine    bool
		err     error
	}{
		"done":               {journal.Done, nil, "done", "", true, nil},
		"refused":            {journal.Undone, refused, "refused", "p99 is twice as long", false, nil},
		"undone":             {journal.Undone, broken, "undone", "no instance came up", false, nil},
		"refused, and stuck": {journal.Stuck, refused, "stuck", refused.Error(), false, nil},
		"nothing begun":      {"", broken, "", "", false, broken},
		"another's":          {journal.Undone, taken, "undone", "", false, journal.ErrTaken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := rollout.Plan{Environment: "test", Service: "till", From: fleet.Release{Number: 3}, To: fleet.Release{Number: 4}}
			r, err := EndedRollout(p, journal.Outcome{Status: c.status, Steps: []journal.Result{{Name: "launch"}}}, c.cause)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if r.Outcome != c.outcome || r.Reason != c.reason || r.Fine() != c.fine {
				t.Errorf("%s, fine %v: %q", r.Outcome, r.Fine(), r.Reason)
			}
			if r.Environment != "test" || r.Service != "till" || r.From != 3 || r.To != 4 || len(r.Steps) != 1 {
				t.Errorf("got %+v", r)
			}
		})
	}
	if r := UnchangedRollout("test", "till", fleet.Release{Number: 3}); !r.Fine() || r.From != 3 || r.To != 3 || r.Outcome != "unchanged" {
		t.Errorf("got %+v", r)
	}
}
