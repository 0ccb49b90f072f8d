package tofu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"
)

// PlanOptions say what to plan.
type PlanOptions struct {
	Vars        map[string]any // passed by a file, for others can read a command line
	VarFiles    []string
	Out         string // where the plan is saved; in the root's private directory when ""
	RefreshOnly bool   // only what was changed outside
	Destroy     bool   // to end everything in the root
}

// Saved is a plan that can be applied, as long as what it was made from is unchanged.
type Saved struct {
	Path        string    `json:"path"`
	Root        Root      `json:"root"`
	Tree        string    `json:"tree"` // digest of the rendered tree
	Plan        string    `json:"plan"` // digest of the plan
	Made        time.Time `json:"made"`
	Program     string    `json:"program"`
	Endpoint    Endpoint  `json:"endpoint,omitempty"`
	Place       place     `json:"place"`
	Destroy     bool      `json:"destroy,omitempty"`
	RefreshOnly bool      `json:"refresh_only,omitempty"`
	Summary     Summary   `json:"summary"`
}

// ErrWhole: the account root is not destroyed from here.
var ErrWhole = errors.New("the account root is not destroyed by godwit")

// Plan finds out what applying a root would do, changes nothing, and saves it.
func (d *Driver) Plan(ctx context.Context, r Root, o PlanOptions) (Saved, error) {
	if o.Destroy && r.account() && d.State != nil {
		return Saved{}, fmt.Errorf("%w: it holds its own state, those of the environments, and the audit log, which must not be deleted. Destroy the environments; docs/aws.md says how to close the account", ErrWhole)
	}
	if o.Destroy && o.RefreshOnly {
		return Saved{}, errors.New("a plan cannot both destroy and only refresh: choose one")
	}
	saved := Saved{Root: r, Program: d.Program.Name + " " + d.Program.Version, Endpoint: d.Endpoint, Destroy: o.Destroy, RefreshOnly: o.RefreshOnly}
	err := d.alone(r, func() error {
		past, err := d.settle(r)
		if err != nil {
			return err
		}
		if saved.Tree, err = r.digest(); err != nil {
			return err
		}
		if saved.Place, err = d.prepare(ctx, r); err != nil {
			return err
		}
		return d.plan(ctx, r, o, past, &saved)
	})
	return saved, err
}

func (d *Driver) plan(ctx context.Context, r Root, o PlanOptions, past *run, saved *Saved) error {
	out := o.Out
	if out == "" {
		out = r.file(defaultPlan)
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	// The program makes the file readable to all: in a directory that is not, it is hidden.
	vars, dir, err := variables(o, filepath.Dir(out))
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	temporary := filepath.Join(dir, "plan")
	options := []tfexec.PlanOption{tfexec.Out(temporary), tfexec.LockTimeout(d.lockWait().String()), tfexec.Destroy(o.Destroy), tfexec.RefreshOnly(o.RefreshOnly)}
	for _, name := range vars {
		options = append(options, tfexec.VarFile(name))
	}
	tf, err := d.exec(r)
	if err != nil {
		return err
	}
	watch := newWatcher(d, nil)
	changes, err := tf.PlanJSON(ctx, watch, options...)
	if err != nil {
		return d.failure("plan", r, watch, err)
	}
	if saved.Summary, err = d.show(ctx, r, temporary, changes, o.RefreshOnly); err != nil {
		return err
	}
	if o.Destroy && saved.Summary.Protected {
		return fmt.Errorf("%s: %w on AWS still, and AWS would refuse any database in it when all around that is gone: declare it unprotected, run `godwit aws apply %s`, then destroy it", r.Name, ErrProtected, r.flag())
	}
	if past != nil {
		past.remember(d, &saved.Summary)
	}
	saved.Path, saved.Made = out, d.now().UTC().Truncate(time.Second)
	if saved.Plan, err = digestOf(temporary); err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(temporary, 0o600), os.Rename(temporary, out)); err != nil {
		return err
	}
	return errors.Join(writePrivateJSON(out+".json", saved), r.lockDown())
}

// variables are the files with variables, in their order; those given by value
// are in a new private directory below dir, which the caller removes.
func variables(o PlanOptions, below string) (files []string, dir string, err error) {
	if dir, err = os.MkdirTemp(below, ".godwit-plan-"); err != nil { // 0700
		return nil, "", err
	}
	for _, name := range o.VarFiles {
		name, err := filepath.Abs(name)
		if err != nil {
			return nil, dir, err
		}
		files = append(files, name)
	}
	if len(o.Vars) > 0 {
		name := filepath.Join(dir, "vars.tfvars.json")
		if err := writePrivateJSON(name, o.Vars); err != nil {
			return nil, dir, err
		}
		files = append(files, name)
	}
	return files, dir, nil
}

func (d *Driver) show(ctx context.Context, r Root, plan string, changes, refreshOnly bool) (Summary, error) {
	tf, err := d.exec(r)
	if err != nil {
		return Summary{}, err
	}
	shown, err := tf.ShowPlanFile(ctx, plan)
	if err != nil {
		return Summary{}, d.failure("read the plan of", r, nil, err)
	}
	return summarise(r.Name, shown, changes, refreshOnly), nil
}

func digestOf(name string) (string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// Load reads a saved plan; "" is the one in the root's private directory.
func Load(r Root, name string) (Saved, error) {
	if name == "" {
		name = r.file(defaultPlan)
	}
	var s Saved
	b, err := os.ReadFile(name + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%w: there is no plan at %s: run plan first", ErrStale, name)
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("%s.json is not godwit's: %w: plan again", name, err)
	}
	s.Path = name
	return s, nil
}

// fresh refuses a plan when what it was made from has changed.
func (d *Driver) fresh(s Saved) error {
	tree, err := s.Root.digest()
	if err != nil {
		return err
	}
	plan, err := digestOf(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is gone, it was applied or removed: plan again", ErrStale, s.Path)
	}
	if err != nil {
		return err
	}
	var what string
	switch {
	case tree != s.Tree:
		what = "the rendered files of " + s.Root.Name + " have changed since"
	case plan != s.Plan:
		what = s.Path + " is not the file that was looked at"
	case s.Endpoint != d.Endpoint:
		what = fmt.Sprintf("it was made against %s, and is to be applied against %s", s.Endpoint.name(), d.Endpoint.name())
	case !strings.HasPrefix(s.Program, d.Program.Name+" "):
		what = "it was made by " + s.Program + ", and is to be applied by " + d.Program.Name
	default:
		return nil
	}
	return fmt.Errorf("%w: %s: plan again", ErrStale, what)
}

func (e Endpoint) name() string {
	if e == "" {
		return "AWS"
	}
	return string(e)
}
