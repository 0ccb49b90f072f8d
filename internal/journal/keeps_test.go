package journal

import (
	"errors"
	"strings"
	"testing"
)

// What a step keeps when the list fails is not said to be taken back.
func TestWhatStaysIsSaid(t *testing.T) {
	t.Parallel()
	var tr trace
	j := Open(openBook(t))
	for id, want := range map[string]string{"took back": "everything it had done was taken back", "kept": `what step "copy" has done so far stays`} {
		step := tr.step("copy", fails)
		step.Keeps = id == "kept"
		_, err := j.Run(t.Context(), Run{ID: id, Kind: "k", Subject: "s"}, []Step{step}, nil)
		var failure *Failure
		if !errors.As(err, &failure) || failure.Status != Undone || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", id, err)
		}
		if runs, err := j.Unfinished(t.Context()); err != nil || len(runs) != 0 {
			t.Errorf("%s: unfinished %v, %v", id, runs, err)
		}
	}
	if undone := strings.Join(tr.calls, ", "); strings.Count(undone, "undo copy") != 1 {
		t.Errorf("calls %s", undone)
	}
}
