package tofu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const two = `
variable "size" { default = "small" }
resource "terraform_data" "one" { input = var.size }
resource "terraform_data" "two" {
  input            = "x"
  triggers_replace = [var.size]
  depends_on       = [terraform_data.one]
}
output "one" { value = terraform_data.one.output }
`

func TestPlanApplyDestroy(t *testing.T) {
	t.Parallel()
	d, r := plain(t), account(t, two)
	s := mustPlan(t, d, r, PlanOptions{})
	if len(s.Summary.Create) != 2 || s.Summary.Empty || !slices.Equal(s.Summary.Outputs, []string{"one"}) {
		t.Errorf("the first plan: %s", asJSON(t, s.Summary))
	}
	mode(t, s.Path)
	mode(t, s.Path+".json")
	notes := newDiary(nil)
	d.Progress = notes.take
	result, err := d.Apply(t.Context(), s, ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Outcome.Done) != 2 || len(result.Outcome.Half)+len(result.Outcome.Open) != 0 {
		t.Errorf("outcome %s", asJSON(t, result))
	}
	if len(notes.of(Started)) != 2 || len(notes.of(Done)) != 2 {
		t.Errorf("events %s", asJSON(t, notes.events))
	}
	mode(t, r.file("terraform.tfstate"))
	d.Progress = nil
	mustBeEmpty(t, d, r)

	s = mustPlan(t, d, r, PlanOptions{Vars: map[string]any{"size": "large"}})
	want := Change{Address: "terraform_data.two", Type: "terraform_data", Action: Replace, Why: "it cannot be changed in place: triggers_replace"}
	if len(s.Summary.Update) != 1 || len(s.Summary.Replace) != 1 || s.Summary.Replace[0].Address != want.Address || s.Summary.Replace[0].Why != want.Why {
		t.Errorf("the second plan: %s", asJSON(t, s.Summary))
	}
	if f := s.Summary.Update[0].Fields; len(f) == 0 || f[0] != (Field{Path: "input", Before: `"small"`, After: `"large"`}) {
		t.Errorf("fields %v", f)
	}
	if _, err := d.Apply(t.Context(), s, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}

	s = mustPlan(t, d, r, PlanOptions{Destroy: true})
	if len(s.Summary.Destroy) != 2 {
		t.Errorf("the plan to destroy: %s", asJSON(t, s.Summary))
	}
	if result, err = d.Apply(t.Context(), s, ApplyOptions{}); err != nil || len(result.Outcome.Done) != 2 {
		t.Errorf("destroy: %v, %s", err, asJSON(t, result))
	}
	if s = mustPlan(t, d, r, PlanOptions{}); len(s.Summary.Create) != 2 {
		t.Errorf("after the end: %s", asJSON(t, s.Summary))
	}
}

func TestFailureSaysWhatIsDone(t *testing.T) {
	t.Parallel()
	d, r := plain(t), account(t, `
resource "terraform_data" "first" {}
resource "terraform_data" "second" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" { command = "test -e let" }
}
resource "terraform_data" "third" { depends_on = [terraform_data.second] }
`)
	_, err := d.Apply(t.Context(), mustPlan(t, d, r, PlanOptions{}), ApplyOptions{})
	var f *Failure
	if !errors.As(err, &f) || f.Outcome == nil {
		t.Fatalf("got %v", err)
	}
	if !slices.Equal(addresses(f.Outcome.Done), []string{"terraform_data.first"}) || !slices.Equal(addresses(f.Outcome.Half), []string{"terraform_data.second"}) ||
		!slices.Equal(addresses(f.Outcome.Open), []string{"terraform_data.third"}) {
		t.Errorf("outcome %s", asJSON(t, f.Outcome))
	}
	p := f.Problems[0]
	if p.File != "account/main.tf" || p.Line != 5 || p.Address != "terraform_data.second" || p.Mend == "" {
		t.Errorf("problem %s", asJSON(t, p))
	}
	for _, want := range []string{"account/main.tf:5", "1 done, 1 begun and not finished, 1 not begun", "done  + terraform_data.first", "it goes on from here"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	rewrite(t, r.file("let"), "")
	s := mustPlan(t, d, r, PlanOptions{})
	if len(s.Summary.Create) != 1 || len(s.Summary.Replace) != 1 || s.Summary.Replace[0].Why != "it was made only in part" {
		t.Errorf("the plan that goes on: %s", asJSON(t, s.Summary))
	}
	mustApply(t, d, r)
	mustBeEmpty(t, d, r)
}

// hangs until a file is there.
const hangs = `
resource "terraform_data" "first" {}
resource "terraform_data" "slow" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" { command = "while ! test -e let; do sleep 0.1; done" }
}
resource "terraform_data" "last" { depends_on = [terraform_data.slow] }
`

func slowStarted(e Event) bool { return e.Kind == Started && e.Address == "terraform_data.slow" }

func TestInterrupt(t *testing.T) {
	t.Parallel()
	d, r := plain(t), account(t, hangs)
	s := mustPlan(t, d, r, PlanOptions{})
	notes := newDiary(slowStarted)
	d.Progress = notes.take
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { <-notes.seen; cancel() }()
	begun := time.Now()
	_, err := d.Apply(ctx, s, ApplyOptions{})
	if !errors.Is(err, ErrInterrupted) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	var f *Failure
	if !errors.As(err, &f) || !slices.Equal(addresses(f.Outcome.Done), []string{"terraform_data.first"}) || !slices.Equal(addresses(f.Outcome.Open), []string{"terraform_data.last"}) {
		t.Errorf("outcome %s", asJSON(t, f))
	}
	if len(notes.of(Stopping)) != 1 {
		t.Errorf("%d requests to stop", len(notes.of(Stopping)))
	}
	t.Logf("stopped within %v", time.Since(begun))
	d.Progress = nil
	// The state is saved and not locked.
	rewrite(t, r.file("let"), "")
	if s = mustPlan(t, d, r, PlanOptions{}); len(s.Summary.Changes()) != 2 {
		t.Errorf("the plan that goes on: %s", asJSON(t, s.Summary))
	}
	mustApply(t, d, r)
	mustBeEmpty(t, d, r)
}

// TestHurry: what does not listen to the first request is stopped by the next.
func TestHurry(t *testing.T) {
	t.Parallel()
	d, r := plain(t), account(t, `
resource "terraform_data" "slow" {
  provisioner "local-exec" {
    interpreter = ["/bin/sh", "-c"]
    command     = "trap '' INT TERM; while ! test -e let; do sleep 0.1; done"
  }
}
`)
	t.Cleanup(func() { rewrite(t, r.file("let"), "") })
	s := mustPlan(t, d, r, PlanOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hurry := make(chan struct{}, 2)
	notes := newDiary(slowStarted)
	d.Progress = func(e Event) {
		notes.take(e)
		if e.Kind == Stopping {
			select {
			case hurry <- struct{}{}:
			default:
			}
		}
	}
	go func() { <-notes.seen; cancel() }()
	_, err := d.Apply(ctx, s, ApplyOptions{Hurry: hurry})
	if !errors.Is(err, ErrInterrupted) {
		t.Fatalf("got %v", err)
	}
	if n := len(notes.of(Stopping)); n < 2 {
		t.Errorf("%d requests to stop", n)
	}
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	d, r := plain(t), account(t, hangs)
	s := mustPlan(t, d, r, PlanOptions{})
	notes := newDiary(func(e Event) bool { return e.Kind == Still })
	d.Progress = func(e Event) {
		notes.take(e)
		if e.Kind == Still && len(notes.of(Still)) == 2 {
			rewrite(t, r.file("let"), "")
		}
	}
	if _, err := d.Apply(t.Context(), s, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, e := range notes.of(Still) {
		if e.Address != "terraform_data.slow" || e.Action != Create || e.Elapsed < quiet {
			t.Errorf("heartbeat %s", asJSON(t, e))
		}
	}
}

func TestStale(t *testing.T) {
	t.Parallel()
	d := plain(t)
	for name, spoil := range map[string]func(t *testing.T, r Root, s *Saved, d *Driver){
		"the tree has changed": func(t *testing.T, r Root, s *Saved, _ *Driver) {
			rewrite(t, r.file("more.tf"), `resource "terraform_data" "more" {}`)
		},
		"a module has changed": func(t *testing.T, r Root, s *Saved, _ *Driver) {
			rewrite(t, filepath.Join(r.Dir, "modules/x/main.tf"), "# new")
		},
		"the state has changed": func(t *testing.T, r Root, s *Saved, d *Driver) {
			if _, err := d.Apply(t.Context(), mustPlan(t, d, r, PlanOptions{Out: r.file("other")}), ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
		},
		"the plan was swapped": func(t *testing.T, r Root, s *Saved, _ *Driver) { rewrite(t, s.Path, "x") },
		"the plan is gone":     func(t *testing.T, r Root, s *Saved, _ *Driver) { _ = os.Remove(s.Path) },
		"another endpoint":     func(t *testing.T, r Root, s *Saved, d *Driver) { d.Endpoint = "http://127.0.0.1:1" },
		"another program":      func(t *testing.T, r Root, s *Saved, d *Driver) { d.Program.Name = "terraform" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, d := account(t, two), *d
			s := mustPlan(t, &d, r, PlanOptions{})
			spoil(t, r, &s, &d)
			if _, err := d.Apply(t.Context(), s, ApplyOptions{}); !errors.Is(err, ErrStale) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("another environment has changed", func(t *testing.T) {
		t.Parallel()
		r := Root{rendered(t, map[string]string{"environments/a/main.tf": two, "environments/b/main.tf": two}), "environments/a"}
		s := mustPlan(t, d, r, PlanOptions{})
		rewrite(t, filepath.Join(r.Dir, "environments/b/main.tf"), "# new")
		if _, err := d.Apply(t.Context(), s, ApplyOptions{}); err != nil {
			t.Error(err)
		}
	})
}

func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-and-more"
	d, r := plain(t), account(t, `
variable "key" { sensitive = true }
variable "named" {}
resource "terraform_data" "one" { input = var.key }
resource "terraform_data" "two" {
  input = { password = var.named }
  provisioner "local-exec" { command = "echo `+secret+`-shown; false" }
}
output "key" {
  value     = var.key
  sensitive = true
}
`)
	var said strings.Builder
	d.Progress = func(e Event) { said.WriteString(asJSON(t, e) + "\n") }
	s := mustPlan(t, d, r, PlanOptions{Vars: map[string]any{"key": secret, "named": secret}})
	said.WriteString(asJSON(t, s))
	if err := s.Summary.Format(&said, false); err != nil {
		t.Fatal(err)
	}
	_, err := d.Apply(t.Context(), s, ApplyOptions{})
	if err == nil {
		t.Fatal("the provisioner did not fail")
	}
	s = mustPlan(t, d, r, PlanOptions{Vars: map[string]any{"key": secret + "2", "named": secret + "2"}})
	said.WriteString(asJSON(t, s))
	_ = s.Summary.Format(&said, false)
	if strings.Contains(said.String(), secret) {
		t.Errorf("the secret is in:\n%s", said.String())
	}
	if !strings.Contains(said.String(), masked) {
		t.Errorf("nothing is masked in:\n%s", said.String())
	}
	for _, name := range []string{runLog, runErr, defaultPlan, "terraform.tfstate"} {
		mode(t, r.file(name))
	}
	if info, err := os.Stat(r.file(private)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestUnfitRoots(t *testing.T) {
	t.Parallel()
	d := plain(t)
	for name, c := range map[string]struct {
		root Root
		want error
		says string
	}{
		"none rendered":  {Root{t.TempDir(), AccountRoot}, ErrRoot, "godwit aws render"},
		"outside":        {Root{t.TempDir(), "../account"}, ErrRoot, "neither"},
		"below another":  {Root{t.TempDir(), "environments/a/b"}, ErrRoot, "neither"},
		"does not parse": {account(t, "resource {"), ErrDeclared, "account/main.tf:1"},
		"no such type":   {account(t, `resource "terraform_nothing" "x" {}`), ErrDeclared, "account/main.tf:1"},
		"no provider":    {account(t, `resource "aws_vpc" "x" { cidr_block = "10.0.0.0/16" }`), ErrProvider, "provider_installation"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := *d
			if errors.Is(c.want, ErrProvider) {
				// No mirror has it, and no registry is asked.
				config := filepath.Join(t.TempDir(), "rc")
				rewrite(t, config, `provider_installation { filesystem_mirror { path = "`+t.TempDir()+`" } }`)
				d.Env = map[string]string{"TF_CLI_CONFIG_FILE": config}
			}
			_, err := d.Plan(t.Context(), c.root, PlanOptions{})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}
