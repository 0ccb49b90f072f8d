package pipeline

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDamaged: a run that somebody has damaged hides no other. It is shown, with a
// mend, and nothing is deployed beside it: it may have been the last to deploy.
func TestDamaged(t *testing.T) {
	t.Parallel()
	overwrite := func(name, text string) func(*Run) error {
		return func(r *Run) error { return os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600) }
	}
	const unit = "01-run/all/"
	for name, c := range map[string]struct {
		harm func(r *Run) error
		says string
	}{
		"cut":         {overwrite("run.json", `{"id": "ti`), "unexpected end"},
		"empty":       {overwrite("run.json", ""), "unexpected end"},
		"null":        {overwrite("run.json", "null"), `that of a run ""`},
		"of another":  {overwrite("run.json", `{"id": "x"}`), `that of a run "x"`},
		"no pipeline": {func(r *Run) error { return overwrite("run.json", `{"id": "`+r.ID+`"}`)(r) }, "names no pipeline"},
		"gone":        {func(r *Run) error { return os.Remove(filepath.Join(r.dir, "run.json")) }, "its run.json is gone"},
		"a directory": {func(r *Run) error {
			p := filepath.Join(r.dir, "run.json")
			return errors.Join(os.Remove(p), os.Mkdir(p, 0o700))
		}, "is a directory"},
		"renamed":      {func(r *Run) error { return os.Rename(r.dir, filepath.Join(filepath.Dir(r.dir), "copy")) }, "it is called copy"},
		"cut result":   {overwrite(unit+"result.json", "{"), "unexpected end"},
		"other result": {overwrite(unit+"result.json", `{"status": 3}`), "cannot unmarshal"},
		"cut attempt":  {overwrite(unit+"attempt.json", "{"), "unexpected end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			th := newTheatre(t)
			first, broken, last := th.begin("local", shell("true", time.Minute)), th.begin("local", shell("true", time.Minute)), th.begin("local", shell("true", time.Minute))
			if err := errors.Join(broken.Drive(t.Context(), Drive{}), c.harm(broken)); err != nil {
				t.Fatal(err)
			}
			states, damaged, err := Open(th.state).States()
			if err != nil || len(states) != 2 || states[0].ID != first.ID || states[1].ID != last.ID {
				t.Errorf("listed %+v, %v", states, err)
			}
			if len(damaged) != 1 || !strings.Contains(damaged[0].Reason, c.says) || name != "renamed" && damaged[0].ID != broken.ID ||
				!strings.Contains(damaged[0].Mend, "move "+damaged[0].Dir+" out of ") {
				t.Fatalf("damaged: %+v, want %q", damaged, c.says)
			}
			pruned := must(Open(th.state).Prune(t.Context(), Prune{Keep: 1}))
			if len(pruned.Removed) != 0 || pruned.kept(damaged[0].ID) == "" {
				t.Errorf("pruned: %+v", pruned)
			}
			if !strings.Contains(name, "result") && !strings.Contains(name, "attempt") {
				if err := last.Drive(t.Context(), Drive{}); err == nil || !strings.Contains(err.Error(), damaged[0].Mend) {
					t.Errorf("another run beside it: %v", err)
				}
			}
			if err := os.Rename(damaged[0].Dir, filepath.Join(t.TempDir(), "away")); err != nil { // the mend
				t.Fatal(err)
			}
			if err := last.Drive(t.Context(), Drive{}); err != nil {
				t.Errorf("mended: %v", err)
			}
		})
	}
}

// TestNeverBegan: the directory of a run that was killed before it began is none,
// and neither is what else lies there.
func TestNeverBegan(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", shell("true", time.Minute))
	for _, name := range []string{"early", "killed", ".removed-old"} {
		if err := os.Mkdir(filepath.Join(r.runs.dir(), name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(r.runs.dir(), "killed", ".run.json-123"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	states, damaged, err := Open(th.state).States()
	if err != nil || len(states) != 1 || len(damaged) != 0 {
		t.Errorf("%+v, %+v, %v", states, damaged, err)
	}
}
