package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"godwit/internal/lockfile"
)

// Keep is how many ended runs of a pipeline stay when nobody says.
const Keep = 50

// Prune says which runs are to go.
type Prune struct {
	Keep int  // so many of the newest ended runs of each pipeline stay; at least 1
	Of   *Run // only those of the pipeline that this is a run of; nil: of all
	Dry  bool // only say what would go
}

// Pruned is what Prune did.
type Pruned struct {
	Removed   []PrunedRun `json:"removed"`
	Kept      []PrunedRun `json:"kept"`
	Leftovers int         `json:"leftovers"` // of an earlier prune that was killed, removed now
}

// PrunedRun is a run that Prune looked at.
type PrunedRun struct {
	ID      string    `json:"id"`
	Started time.Time `json:"started,omitzero"`
	Status  Status    `json:"status,omitempty"`
	Why     string    `json:"why,omitempty"` // it was kept
	Newest  bool      `json:"newest,omitempty"`
}

// idle is when a run that never began a stage goes. Its runner was refused or killed;
// a younger one's may be just about to begin.
const idle = time.Hour

// Prune removes old runs, with their logs and images, and those that an hour ago were
// begun and never came to a stage. Never one that is otherwise unfinished or waits, that a process is at work on, that is damaged, or that was the last of
// its pipeline to deploy into an environment: by that an older run knows that it is
// overtaken. Killed at any moment it leaves every run whole or gone; what it had
// not yet deleted the next call deletes.
func (rs Runs) Prune(ctx context.Context, p Prune) (Pruned, error) {
	done := Pruned{Removed: []PrunedRun{}, Kept: []PrunedRun{}}
	if p.Keep < 1 {
		return done, fmt.Errorf("%w: at least one ended run stays, not %d", ErrUsage, p.Keep)
	}
	if _, err := os.Stat(rs.dir()); errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	one, err := lockfile.Wait(ctx, filepath.Join(rs.dir(), "prune.lock"), lockfile.Alone)
	if err != nil {
		return done, err
	}
	defer one.Unlock()
	var left error // does not keep the others
	if !p.Dry {
		done.Leftovers, left = rs.clear()
	}
	all, broken, err := rs.All()
	if err != nil {
		return done, errors.Join(left, err)
	}
	for _, d := range broken {
		done.Kept = append(done.Kept, PrunedRun{ID: d.ID, Why: "it is damaged: " + d.Mend})
	}
	seen := map[string]*newest{}
	for _, r := range slices.Backward(all) { // the newest first
		if ctx.Err() != nil {
			return done, errors.Join(left, ctx.Err())
		}
		if p.Of == nil || p.Of.like(r) {
			left = errors.Join(left, done.look(r, p, seen))
		}
	}
	return done, left
}

// look removes a run or keeps it.
func (done *Pruned) look(r *Run, p Prune, seen map[string]*newest) error {
	line := safeName(r.Landscape) + "/" + safeName(r.Pipeline.Name)
	if seen[line] == nil {
		seen[line] = &newest{deployed: map[string]bool{}}
	}
	looked, err := r.prune(p, seen[line])
	if err != nil {
		looked.Why = "it cannot be removed: " + err.Error()
	}
	if looked.Why == "" {
		done.Removed = append(done.Removed, looked)
	} else {
		done.Kept = append(done.Kept, looked)
	}
	return err
}

// newest is what was seen of the newer runs of a pipeline.
type newest struct {
	ended    int
	deployed map[string]bool // environments
}

// prune removes a run, or says why not.
func (r *Run) prune(p Prune, newer *newest) (PrunedRun, error) {
	looked := PrunedRun{ID: r.ID, Started: r.Started}
	s, err := r.State()
	if err == nil {
		looked.Status = s.Status
		looked.Why, looked.Newest, err = r.worth(s, p.Keep, newer)
	}
	var d *Damaged
	if errors.As(err, &d) {
		looked.Why, err = "it is damaged: "+d.Mend, nil
	}
	if err == nil && looked.Why == "" {
		looked.Why, err = r.remove(p.Dry)
	}
	return looked, err
}

// worth says why a run is kept; "" when it is not.
func (r *Run) worth(s State, keep int, newer *newest) (why string, newest bool, err error) {
	for _, stage := range r.Pipeline.Stages {
		env := stage.Deploy
		if env == "" || newer.deployed[env] {
			continue
		}
		deployed, err := r.deployedTo(env)
		if err != nil {
			return "", false, err
		}
		if deployed {
			newer.deployed[env] = true
			why = "it was the last that deployed to " + env
		}
	}
	if s.Status == Asking {
		return "it waits for an approval: give it, or deny it, with godwit pipeline approve " + r.ID, false, nil
	}
	if stale, err := r.stale(); err != nil || stale {
		return "", false, err
	}
	if !s.Ended() {
		return "it has not ended: go on with godwit pipeline run --resume " + r.ID, false, nil
	}
	if newer.ended++; newer.ended <= keep {
		if keep == 1 {
			return "it is the newest", true, nil
		}
		return fmt.Sprintf("it is one of the newest %d", keep), true, nil
	}
	return why, false, nil
}

// stale says that a run was begun long ago and never came to a stage: nothing of it
// is worth going on with.
func (r *Run) stale() (bool, error) {
	if time.Since(r.Started) < idle {
		return false, nil
	}
	for i := range r.Pipeline.Stages {
		for _, u := range units(r.Pipeline, i) {
			if _, err := os.Stat(r.unitDir(u)); !errors.Is(err, fs.ErrNotExist) {
				return false, err
			}
		}
	}
	return true, nil
}

// removed begins the name of a directory that is no run any more.
const removed = ".removed-"

// remove takes the run away at once, then deletes it. It says why not when a
// process is at work on it, or has been since it was looked at.
func (r *Run) remove(dry bool) (why string, err error) {
	mine, err := lockfile.Try(r.usePath(), lockfile.Alone)
	if errors.Is(err, lockfile.ErrHeld) {
		return "a process is at work on it", nil
	}
	if err != nil {
		return "", err
	}
	defer mine.Unlock()
	s, err := r.State()
	if err != nil {
		return "", err
	}
	stale, err := r.stale()
	if err != nil {
		return "", err
	}
	if !s.Ended() && !stale || r.alive() {
		return "it is gone on with", nil
	}
	if dry {
		return "", nil
	}
	gone := filepath.Join(r.runs.dir(), removed+filepath.Base(r.dir))
	if err := os.Rename(r.dir, gone); err != nil {
		return "", err
	}
	return "", errors.Join(syncDir(r.runs.dir()), os.RemoveAll(gone))
}

// clear deletes what killed calls of Prune have left.
func (rs Runs) clear() (cleared int, err error) {
	entries, err := os.ReadDir(rs.dir())
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), removed) {
			continue
		}
		if failed := os.RemoveAll(filepath.Join(rs.dir(), e.Name())); failed != nil {
			err = errors.Join(err, failed)
		} else {
			cleared++
		}
	}
	return cleared, err
}
