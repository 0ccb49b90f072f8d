package stand

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

// Program is godwit itself, run as a user would: the demo uses no other way in.
type Program struct {
	Path     string    // of the binary
	State    string    // directory
	Env      []string  // added to this process's
	Progress io.Writer // of the commands
}

// commandEnd bounds the wait for a command after it was interrupted.
const commandEnd = 90 * time.Second

// Run runs a command and reads its JSON into result, unless that is nil. The
// exit status comes back; an error means that there was none, or no JSON.
func (p *Program) Run(ctx context.Context, result any, args ...string) (exit int, err error) {
	var stdout bytes.Buffer
	cmd := p.Command(ctx, args...)
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

// Must is Run where anything but success ends the demo.
func (p *Program) Must(ctx context.Context, result any, args ...string) error {
	exit, err := p.Run(ctx, result, args...)
	if err == nil && exit != 0 {
		err = fmt.Errorf("godwit %v: exit status %d", args, exit)
	}
	return err
}

// Command is interrupted, not killed, when ctx ends: it cleans up after itself.
func (p *Program) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.Path, append([]string{"--state", p.State, "--json"}, args...)...)
	cmd.Env = environ(p.Env...)
	cmd.Stderr = p.Progress
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = commandEnd
	return cmd
}
