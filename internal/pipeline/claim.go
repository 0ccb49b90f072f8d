package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"godwit/internal/lockfile"
)

// claim makes sure that nobody else drives the pipeline here, and that nobody
// removes the run, until release is called.
func (r *Run) claim(ctx context.Context, kind lockfile.Kind) (release func(), err error) {
	if machine, err := os.Hostname(); err != nil || machine != r.Machine {
		return nil, errors.Join(err, fmt.Errorf("%w: run %s has its images and logs on %s, this is %s: go on there", ErrUsage, r.ID, r.Machine, machine))
	}
	mine, err := r.share(ctx)
	if err != nil {
		return nil, err
	}
	driver, err := claim(ctx, r.lockPath(), r.ID, kind)
	if err != nil {
		return nil, errors.Join(err, mine.Unlock())
	}
	release = func() { _, _ = mine.Unlock(), driver.Unlock() }
	if kind == lockfile.Alone {
		if err := r.alone(); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

// Free says whether a run could be driven now, or only a stage of it when it is not
// to be alone: ErrBusy or *Damaged when it could not. It writes no run down, so that
// one which is refused leaves nothing. Somebody may still be faster: Drive decides.
func (rs Runs) Free(ctx context.Context, p Plan, alone bool) error {
	kind := lockfile.Shared // single stages go side by side
	if alone {
		kind = lockfile.Alone
	}
	if _, err := os.Stat(rs.dir()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r := &Run{Landscape: p.Landscape.Name, Pipeline: p.Pipeline, runs: rs}
	driver, err := wait(ctx, r.lockPath(), kind)
	if err != nil {
		return err
	}
	if alone {
		err = r.alone()
	}
	return errors.Join(err, driver.Unlock())
}

// alone refuses to drive beside the workers of another run of the pipeline.
func (r *Run) alone() error {
	others, err := r.siblings()
	for _, o := range others {
		if err == nil && o.alive() {
			err = fmt.Errorf("%w: %s, though its runner is gone; attach to it with godwit pipeline run --resume %s", ErrBusy, o.ID, o.ID)
		}
	}
	return err
}

// share keeps the run from being removed.
func (r *Run) share(ctx context.Context) (*lockfile.Lock, error) {
	l, err := lockfile.Wait(ctx, r.usePath(), lockfile.Shared)
	if errors.Is(err, fs.ErrNotExist) {
		err = r.runs.notFound(r.ID)
	}
	return l, err
}

// usePath is the file that whoever works on the run shares the lock of.
func (r *Run) usePath() string { return filepath.Join(r.dir, "lock") }

// claim keeps other runners of a pipeline away until it is unlocked; shared
// claims, those of single stages, only keep runners away.
func claim(ctx context.Context, path, run string, kind lockfile.Kind) (*lockfile.Lock, error) {
	l, err := wait(ctx, path, kind)
	if err != nil {
		return nil, err
	}
	if err := l.Sign(run); err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	return l, nil
}

// wait takes a pipeline's lock. It tries for a moment: a worker that a killed runner
// was just starting has the runner's files until it is a program of its own.
func wait(ctx context.Context, path string, kind lockfile.Kind) (*lockfile.Lock, error) {
	moment, cancel := context.WithTimeout(ctx, 5*look)
	defer cancel()
	l, err := lockfile.Wait(moment, path, kind)
	if err != nil && ctx.Err() == nil && moment.Err() != nil {
		err = fmt.Errorf("%w: %s; follow it with godwit pipeline show, or when its runner is dead, go on with godwit pipeline run --resume ID",
			ErrBusy, lockfile.Holder(path))
	}
	return l, err
}

// pause waits a moment, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
