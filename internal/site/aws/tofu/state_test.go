package tofu

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/aws/smithy-go"

	"godwit/internal/site/aws/awstest"
	"godwit/internal/site/aws/convention"
)

// cloud is an emulator and a driver of roots whose states it keeps.
type cloud struct {
	*Driver
	s3     *s3.Client
	bucket string
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	m := awstest.StartMoto(t)
	cfg := m.Config(t)
	account, err := Identify(t.Context(), sts.NewFromConfig(cfg), "bistro", awstest.Region)
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{Driver: plain(t), s3: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }), bucket: account.StateBucket()}
	c.Endpoint = Endpoint(m.URL)
	c.State = &State{Account: account, Buckets: c.s3}
	return c
}

func (c *cloud) makeBucket(t *testing.T) {
	t.Helper()
	_, err := c.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &c.bucket,
		CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: awstest.Region}})
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cloud) object(t *testing.T, root string) string {
	t.Helper()
	out, err := c.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &c.bucket, Key: aws.String(convention.StateKey(root))})
	if err != nil {
		return ""
	}
	defer func() { _ = out.Body.Close() }()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (c *cloud) empty(t *testing.T) {
	t.Helper()
	out, err := c.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &c.bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out.Contents {
		if _, err := c.s3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &c.bucket, Key: o.Key}); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	backend = `terraform {
  backend "s3" {}
}
`
	settings = `region       = "eu-central-1"
key          = "terraform/account.tfstate"
use_lockfile = true
`
	bucketRoot = backend + `
resource "terraform_data" "bucket" {}
resource "terraform_data" "rest" { depends_on = [terraform_data.bucket] }
`
)

// landed is a tree with an account and an environment.
func landed(t *testing.T) (account, production Root) {
	dir := rendered(t, map[string]string{
		"account/main.tf": bucketRoot, "account/backend.hcl": settings,
		"environments/production/main.tf":     backend + `resource "terraform_data" "network" {}`,
		"environments/production/backend.hcl": strings.ReplaceAll(settings, "account", "production"),
	})
	return Root{dir, AccountRoot}, Root{dir, EnvironmentRoot("production")}
}

// applyAccount makes the bucket when the resource is made that stands for it.
func (c *cloud) applyAccount(t *testing.T, r Root) error {
	t.Helper()
	s := mustPlan(t, c.Driver, r, PlanOptions{})
	before := c.Progress
	defer func() { c.Progress = before }()
	c.Progress = func(e Event) {
		if e.Kind == Done && e.Address == "terraform_data.bucket" {
			c.makeBucket(t)
		}
	}
	_, err := c.Apply(t.Context(), s, ApplyOptions{})
	return err
}

func TestBootstrap(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	account, production := landed(t)
	if _, err := c.Plan(t.Context(), production, PlanOptions{}); !errors.Is(err, ErrAccountFirst) {
		t.Fatalf("an environment before the account: %v", err)
	}
	s := mustPlan(t, c.Driver, account, PlanOptions{})
	if s.Place != localPlace {
		t.Errorf("place %s", s.Place)
	}
	if err := c.applyAccount(t, account); err != nil {
		t.Fatal(err)
	}
	if o := c.object(t, AccountRoot); !strings.Contains(o, `"bucket"`) || !strings.Contains(o, `"rest"`) {
		t.Errorf("the state in the bucket: %q", o)
	}
	for _, name := range []string{localState, localState + ".backup", overrideFile} {
		if b, err := account.read(name); err == nil && strings.Contains(string(b), "backend") || err == nil && strings.Contains(name, "state") {
			t.Errorf("%s is left: %s", name, b)
		}
	}
	mustBeEmpty(t, c.Driver, account)
	mustApply(t, c.Driver, production)
	mustBeEmpty(t, c.Driver, production)
	if c.object(t, "production") == "" {
		t.Error("no state of production in the bucket")
	}
	// Another machine, where nothing was initialised, finds the same.
	for _, r := range []Root{account, production} {
		text, err := r.read("main.tf")
		if err != nil {
			t.Fatal(err)
		}
		other := Root{rendered(t, map[string]string{r.Name + "/main.tf": string(text)}), r.Name}
		mustBeEmpty(t, c.Driver, other)
	}
	if _, err := c.Plan(t.Context(), account, PlanOptions{Destroy: true}); !errors.Is(err, ErrWhole) {
		t.Errorf("the account's end: %v", err)
	}
	// The bucket is gone: that is said, and nothing begins anew.
	c.empty(t)
	if _, err := c.s3.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: &c.bucket}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Plan(t.Context(), account, PlanOptions{}); !errors.Is(err, ErrBucketGone) {
		t.Errorf("without its bucket: %v", err)
	}
}

// TestMoveCutOff: killed at any line between the apply and the end of the move,
// the next plan ends it.
func TestMoveCutOff(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.makeBucket(t)
	for name, cut := range map[string]func(t *testing.T, r Root, state []byte){
		"before it began": func(t *testing.T, r Root, state []byte) {},
		"after it was copied": func(t *testing.T, r Root, state []byte) {
			if err := c.move(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			rewrite(t, r.file(localState), string(state))
		},
		"on a machine that forgot": func(t *testing.T, r Root, state []byte) {
			if err := os.RemoveAll(r.file(".terraform")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { // one after the other: they have one bucket
			c.empty(t)
			d := *c.Driver
			d.Env = c.Env
			account, _ := landed(t)
			// As if the bucket had not been there yet.
			there := *c.State
			there.Account.Landscape = "elsewhere"
			d.State = &there
			mustApply(t, &d, account)
			state, err := account.read(localState)
			if err != nil {
				t.Fatal(err)
			}
			mode(t, account.file(localState))
			cut(t, account, state)
			mustBeEmpty(t, c.Driver, account)
			if !strings.Contains(c.object(t, AccountRoot), `"rest"`) {
				t.Error("the state did not arrive")
			}
			if account.has(localState) {
				t.Error("the local state is left")
			}
			// A stranger's state is not overwritten.
			rewrite(t, account.file(localState), strings.Replace(string(state), `"lineage": "`, `"lineage": "x`, 1))
			if _, err := c.Plan(t.Context(), account, PlanOptions{}); !errors.Is(err, ErrTwoStates) {
				t.Errorf("two states: %v", err)
			}
			if !account.has(localState) {
				t.Error("the one here was removed")
			}
		})
	}
}

func TestHalfAppliedAccount(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	account, production := landed(t)
	rewrite(t, account.file("main.tf"), strings.Replace(bucketRoot, "{ depends_on = [terraform_data.bucket] }", "{\ndepends_on = [terraform_data.bucket]\n provisioner \"local-exec\" { command = \"test -e let\" }\n}", 1))
	if err := c.applyAccount(t, account); err == nil {
		t.Fatal("it did not fail")
	}
	// The bucket is there, the account's state is not in it yet.
	if _, err := c.Plan(t.Context(), production, PlanOptions{}); !errors.Is(err, ErrAccountFirst) {
		t.Errorf("an environment after half an account: %v", err)
	}
	rewrite(t, account.file("let"), "")
	s := mustPlan(t, c.Driver, account, PlanOptions{})
	if s.Place != remotePlace || len(s.Summary.Changes()) != 1 {
		t.Errorf("the plan that goes on: %s", asJSON(t, s))
	}
	if _, err := c.Apply(t.Context(), s, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	mustApply(t, c.Driver, production)
}

func TestLocked(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	account, production := landed(t)
	if err := c.applyAccount(t, account); err != nil {
		t.Fatal(err)
	}
	mustApply(t, c.Driver, production)
	rewrite(t, production.file("main.tf"), backend+hangs)
	text, err := production.read("main.tf")
	if err != nil {
		t.Fatal(err)
	}
	s := mustPlan(t, c.Driver, production, PlanOptions{})
	// Somebody else, elsewhere.
	other := Root{rendered(t, map[string]string{production.Name + "/main.tf": string(text)}), production.Name}
	var plans []error
	holder := *c.Driver
	holder.Progress = func(e Event) {
		if slowStarted(e) {
			_, err := c.Plan(t.Context(), other, PlanOptions{})
			plans = append(plans, err)
			rewrite(t, production.file("let"), "")
		}
	}
	if _, err := holder.Apply(t.Context(), s, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(plans) != 1 || !errors.Is(plans[0], ErrLocked) {
		t.Fatalf("got %v", plans)
	}
	for _, want := range []string{"holds the lock of the state since 20", "(Apply)", "godwit aws unlock ", "--env production"} {
		if !strings.Contains(plans[0].Error(), want) {
			t.Errorf("%q is not in:\n%v", want, plans[0])
		}
	}
	mustBeEmpty(t, c.Driver, production)
}

// TestLeftLock: killed with all its processes, an apply leaves its lock; the
// error names it, and Unlock ends it.
func TestLeftLock(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	account, production := landed(t)
	if err := c.applyAccount(t, account); err != nil {
		t.Fatal(err)
	}
	rewrite(t, production.file("main.tf"), backend+hangs)
	s := mustPlan(t, c.Driver, production, PlanOptions{})
	killed := *c.Driver
	killed.Progress = func(e Event) {
		if slowStarted(e) {
			if w, err := loadRun(production); err == nil && w != nil {
				p, _ := os.FindProcess(w.PID)
				killAll(p)
			}
		}
	}
	if _, err := killed.Apply(t.Context(), s, ApplyOptions{}); err == nil {
		t.Fatal("it was not killed")
	}
	_, err := c.Plan(t.Context(), production, PlanOptions{})
	var p Problem
	if !errors.Is(err, ErrLocked) || !errors.As(err, &p) {
		t.Fatalf("got %v", err)
	}
	id := strings.TrimPrefix(p.Detail, "lock ")
	if err := c.Unlock(t.Context(), production, id); err != nil {
		t.Fatalf("unlock %s: %v", id, err)
	}
	if err := c.Unlock(t.Context(), production, id); !errors.Is(err, ErrUnlocked) || err.Error() != "environments/production is not locked: there is nothing to unlock" {
		t.Errorf("unlock again: %v", err)
	}
	rewrite(t, production.file("let"), "")
	mustApply(t, c.Driver, production)
	mustBeEmpty(t, c.Driver, production)
}

// TestUnsavedState: the bucket cannot be written at the end of an apply. What
// was made is in errored.tfstate, and nothing goes on before it is pushed.
func TestUnsavedState(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	account, production := landed(t)
	if err := c.applyAccount(t, account); err != nil {
		t.Fatal(err)
	}
	rewrite(t, production.file("main.tf"), backend+hangs)
	s := mustPlan(t, c.Driver, production, PlanOptions{})
	kept := c.object(t, AccountRoot)
	c.Progress = func(e Event) {
		if slowStarted(e) {
			c.empty(t)
			if _, err := c.s3.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: &c.bucket}); err != nil {
				t.Error(err)
			}
			rewrite(t, production.file("let"), "")
		}
	}
	_, err := c.Apply(t.Context(), s, ApplyOptions{})
	c.Progress = nil
	if !errors.Is(err, ErrUnsaved) {
		t.Fatalf("got %v", err)
	}
	mode(t, production.file(erroredState))
	c.makeBucket(t)
	if _, err := c.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &c.bucket, Key: aws.String(convention.StateKey(AccountRoot)), Body: strings.NewReader(kept)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Plan(t.Context(), production, PlanOptions{}); !errors.Is(err, ErrUnsaved) {
		t.Fatalf("a plan before the push: %v", err)
	}
	if err := c.Push(t.Context(), production); err != nil {
		t.Fatal(err)
	}
	if production.has(erroredState) {
		t.Error("the file is left")
	}
	mustBeEmpty(t, c.Driver, production)
}

func TestUnclearBucket(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	account, _ := landed(t)
	// There is no answer at all: that is no reason to begin anew.
	gone := *c.Driver
	gone.State = &State{Account: c.State.Account, Buckets: refusing{}}
	if _, err := gone.Plan(t.Context(), account, PlanOptions{}); !errors.Is(err, ErrDenied) {
		t.Errorf("got %v", err)
	}
	old := *c.Driver
	old.Program.Version = "1.9.8"
	if _, err := old.Plan(t.Context(), account, PlanOptions{}); !errors.Is(err, ErrProgram) || !strings.Contains(err.Error(), "1.10") {
		t.Errorf("without locking: %v", err)
	}
}

// refusing answers a HEAD as S3 does when it is not allowed: without a body.
type refusing struct{ Buckets }

func (refusing) HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error) {
	return nil, forbidden{}
}

type forbidden struct{}

func (forbidden) Error() string                     { return "Forbidden" }
func (forbidden) ErrorCode() string                 { return "Forbidden" }
func (forbidden) ErrorMessage() string              { return "Forbidden" }
func (forbidden) ErrorFault() (f smithy.ErrorFault) { return }

func TestEmulatorIsNotLeftBehind(t *testing.T) {
	t.Parallel()
	d := plain(t)
	r := account(t, `resource "terraform_data" "x" {}`)
	rewrite(t, r.file("providers.tf"), "provider \"aws\" {\n  region = \"eu-central-1\"\n}\nprovider \"aws\" {\n  alias  = \"cdn\"\n  region = \"us-east-1\"\n}\n")
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	d.Endpoint = "http://127.0.0.1:5000"
	if err := d.override(r, false); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.path(), overrideFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"alias": "cdn"`, `"autoscaling": "http://127.0.0.1:5000"`, `"s3_use_path_style": true`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	mode(t, r.file(overrideFile))
	d.Endpoint = ""
	if err := d.override(r, false); err != nil {
		t.Fatal(err)
	}
	if r.has(overrideFile) {
		t.Error("the emulator's override is left for AWS")
	}

}

// TestInitialisedOnce: init runs again only when something it depends on changed.
func TestInitialisedOnce(t *testing.T) {
	t.Parallel()
	d, r := plain(t), account(t, two)
	stamp := func() string {
		mustPlan(t, d, r, PlanOptions{})
		b, err := r.read(stampFile)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := stamp()
	// A stamp is left alone as long as it is right.
	info, err := os.Stat(r.file(stampFile))
	if err != nil {
		t.Fatal(err)
	}
	if again := stamp(); again != first {
		t.Error("nothing has changed, and it was initialised again")
	}
	if now, err := os.Stat(r.file(stampFile)); err != nil || !now.ModTime().Equal(info.ModTime()) {
		t.Errorf("it was initialised again: %v", err)
	}
	rewrite(t, filepath.Join(r.Dir, "modules/x/main.tf"), `resource "terraform_data" "x" {}`)
	rewrite(t, r.file("more.tf"), "module \"x\" {\n  source = \"../modules/x\"\n}\n")
	if s := mustPlan(t, d, r, PlanOptions{}).Summary; len(s.Create) != 3 {
		t.Errorf("with a new module: %s", asJSON(t, s))
	}
	if err := os.RemoveAll(r.file(".terraform")); err != nil {
		t.Fatal(err)
	}
	mustPlan(t, d, r, PlanOptions{})
}
