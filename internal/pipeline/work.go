package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"godwit/internal/lockfile"
	"godwit/internal/masker"
)

const (
	// mercy is what a command gets to end by itself when it is told to.
	mercy = 20 * time.Second
	// drain bounds the wait for output after a command has ended: a process that
	// it left behind may hold the pipe.
	drain = 2 * time.Second
)

// Job is what a worker is told.
type Job struct {
	Run, Dir string
	Position int // of the stage
	Service  string
	Attempt  int
	Bake     []string // see Run
}

// Work is the life of a worker: it does one attempt of one unit, with this
// program as godwit. It returns without having done anything when another worker
// is at it, or has been.
func (rs Runs) Work(ctx context.Context, job Job) error {
	r, err := rs.Get(job.Run)
	if err != nil {
		return err
	}
	if job.Position < 0 || job.Position >= len(r.Pipeline.Stages) {
		return fmt.Errorf("%w: run %s has no stage %d", ErrUsage, job.Run, job.Position)
	}
	r.Dir, r.Bake = job.Dir, job.Bake
	number, u := job.Attempt, Unit{Stage: job.Position, Title: r.Pipeline.Stages[job.Position].Name, Service: job.Service}
	mine, err := r.share(ctx)
	if err != nil {
		return err
	}
	defer mine.Unlock()
	lock, err := hold(r.unitFile(u, "lock"))
	if lock == nil || err != nil {
		return err
	}
	defer lock.Close()
	last, err := r.lastAttempt(u)
	if err != nil || last.Number >= number {
		return err
	}
	if last.Worker != 0 && last.Boot == boot() {
		sweep(ctx, last.Worker, r.mark(u)) // of one that was killed
	}
	res, err := r.work(ctx, u, number)
	if err != nil {
		return err
	}
	return save(r.unitFile(u, "result.json"), res)
}

// work does the attempt, its log around it.
func (r *Run) work(ctx context.Context, u Unit, number int) (Result, error) {
	file, err := os.OpenFile(r.unitFile(u, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return Result{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return Result{}, errors.Join(err, file.Close())
	}
	res := Result{Unit: u, Attempt: number, Started: time.Now()}
	err = save(r.unitFile(u, "attempt.json"), attempt{Number: number, Worker: os.Getpid(), Boot: boot(), Started: res.Started, Log: info.Size()})
	if err != nil {
		return Result{}, errors.Join(err, file.Close())
	}
	log := &boundedLog{file: file, left: longestLog}
	values, short := r.secretValues()
	mask := masker.New(values).Writer(log)
	if len(short) > 0 {
		fmt.Fprintf(mask, "[godwit does not mask %s: values of less than %d characters]\n", strings.Join(short, ", "), masker.Shortest)
	}
	err = r.execute(ctx, u, mask)
	r.judge(ctx, u, &res, err)
	res.Ended = time.Now()
	return res, errors.Join(mask.Close(), log.Close())
}

// judge says how the attempt ended.
func (r *Run) judge(ctx context.Context, u Unit, res *Result, err error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		res.Exit = exit.ExitCode()
	}
	s := r.Pipeline.Stages[u.Stage]
	switch {
	case err == nil:
		res.Status = Done
	case ctx.Err() != nil:
		res.Status, res.Reason = Interrupted, "it was told to end"
		return
	case res.Exit == exitRefused && s.Run == nil:
		res.Status, res.Reason = Refused, "godwit refused it"
		return
	default:
		res.Status, res.Reason = Failed, err.Error()
		return
	}
	if !s.Build {
		return
	}
	if res.Image, err = imageDigest(r.imageDir(u.Service)); err != nil {
		res.Status, res.Reason = Failed, err.Error()
	}
}

// exitRefused is godwit's status for what a policy or a verdict refused.
const exitRefused = 3

// execute runs the unit's command. Nothing of it is left when it returns, but for
// what made itself a session of its own, as an engine does.
func (r *Run) execute(ctx context.Context, u Unit, out io.Writer) error {
	c, _, err := r.command(u)
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	if c.empty != "" {
		if err := errors.Join(os.RemoveAll(c.empty), os.MkdirAll(filepath.Dir(c.empty), 0o700)); err != nil {
			return err
		}
	}
	environment := r.environment(u)
	if c.temp != "" {
		if err := errors.Join(os.RemoveAll(c.temp), os.Mkdir(c.temp, 0o700)); err != nil {
			return err
		}
		defer os.RemoveAll(c.temp)
		environment = append(environment, "TMPDIR="+c.temp)
	}
	name := c.args[0]
	if !c.own {
		if name, err = os.Executable(); err != nil {
			return err
		}
	} else {
		c.args = c.args[1:]
	}
	if limit := r.Pipeline.Stages[u.Stage].Timeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %s", limit))
		defer cancel()
	}
	turn, err := r.queue(ctx, u, out)
	if err != nil {
		return err
	}
	defer turn()
	cmd := exec.Command(name, c.args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = c.dir, environment, follows()
	return conduct(ctx, cmd, out)
}

// queue waits for its turn to deploy where only one rollout goes at a time.
func (r *Run) queue(ctx context.Context, u Unit, out io.Writer) (end func(), err error) {
	place, err := siteOf(r.Site)
	if err != nil || !place.queues || r.Pipeline.Stages[u.Stage].Deploy == "" {
		return func() {}, err
	}
	path := filepath.Join(r.runs.dir(), "rollout.lock")
	turn, err := lockfile.Try(path, lockfile.Alone)
	if errors.Is(err, lockfile.ErrHeld) {
		fmt.Fprintln(out, "waits for its turn: site", place.name, "does one rollout at a time")
		turn, err = lockfile.Wait(ctx, path, lockfile.Alone)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return func() { _ = turn.Unlock() }, err
}

// conduct runs a command to its end, or to that of ctx.
func conduct(ctx context.Context, cmd *exec.Cmd, out io.Writer) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	cmd.Stdout, cmd.Stderr = write, write
	// The kernel ends the command with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	if err := errors.Join(err, write.Close()); err != nil {
		return err
	}
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(out, read)
		copied <- err
	}()
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		discipline(ctx, cmd.Process.Pid, ended)
	}()
	err = cmd.Wait()
	close(ended)
	<-watched
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind; mostly nothing
	sweep(context.WithoutCancel(ctx), os.Getpid(), "")
	_ = read.SetReadDeadline(time.Now().Add(drain))
	if e := <-copied; e != nil && !errors.Is(e, os.ErrDeadlineExceeded) {
		return errors.Join(err, e)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	return err
}

// discipline ends a command's group when ctx ends: gently, then not.
func discipline(ctx context.Context, group int, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	_ = syscall.Kill(-group, syscall.SIGINT)
	patience := time.NewTimer(mercy)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		_ = syscall.Kill(-group, syscall.SIGKILL)
		sweep(context.WithoutCancel(ctx), os.Getpid(), "")
	}
}
