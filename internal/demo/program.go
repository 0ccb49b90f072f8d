package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// program is godwit itself, run as a user would: the demo uses no other way in.
type program struct {
	path     string
	state    string
	env      []string
	progress io.Writer
}

// commandEnd bounds the wait for a command after it was interrupted.
const commandEnd = 90 * time.Second

// run runs a command and reads its JSON into result, unless that is nil. The
// exit status comes back; an error means that there was none, or no JSON.
func (p *program) run(ctx context.Context, result any, args ...string) (exit int, err error) {
	var stdout bytes.Buffer
	cmd := p.command(ctx, args...)
	cmd.Stdout = &stdout
	err = cmd.Run()
	var status *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 1, ctx.Err()
	case errors.As(err, &status):
		exit = status.ExitCode()
	case err != nil:
		return 1, fmt.Errorf("godwit %s: %w", args[0], err)
	}
	var failed struct {
		Failure *struct{ Message string } `json:"failure"`
	}
	if json.Unmarshal(stdout.Bytes(), &failed) == nil && failed.Failure != nil {
		return exit, fmt.Errorf("godwit %v: %s", args, failed.Failure.Message)
	}
	if result == nil {
		return exit, nil
	}
	if err := json.Unmarshal(stdout.Bytes(), result); err != nil {
		return exit, fmt.Errorf("godwit %v: exit status %d and no JSON: %w", args, exit, err)
	}
	return exit, nil
}

// must is run where anything but success ends the demo.
func (p *program) must(ctx context.Context, result any, args ...string) error {
	exit, err := p.run(ctx, result, args...)
	if err == nil && exit != 0 {
		err = fmt.Errorf("godwit %v: exit status %d", args, exit)
	}
	return err
}

// command is interrupted, not killed, when ctx ends: it cleans up after itself.
func (p *program) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path, append([]string{"--state", p.state, "--json"}, args...)...)
	cmd.Env = environ(p.env...)
	cmd.Stderr = p.progress
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = commandEnd
	return cmd
}
