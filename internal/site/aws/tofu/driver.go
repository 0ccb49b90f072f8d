// Package tofu drives `tofu` or `terraform` on the roots that godwit rendered:
// it plans, says what a plan does, applies it, and says what was done.
//
// Its nouns: a Program is the executable; a Root is a rendered directory with a
// state of its own; a Summary is what a plan would do, down to each Field, a value
// that changes; a Saved plan is bound to the rendered tree that it was made from;
// a Failure names what was done, what was not, and each Problem with its mend; a
// Reason is why a plan wants approval.
//
// It guarantees: no value that is marked sensitive leaves it; what holds such
// values (plans, states, logs) is readable by its owner only; a stale plan is
// not applied; an apply outlives the godwit that started it, so that the state
// is saved whoever is killed, and is found again by Attach; no state starts
// from nothing because one was not found.
//
// Whoever drives AWS imports it; it imports only pure packages and convention.
package tofu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"
)

// Driver runs one program on the roots of one landscape.
type Driver struct {
	Program  Program
	State    *State   // nil: each root keeps its state where it says itself
	Endpoint Endpoint // "": AWS itself
	// Env is added to the environment of the program, after that of this process.
	Env map[string]string
	// LockWait is how long a state that somebody else has locked is waited for; 10 seconds when 0.
	LockWait time.Duration
	// Progress is called with what happens, by one goroutine at a time; nil: nobody asks.
	Progress func(Event)
	Now      func() time.Time // time.Now when nil
}

func (d *Driver) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

func (d *Driver) tell(e Event) {
	if d.Progress == nil {
		return
	}
	if e.At.IsZero() {
		e.At = d.now()
	}
	d.Progress(e)
}

func (d *Driver) lockWait() time.Duration {
	if d.LockWait == 0 {
		return 10 * time.Second
	}
	return d.LockWait
}

// stopWait is what a program that only reads gets to stop in.
const stopWait = time.Minute

// exec is a new handle for every command: tfexec keeps writers from one to the
// next, and what `show` writes is not for them.
func (d *Driver) exec(r Root) (*tfexec.Terraform, error) {
	tf, err := tfexec.NewTerraform(r.path(), d.Program.Path)
	if err != nil {
		return nil, err
	}
	if err := tf.SetEnv(d.environment()); err != nil {
		return nil, err
	}
	tf.SetLogger(log.New(io.Discard, "", 0))
	return tf, tf.SetWaitDelay(stopWait)
}

// ignored variables would change what a command does behind godwit's back.
var ignored = []string{"TF_DATA_DIR", "TF_WORKSPACE", "TF_STATE_PERSIST_INTERVAL"}

// environment of the program: that of this process, without what alters
// Terraform's commands.
func (d *Driver) environment() map[string]string {
	env := inherited(d.Env)
	if d.Endpoint != "" {
		// An emulator knows nothing of the machine that this runs on.
		env["AWS_EC2_METADATA_DISABLED"] = "true"
	}
	return env
}

func inherited(more map[string]string) map[string]string {
	env := map[string]string{}
	for _, pair := range os.Environ() {
		if name, value, ok := strings.Cut(pair, "="); ok && name != "" {
			env[name] = value
		}
	}
	maps.Copy(env, more)
	env = tfexec.CleanEnv(env)
	for _, name := range ignored {
		delete(env, name)
	}
	// A configuration that is not there is ignored by the program, with a warning
	// where tfexec looks for a version.
	if _, err := os.Stat(env[cliConfig]); err != nil {
		delete(env, cliConfig)
	}
	env["CHECKPOINT_DISABLE"] = "1"
	return env
}

const cliConfig = "TF_CLI_CONFIG_FILE"

// ErrUnlocked: there is no lock to remove.
var ErrUnlocked = errors.New("is not locked")

// unlocked is what S3 says of a lock that is not in the bucket.
var unlocked = regexp.MustCompile(`NoSuchKey`)

// Unlock removes a lock that nobody holds any more, by its id. ErrUnlocked: there
// is none.
func (d *Driver) Unlock(ctx context.Context, r Root, id string) error {
	return d.alone(r, func() error {
		if _, err := d.prepare(ctx, r); err != nil {
			return err
		}
		tf, err := d.exec(r)
		if err != nil {
			return err
		}
		err = tf.ForceUnlock(ctx, id)
		if err != nil && unlocked.MatchString(err.Error()) {
			return fmt.Errorf("%s %w: there is nothing to unlock", r.Name, ErrUnlocked)
		}
		if err != nil {
			return d.failure("unlock", r, nil, err)
		}
		return nil
	})
}

// Push saves a state that the program could not save when it applied
// (errored.tfstate), and removes the file once it is saved.
func (d *Driver) Push(ctx context.Context, r Root) error {
	return d.alone(r, func() error {
		if !r.has(erroredState) {
			return fmt.Errorf("%s has no %s: nothing is to be saved", r.Name, erroredState)
		}
		if _, err := d.prepare(ctx, r); err != nil {
			return err
		}
		tf, err := d.exec(r)
		if err != nil {
			return err
		}
		if err := tf.StatePush(ctx, erroredState, tfexec.LockTimeout(d.lockWait().String())); err != nil {
			return d.failure("push the state of", r, nil, err)
		}
		return r.remove(erroredState)
	})
}

// Adopt takes into the state what an apply made that was cut off before it could
// write that down. What AWS does not find by the id is an error; the rest is adopted.
func (d *Driver) Adopt(ctx context.Context, r Root, lost []Lost, o PlanOptions) error {
	return d.alone(r, func() error {
		if _, err := d.prepare(ctx, r); err != nil {
			return err
		}
		var all error
		for _, l := range lost {
			all = errors.Join(all, d.adopt(ctx, r, l, o))
		}
		return errors.Join(all, r.lockDown())
	})
}

func (d *Driver) adopt(ctx context.Context, r Root, l Lost, o PlanOptions) error {
	vars, dir, err := variables(o, r.file(private))
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	options := []tfexec.ImportOption{tfexec.LockTimeout(d.lockWait().String())}
	for _, name := range vars {
		options = append(options, tfexec.VarFile(name))
	}
	tf, err := d.exec(r)
	if err != nil {
		return err
	}
	if err := tf.Import(ctx, l.Address, l.ID, options...); err != nil {
		return d.failure("adopt "+l.Address+" into", r, nil, err)
	}
	return nil
}
