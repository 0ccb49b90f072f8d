package cloud

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws/terraform"
	"godwit/internal/site/aws/tofu"
)

// Rendered is what Render wrote.
type Rendered struct {
	Dir     string   `json:"dir"`
	Roots   []string `json:"roots"`
	Files   int      `json:"files"`
	Changed []string `json:"changed"` // written or removed
}

// Render writes the landscape as Terraform into a directory. It needs no
// credentials.
func Render(l *landscape.Landscape, dir string) (Rendered, error) {
	tree, err := terraform.Render(l)
	if err != nil {
		return Rendered{}, &api.Failure{Code: api.Usage, Message: err.Error()}
	}
	if err := undeclared(l, dir); err != nil {
		return Rendered{}, err
	}
	changed, err := tree.Write(dir)
	if err != nil {
		return Rendered{}, fmt.Errorf("rendering into %s: %w", dir, err)
	}
	return Rendered{Dir: dir, Roots: Roots(l), Files: len(tree), Changed: append([]string{}, changed...)}, nil
}

// undeclared refuses to remove the root of an environment that is not declared
// any more, when it was ever planned: what it made would belong to nobody.
func undeclared(l *landscape.Landscape, dir string) error {
	initialised, err := filepath.Glob(filepath.Join(dir, "environments", "*", ".terraform"))
	if err != nil {
		return err
	}
	for _, path := range initialised {
		name := filepath.Base(filepath.Dir(path))
		if _, ok := l.Environment(name); !ok {
			return api.Fail(api.Refused, "environment %s is not declared any more, and what it has on AWS would belong to nobody: declare it again, run `godwit aws destroy --env %[1]s`, then remove %[2]s",
				name, filepath.Dir(path))
		}
	}
	return nil
}

// Roots are all roots of a landscape, in the order in which they are applied.
func Roots(l *landscape.Landscape) []string {
	roots := []string{tofu.AccountRoot}
	for _, e := range l.Environments {
		roots = append(roots, tofu.EnvironmentRoot(e.Name))
	}
	return roots
}

// protected says whether a root must not be lost. The account, with the states
// and the audit log of all, is.
func (c *Cloud) protected(root string) bool {
	if root == tofu.AccountRoot {
		return true
	}
	return slices.ContainsFunc(c.Landscape.Environments, func(e landscape.Environment) bool {
		return tofu.EnvironmentRoot(e.Name) == root && e.Protected
	})
}

// Plan renders, asks AWS whether it can give what is declared, and plans a root.
func (c *Cloud) Plan(ctx context.Context, dir, root string, o tofu.PlanOptions) (tofu.Saved, error) {
	saved, err := c.plan(ctx, dir, root, o)
	return saved, fail(err)
}

func (c *Cloud) plan(ctx context.Context, dir, root string, o tofu.PlanOptions) (tofu.Saved, error) {
	if _, err := Render(c.Landscape, dir); err != nil {
		return tofu.Saved{}, err
	}
	if o.Destroy && root != tofu.AccountRoot && c.protected(root) {
		return tofu.Saved{}, api.Fail(api.Refused, "%s is protected: take protected out of its environment in the landscape, apply that, then destroy it; begun now, AWS would refuse any database in it when all around that is gone", root)
	}
	d, err := c.driver(ctx)
	if err != nil {
		return tofu.Saved{}, err
	}
	if !o.Destroy {
		if err := c.preflight(ctx, root); err != nil {
			return tofu.Saved{}, err
		}
	}
	var saved tofu.Saved
	err = c.Sink.Timed(root, "plan", func() (err error) {
		saved, err = d.Plan(ctx, tofu.Root{Dir: dir, Name: root}, o)
		return err
	})
	return saved, err
}

// preflight finds what a plan would show late, or not at all.
func (c *Cloud) preflight(ctx context.Context, root string) error {
	environment := ""
	for _, e := range c.Landscape.Environments {
		if tofu.EnvironmentRoot(e.Name) == root {
			environment = e.Name
		}
	}
	if environment == "" {
		return nil
	}
	p := tofu.Preflight{Identity: sts.NewFromConfig(c.config), Offers: ec2.NewFromConfig(c.config),
		Databases: rds.NewFromConfig(c.config), Region: c.config.Region}
	findings, err := p.Check(ctx, c.Landscape, environment)
	if err != nil {
		return err
	}
	if findings.HasErrors() {
		return &api.Failure{Code: api.Usage, Message: "AWS cannot give what the landscape declares", Findings: findings}
	}
	for _, f := range findings {
		c.Sink.Note(root, "preflight", f.Summary+"; "+f.Mend)
	}
	return c.withdrawn(ctx, environment)
}

// Reasons are why a plan wants approval; none: it does not.
func (c *Cloud) Reasons(s tofu.Saved) []tofu.Reason {
	return tofu.Guard(s.Summary, c.stakes(s.Root.Name))
}

// stakes are what a root can lose, and whose clients a migration is still to bring there.
func (c *Cloud) stakes(root string) tofu.Stakes {
	at := tofu.Stakes{Protected: c.protected(root)}
	for _, m := range c.Landscape.Migrations {
		if tofu.EnvironmentRoot(m.Environment) != root {
			continue
		}
		at.Migration, at.Hosts = m.Name, nil
		for _, in := range c.Landscape.Ingresses {
			at.Hosts = append(at.Hosts, landscape.IngressHost(c.Landscape, in, m.Environment))
		}
	}
	return at
}

// Load reads the plan that was saved last for a root, or the one in a file.
func (c *Cloud) Load(dir, root, file string) (tofu.Saved, error) {
	saved, err := tofu.Load(tofu.Root{Dir: dir, Name: root}, file)
	return saved, fail(err)
}

// Apply does what a saved plan says. hurry is as in tofu.ApplyOptions.
func (c *Cloud) Apply(ctx context.Context, s tofu.Saved, hurry <-chan struct{}) (tofu.Result, error) {
	d, err := c.driver(ctx)
	if err != nil {
		return tofu.Result{}, fail(err)
	}
	result, err := d.Apply(ctx, s, tofu.ApplyOptions{Hurry: hurry})
	if err == nil && !s.Destroy && !s.RefreshOnly {
		err = c.align(ctx, s.Root.Name)
	}
	return result, fail(err)
}

// align gives rules that Terraform has just made the weights that rollouts have
// set in the others: until then they send everything to blue, where nobody may be.
func (c *Cloud) align(ctx context.Context, root string) error {
	for _, e := range c.Landscape.Environments {
		if tofu.EnvironmentRoot(e.Name) != root {
			continue
		}
		err := c.site.Align(ctx, e.Name)
		if errors.Is(err, site.ErrNotFound) && c.Endpoint != "" {
			c.Sink.Note(root, "weights", "the emulator has nothing of what was applied: "+err.Error())
			return nil
		}
		return err
	}
	return nil
}

// Attach follows an apply whose godwit ended before it.
func (c *Cloud) Attach(ctx context.Context, dir, root string, hurry <-chan struct{}) (tofu.Result, error) {
	d, err := c.driver(ctx)
	if err != nil {
		return tofu.Result{}, fail(err)
	}
	result, err := d.Attach(ctx, tofu.Root{Dir: dir, Name: root}, tofu.ApplyOptions{Hurry: hurry})
	if err == nil {
		err = c.align(ctx, root)
	}
	return result, fail(err)
}

// Unlock removes a lock that nobody holds any more.
func (c *Cloud) Unlock(ctx context.Context, dir, root, id string) error {
	d, err := c.driver(ctx)
	if err != nil {
		return fail(err)
	}
	return fail(d.Unlock(ctx, tofu.Root{Dir: dir, Name: root}, id))
}

// Adopt takes into the state what an apply made that was cut off before it could
// write that down; a plan lists it.
func (c *Cloud) Adopt(ctx context.Context, dir, root string, lost []tofu.Lost, o tofu.PlanOptions) error {
	d, err := c.driver(ctx)
	if err != nil {
		return fail(err)
	}
	return fail(d.Adopt(ctx, tofu.Root{Dir: dir, Name: root}, lost, o))
}

// Push saves a state that could not be saved when it was made.
func (c *Cloud) Push(ctx context.Context, dir, root string) error {
	d, err := c.driver(ctx)
	if err != nil {
		return fail(err)
	}
	return fail(d.Push(ctx, tofu.Root{Dir: dir, Name: root}))
}

func (c *Cloud) driver(ctx context.Context) (*tofu.Driver, error) {
	program, err := tofu.Find(ctx, "")
	if err != nil {
		return nil, err
	}
	if err := program.Locking(); err != nil {
		return nil, err
	}
	account, err := tofu.Identify(ctx, sts.NewFromConfig(c.config), c.Landscape.Name, c.config.Region)
	if err != nil {
		return nil, err
	}
	buckets := s3.NewFromConfig(c.config, func(o *s3.Options) {
		o.UsePathStyle = c.Endpoint != ""
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	return &tofu.Driver{Program: program, State: &tofu.State{Account: account, Buckets: buckets},
		Endpoint: c.Endpoint, Progress: c.progress()}, nil
}

// progress shows what Terraform does as what godwit does.
func (c *Cloud) progress() func(tofu.Event) {
	var mu sync.Mutex
	states := map[tofu.Kind]string{tofu.Started: "begun", tofu.Done: "done", tofu.Failed: "failed", tofu.Warning: "note"}
	return func(e tofu.Event) {
		if e.Kind == tofu.Refreshing || e.Action == "read" {
			return // there are hundreds
		}
		mu.Lock()
		defer mu.Unlock()
		state, known := states[e.Kind]
		if !known {
			state = "note"
		}
		step := string(e.Action)
		if step == "" {
			step = string(e.Kind)
		}
		scope := e.Address
		if scope == "" {
			scope = "terraform"
		}
		message := e.Text
		if e.Kind == tofu.Still {
			message = fmt.Sprintf("still at it after %s", e.Elapsed.Round(time.Second))
		}
		c.Sink.Event(api.Event{At: e.At, Scope: scope, Step: step, State: state, Message: message, MS: api.Milliseconds(e.Elapsed)})
	}
}
