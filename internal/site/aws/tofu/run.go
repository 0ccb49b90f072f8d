package tofu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	runFile = private + "/run.json"
	runLog  = private + "/run.log"
	runErr  = private + "/run.err"
)

// gate keeps a process from becoming the program until it is given a line: before
// that it is written down. Who is killed in between lets go of the pipe, and the
// process ends without having begun.
const gate = `read -r go && exec "$@" </dev/null`

// RunningError: an apply whose godwit has ended is still at work.
type RunningError struct {
	Root  string
	PID   int
	Since time.Time
}

func (e *RunningError) Error() string {
	return fmt.Sprintf("an apply of %s that began at %s is still at work (process %d), though the godwit that began it has ended: wait for it, or run `godwit aws apply` again, which follows it to its end",
		e.Root, e.Since.Format(time.RFC3339), e.PID)
}

// Unwrap: somebody is at work.
func (e *RunningError) Unwrap() error { return ErrBusy }

// run is a program that applies. It is started here and not through tfexec: that
// kills it together with its parent, and so what AWS had just made would be in
// no state. It writes into files, lives in a session of its own, and is found
// again by its record.
type run struct {
	Root  Root      `json:"root"`
	PID   int       `json:"pid"`
	Born  string    `json:"born"` // as the system tells processes apart that had the same number
	Since time.Time `json:"since"`
	Saved Saved     `json:"saved"`

	process *os.Process
	ended   chan error // nil of a run that another godwit began
}

func (d *Driver) start(s Saved, o ApplyOptions) (*run, error) {
	r := s.Root
	if err := d.override(r, s.Place == localPlace); err != nil {
		return nil, err
	}
	parallel := o.Parallel
	if parallel == 0 {
		parallel = 10
	}
	args := []string{"apply", "-json", "-no-color", "-input=false", "-lock-timeout=" + d.lockWait().String(), "-parallelism=" + strconv.Itoa(parallel), s.Path}
	cmd := exec.Command("/bin/sh", append([]string{"-c", gate, "godwit", d.Program.Path}, args...)...)
	cmd.Dir = r.path()
	for name, value := range d.environment() {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, "TF_IN_AUTOMATION=1")
	detach(cmd)
	out, err := os.OpenFile(r.file(runLog), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	complaints, err := os.OpenFile(r.file(runErr), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = complaints.Close() }()
	cmd.Stdout, cmd.Stderr = out, complaints
	opener, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	w := &run{Root: r, Since: d.now().UTC(), Saved: s, ended: make(chan error, 1)}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w.PID, w.process = cmd.Process.Pid, cmd.Process
	w.Born = born(w.PID)
	if err := writePrivateJSON(r.file(runFile), w); err != nil {
		_ = opener.Close()
		_ = cmd.Wait() // it ends without having begun
		return nil, err
	}
	_, _ = io.WriteString(opener, "\n") // fails only if it has ended, which follow will see
	_ = opener.Close()
	go func() { w.ended <- cmd.Wait() }() // ends with the program; follow waits for it
	return w, nil
}

func loadRun(r Root) (*run, error) {
	b, err := r.read(runFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var w run
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("%s is not godwit's: %w", r.file(runFile), err)
	}
	w.Root = r
	return &w, nil
}

// alive: the program of the record is still there.
func (w *run) alive() bool { return w.PID > 0 && present(w.PID) && born(w.PID) == w.Born }

// Attach follows an apply whose godwit has ended, to its end.
func (d *Driver) Attach(ctx context.Context, r Root, o ApplyOptions) (Result, error) {
	result := Result{Root: r.Name}
	err := d.alone(r, func() error {
		w, err := loadRun(r)
		if err != nil {
			return err
		}
		if w == nil {
			return fmt.Errorf("no apply of %s is at work: there is nothing to watch", r.Name)
		}
		if w.alive() {
			if w.process, err = os.FindProcess(w.PID); err != nil {
				return err
			}
		}
		result.Outcome, err = d.follow(ctx, w, o.Hurry)
		result.Elapsed = d.now().Sub(w.Since)
		return d.after(context.WithoutCancel(ctx), w.Saved, err)
	})
	return result, err
}

const (
	look     = 100 * time.Millisecond // between two looks at the log
	lastWait = 10 * time.Second       // from the hardest request to the end by force
)

// follow reads what the program writes until it ends, and passes on requests to stop.
func (d *Driver) follow(ctx context.Context, w *run, hurry <-chan struct{}) (Outcome, error) {
	count := newTally(w.Saved.Summary.Changes())
	watch := newWatcher(d, count)
	log, err := os.Open(w.Root.file(runLog))
	if err != nil {
		return Outcome{}, err
	}
	defer func() { _ = log.Close() }()
	status := d.wait(ctx, w, hurry, func() error {
		_, err := io.Copy(watch, log)
		watch.beat()
		return err
	})
	if err := errors.Join(w.Root.lockDown(), status.read); err != nil {
		return Outcome{}, err
	}
	whole := status.exit == nil && len(watch.problems) == 0 && watch.complete
	outcome := count.outcome(whole)
	if err := w.Root.remove(runFile); err != nil {
		return outcome, err
	}
	if whole {
		return outcome, nil
	}
	return outcome, d.broken(w, watch, status, outcome)
}

// broken says why an apply did not come to its end.
func (d *Driver) broken(w *run, watch *watcher, s status, outcome Outcome) error {
	what := "apply"
	if w.Saved.Destroy {
		what = "destroy"
	}
	cause := s.exit
	if len(watch.problems) == 0 {
		b, _ := w.Root.read(runErr)
		text := strings.TrimSpace(string(b) + "\n" + strings.Join(watch.stray, "\n"))
		if text == "" {
			text = fmt.Sprintf("the program ended before its work did (%v)", s.exit)
		}
		cause = errors.New(text)
	}
	if s.stopped {
		cause = context.Canceled
	}
	err := d.failure(what, w.Root, watch, cause)
	var f *Failure
	if errors.As(err, &f) {
		f.Outcome = &outcome
		if w.Root.has(erroredState) {
			f.Problems = append(f.Problems, Problem{Kind: ErrUnsaved, Summary: "the state could not be saved", File: w.Root.file(erroredState), Line: 1,
				Mend: fmt.Sprintf("that file is the only record of what was made: mend the cause, then `godwit aws apply %s --push`", w.Root.flag())})
		}
	}
	return err
}
