package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is what a worker gets to end its command when it is told to.
const patience = mercy + 10*time.Second

// attach brings a unit to an end: by a worker that is at it already, or by a new
// one, or not at all when it is done. When ctx ends, so does the worker. A failure
// that nobody has seen yet is told before the unit is tried again.
func (r *Run) attach(ctx context.Context, u Unit, watch Watch) (Result, error) {
	res, a, err := r.stand(u)
	if err != nil || res.finished() {
		return res, err
	}
	var own *hireling
	working := holder(r.unitFile(u, "lock")) != 0
	switch {
	case working:
		watch(Event{Unit: u, Moment: Attached})
	case res.Attempt == a.Number && r.unseen(u, res):
		watch(Event{Unit: u, Moment: Attached})
	default:
		_, skip, err := r.command(u)
		if err != nil {
			return res, err
		}
		if skip != "" {
			return r.skip(u, skip)
		}
		watch(Event{Unit: u, Moment: Begun})
		if own, err = r.hire(u, a.Number+1); err != nil {
			return res, err
		}
	}
	if err := r.follow(ctx, u, own, watch); err != nil {
		return res, err
	}
	return r.outcome(u, own)
}

func (r *Run) stand(u Unit) (Result, attempt, error) {
	// In this order: a result is never older than the attempt that was read.
	a, err := r.lastAttempt(u)
	if err != nil {
		return Result{}, a, err
	}
	res, err := r.result(u)
	return res, a, err
}

func (r *Run) unseen(u Unit, res Result) bool {
	var seen int
	_, err := load(r.unitFile(u, "seen.json"), &seen)
	return err == nil && (res.Status == Failed || res.Status == Refused) && seen < res.Attempt
}

func (r *Run) skip(u Unit, why string) (Result, error) {
	if err := os.MkdirAll(r.unitDir(u), 0o700); err != nil {
		return Result{}, err
	}
	res := Result{Unit: u, Status: Skipped, Started: time.Now(), Ended: time.Now(), Reason: why}
	return res, save(r.unitFile(u, "result.json"), res)
}

// outcome is what the attempt that was followed came to.
func (r *Run) outcome(u Unit, own *hireling) (Result, error) {
	res, a, err := r.stand(u)
	if err != nil {
		return res, err
	}
	if a.Number == 0 || res.Attempt < a.Number {
		res = Result{Unit: u, Status: Interrupted, Attempt: a.Number, Started: a.Started, Reason: "its worker was killed"}
		if own != nil {
			res.Reason = own.complaint(res.Reason)
		}
		return res, nil
	}
	return res, save(r.unitFile(u, "seen.json"), res.Attempt)
}

// hireling is a worker that this process has started.
type hireling struct {
	process *os.Process
	number  int // of its attempt
	ended   chan struct{}
	errors  string // file
}

// hire starts a worker in a session of its own.
func (r *Run) hire(u Unit, number int) (*hireling, error) {
	if err := os.MkdirAll(r.unitDir(u), 0o700); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	h := &hireling{number: number, ended: make(chan struct{}), errors: r.unitFile(u, "worker.err")}
	complaints, err := os.OpenFile(h.errors, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer complaints.Close()
	args := []string{"pipeline", "work", "--state", r.runs.state, "--run", r.ID, "--dir", r.Dir,
		"--position", strconv.Itoa(u.Stage), "--service", u.Service, "--attempt", strconv.Itoa(number)}
	for _, arg := range r.Bake {
		args = append(args, "--bake", arg)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stderr, cmd.SysProcAttr = r.dir, complaints, leads()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	h.process = cmd.Process
	go func() { // ends with the worker, or with this process
		_ = cmd.Wait() // how it ended stands in its result
		close(h.ended)
	}()
	return h, nil
}

// complaint is what a worker said when it could not even write a result.
func (h *hireling) complaint(otherwise string) string {
	f, err := os.Open(h.errors)
	if err != nil {
		return otherwise
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, 2000))
	if s := strings.TrimSpace(string(text)); s != "" {
		return s
	}
	return otherwise
}

// attempt is the first one that is worth showing.
func (h *hireling) attempt() int {
	if h == nil {
		return 0
	}
	return h.number
}

func (h *hireling) gone() bool {
	if h == nil {
		return true
	}
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

// follow shows the log of a unit until nobody works on it any more.
func (r *Run) follow(ctx context.Context, u Unit, own *hireling, watch Watch) error {
	show := &tail{path: r.unitFile(u, "log"), from: own.attempt(), lines: lineCutter{line: func(text string) {
		watch(Event{Unit: u, Moment: Line, Text: text})
	}}}
	defer show.close()
	lock := r.unitFile(u, "lock")
	var told time.Time
	for {
		gone := own.gone() && holder(lock) == 0 // before the last look at the log
		a, err := r.lastAttempt(u)
		if err == nil {
			err = show.more(a)
		}
		if err != nil || gone {
			return err
		}
		switch {
		case ctx.Err() != nil && told.IsZero():
			told = time.Now()
			if own != nil {
				_ = own.process.Signal(syscall.SIGTERM) // it may have ended by itself
			}
			end(lock, true)
		case !told.IsZero() && time.Since(told) > patience:
			end(lock, false)
			sweep(context.WithoutCancel(ctx), a.Worker, r.mark(u))
		}
		if told.IsZero() {
			pause(ctx, look/2)
		} else {
			pause(context.WithoutCancel(ctx), look/2)
		}
	}
}

// tail reads what is added to a log.
type tail struct {
	path   string
	file   *os.File
	from   int // attempts before it are of no interest
	number int
	at     int64
	lines  lineCutter
}

func (t *tail) more(a attempt) error {
	if t.number < a.Number {
		t.number, t.at = a.Number, a.Log
	}
	if t.number == 0 || t.number < t.from {
		return nil
	}
	if t.file == nil {
		f, err := os.Open(t.path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		t.file = f
	}
	n, err := io.Copy(&t.lines, io.NewSectionReader(t.file, t.at, 1<<62))
	t.at += n
	return err
}

func (t *tail) close() {
	t.lines.flush()
	if t.file != nil {
		t.file.Close()
	}
}

// Log opens the log of a unit, all attempts of it. nil when it has none yet.
func (r *Run) Log(u Unit) (*os.File, error) {
	f, err := os.Open(r.unitFile(u, "log"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

// Lines calls f with each line of a unit's log, clean.
func (r *Run) Lines(u Unit, f func(line string) error) error {
	log, err := r.Log(u)
	if log == nil || err != nil {
		return err
	}
	defer log.Close()
	cut := lineCutter{line: func(text string) {
		if err == nil {
			err = f(text)
		}
	}}
	_, broken := io.Copy(&cut, log)
	cut.flush()
	return errors.Join(err, broken)
}

// Tail are the last lines of a unit's log, clean.
func (r *Run) Tail(u Unit, lines int) ([]string, error) {
	f, err := r.Log(u)
	if f == nil || err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	const longest = 32 << 10
	from := max(0, info.Size()-longest)
	var all []string
	cut := lineCutter{line: func(text string) { all = append(all, text) }}
	if _, err := io.Copy(&cut, io.NewSectionReader(f, from, longest)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	cut.flush()
	return all[max(0, len(all)-lines):], nil
}
