package cloud_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"godwit/internal/api"
	"godwit/internal/cloud"
	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/convention"
)

// token is the variable of whoever deploys that the till's TOKEN comes from.
const token = "GODWIT_TEST_TOKEN"

var scope = convention.Scope{Landscape: "bistro", Environment: "test"}

// taking is the bistro whose till takes a value from env.NAME.
func taking() *landscape.Landscape {
	l := bistro()
	l.Services[0].Env = map[string]landscape.Value{"TOKEN": {Parts: []landscape.Part{{Ref: &landscape.AttrRef{Kind: "env", Name: token}}}}}
	return l
}

// bench is AWS in memory where the till takes a value, and a process at it.
type bench struct {
	*testing.T
	fake *awsfake.Cloud
	*cloud.Cloud
	notes []string
}

// inBubble runs a test with a token of its own in a bubble of synctest.
func inBubble(t *testing.T, do func(*bench)) {
	t.Helper()
	t.Setenv(token, "one")
	synctest.Test(t, func(t *testing.T) { do(newBench(t)) })
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, fake: applied(t)}
	if _, err := b.fake.SecretsManager().CreateSecret(context.Background(), &secretsmanager.CreateSecretInput{Name: sdk.String(scope.ServiceSecret("till"))}); err != nil {
		t.Fatal(err)
	}
	b.Cloud = openAll(t, taking(), b.clients(), api.Sink{Row: func(any) {}, Event: func(e api.Event) { b.notes = append(b.notes, e.Message) }})
	return b
}

func (b *bench) clients() aws.Clients {
	c := b.fake
	return aws.Clients{AutoScaling: c.AutoScaling(), EC2: c.EC2(), LoadBalancing: c.LoadBalancing(), CloudWatch: c.CloudWatch(), RDS: c.RDS(),
		SecretsManager: c.SecretsManager(), S3: c.S3(), STS: c.STS()}
}

// deploy rolls an image out with a value, and says how it ended.
func (b *bench) deploy(digest, value string) api.Rollout {
	b.Helper()
	os.Setenv(token, value)
	all, err := b.Deploy(context.Background(), "till", "test", digest, watch)
	b.fake.ForgetSecretVersions()
	return outcome(b.T, all, err)
}

func (b *bench) rollback(to int) api.Rollout {
	b.Helper()
	all, err := b.Rollback(context.Background(), "till", "test", to, watch)
	b.fake.ForgetSecretVersions()
	return outcome(b.T, all, err)
}

// wants an outcome and a release, and that its instances have a value.
func (b *bench) wants(r api.Rollout, outcome string, to int, value string) {
	b.Helper()
	if r.Outcome != outcome || r.To != to {
		b.Errorf("%+v, want release %d %s", r, to, outcome)
	}
	b.has(value)
}

// has: all instances that there are read this value, as boot does on them.
func (b *bench) has(value string) {
	b.Helper()
	ids := b.instances()
	if len(ids) == 0 {
		b.Error("there is no instance")
	}
	for _, id := range ids {
		if got := b.reads(b.fake.UserData(id)); got != value {
			b.Errorf("instance %s has %q, want %q", id, got, value)
		}
	}
}

// reads is what TOKEN becomes on an instance that was started with this.
func (b *bench) reads(userData []byte) string {
	b.Helper()
	u, err := convention.DecodeUserData(userData)
	if err != nil || len(u.Env["TOKEN"]) != 1 {
		b.Fatalf("%v: %s", err, userData)
	}
	p := u.Env["TOKEN"][0]
	in := &secretsmanager.GetSecretValueInput{SecretId: &p.Secret}
	if p.Version != "" {
		in.VersionId = &p.Version
	}
	out, err := b.fake.SecretsManager().GetSecretValue(context.Background(), in)
	if err != nil {
		b.Fatalf("an instance does not start: %v", err)
	}
	values := map[string]string{}
	if err := json.Unmarshal([]byte(*out.SecretString), &values); err != nil {
		b.Fatal(err)
	}
	return values[p.Key]
}

// instances that serve or wait for it.
func (b *bench) instances() []string {
	b.Helper()
	all, err := b.Status(context.Background(), "test")
	if err != nil || len(all[0].Fleets) != 1 {
		b.Fatalf("%+v, %v", all, err)
	}
	var ids []string
	for _, i := range all[0].Fleets[0].Instances {
		if i.State == fleet.Ready {
			ids = append(ids, i.ID)
		}
	}
	return ids
}

// replaced has every instance die, and waits until Auto Scaling has started others.
func (b *bench) replaced() {
	b.Helper()
	before := b.instances()
	for _, id := range before {
		if err := b.fake.Kill(id); err != nil {
			b.Fatal(err)
		}
	}
	look := time.NewTicker(10 * time.Second) // of the bubble's
	defer look.Stop()
	for range 60 {
		<-look.C
		now := b.instances()
		if len(now) == len(before) && !slices.ContainsFunc(now, func(id string) bool { return slices.Contains(before, id) }) {
			return
		}
	}
	b.Errorf("%v were not replaced, but %v", before, b.instances())
}

// TestValuesAreOfTheRelease: a changed value is rolled out, and a rollback
// brings the old one back.
func TestValuesAreOfTheRelease(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.wants(b.deploy(first, "one"), "done", 1, "one")
		b.wants(b.deploy(first, "one"), "unchanged", 1, "one")
		b.wants(b.deploy(first, "two"), "done", 2, "two")
		b.wants(b.deploy(first, "two"), "unchanged", 2, "two")
		b.wants(b.rollback(0), "done", 3, "one")
		b.wants(b.deploy(first, "one"), "unchanged", 3, "one")
		b.wants(b.deploy(second, "three"), "done", 4, "three")
		b.wants(b.rollback(2), "done", 5, "two")
		b.replaced()
		b.has("two")
		out, err := b.fake.SecretsManager().GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{SecretId: sdk.String(scope.ServiceSecret("till"))})
		if err != nil || !strings.Contains(*out.SecretString, `"two"`) {
			b.Errorf("AWS shows other values than those that serve: %v", err)
		}
	})
}

// TestRefusedValues: what a release was given that is refused is read by nobody
// else, not even by instances that die meanwhile; and it is tried again.
func TestRefusedValues(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.wants(b.deploy(first, "one"), "done", 1, "one")
		b.fails(second, true)
		r := b.underLoad(func() api.Rollout { return b.deploy(second, "two") })
		if r.Reason == "" {
			b.Error("no reason is given")
		}
		b.wants(r, "refused", 2, "one")
		b.replaced()
		b.has("one")
		b.fails(second, false)
		b.wants(b.deploy(second, "two"), "done", 3, "two")
	})
}

// fails says whether requests to an image end in errors.
func (b *bench) fails(digest string, on bool) {
	b.Helper()
	out, err := b.fake.EC2().DescribeImages(context.Background(), &ec2.DescribeImagesInput{Filters: []ec2types.Filter{{Name: sdk.String("tag:" + convention.TagImage), Values: []string{digest}}}})
	if err != nil || len(out.Images) != 1 {
		b.Fatalf("%v, %v", out, err)
	}
	behaviour := awsfake.Behaviour{}
	if on {
		behaviour.Serve = func(int) (int, time.Duration) { return 500, time.Millisecond }
	}
	b.fake.SetBehaviour(*out.Images[0].ImageId, behaviour)
}

// underLoad does something while clients send requests.
func (b *bench) underLoad(do func() api.Rollout) api.Rollout {
	ctx, stop := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	clients.Go(func() {
		for ctx.Err() == nil {
			_ = b.fake.Request(ctx, scope.LoadBalancer(convention.Public, ""), "till.bistro.example", "/")
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	defer clients.Wait()
	defer stop()
	return do()
}

// TestGoneValues: where AWS has deleted what a release was given, it is not
// returned to, and nothing is begun.
func TestGoneValues(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.wants(b.deploy(first, "one"), "done", 1, "one")
		b.wants(b.deploy(first, "two"), "done", 2, "two")
		m, secret := b.fake.SecretsManager(), sdk.String(scope.ServiceSecret("till"))
		known, err := m.DescribeSecret(context.Background(), &secretsmanager.DescribeSecretInput{SecretId: secret})
		if err != nil {
			b.Fatal(err)
		}
		for version, labels := range known.VersionIdsToStages {
			for _, label := range labels {
				if slices.Contains(labels, "AWSCURRENT") {
					continue
				}
				if _, err := m.UpdateSecretVersionStage(context.Background(), &secretsmanager.UpdateSecretVersionStageInput{SecretId: secret, VersionStage: &label, RemoveFromVersionId: &version}); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.fake.ForgetSecretVersions()
		_, err = b.Rollback(context.Background(), "till", "test", 0, watch)
		var f *api.Failure
		if !errors.As(err, &f) || f.Code != api.Missing || !strings.Contains(err.Error(), "release 1 cannot be returned to") || !strings.Contains(err.Error(), "godwit aws deploy") {
			b.Errorf("%v", err)
		}
		b.wants(b.deploy(first, "two"), "unchanged", 2, "two")
	})
}

// TestRollBackWithoutSecrets: who may roll out and see no secret, as a developer
// may, returns to a release and its values.
func TestRollBackWithoutSecrets(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.wants(b.deploy(first, "one"), "done", 1, "one")
		b.wants(b.deploy(first, "two"), "done", 2, "two")
		b.fake.SetFaults(awsfake.Faults{Before: func(c awsfake.Call) error {
			if c.Service == "Secrets Manager" {
				return awsfake.Denied(c)
			}
			return nil
		}})
		r := b.rollback(0)
		b.fake.SetFaults(awsfake.Faults{})
		b.wants(r, "done", 3, "one")
		if said := strings.Join(b.notes, "\n"); !strings.Contains(said, "not looked whether the values of release 1 are still there") {
			b.Errorf("it said %s", said)
		}
	})
}

// TestReleaseFromBefore: one that names no version of its secret reads what is
// current, and that changes when another release serves.
func TestReleaseFromBefore(t *testing.T) {
	inBubble(t, func(b *bench) {
		secret := sdk.String(scope.ServiceSecret("till"))
		if _, err := b.fake.SecretsManager().PutSecretValue(context.Background(), &secretsmanager.PutSecretValueInput{SecretId: secret, SecretString: sdk.String(`{"` + token + `":"one"}`)}); err != nil {
			b.Fatal(err)
		}
		l := taking()
		s := aws.New(b.clients(), aws.Options{Landscape: l, Region: l.AWS.Region})
		old := fleet.Release{Environment: "test", Service: "till", Number: 1, Image: first, Port: 8080, Env: l.Services[0].Env, Health: l.Services[0].Health, Count: 1}
		if err := errors.Join(s.Launch(context.Background(), old), s.Shift(context.Background(), "test", "till", fleet.Weights{1: 100})); err != nil {
			b.Fatal(err)
		}
		b.has("one")
		b.fails(second, true)
		b.wants(b.underLoad(func() api.Rollout { return b.deploy(second, "two") }), "refused", 2, "one")
		b.replaced()
		b.has("one")
		b.wants(b.deploy(first, "one"), "done", 3, "one") // pinned from now on
		b.wants(b.deploy(first, "two"), "done", 4, "two")
	})
}

// TestOldMachineImage: one that would read other values is refused at once.
func TestOldMachineImage(t *testing.T) {
	inBubble(t, func(b *bench) {
		out, err := b.fake.EC2().DescribeImages(context.Background(), &ec2.DescribeImagesInput{Owners: []string{"self"}})
		if err != nil {
			b.Fatal(err)
		}
		for _, i := range out.Images {
			if _, err := b.fake.EC2().CreateTags(context.Background(), &ec2.CreateTagsInput{Resources: []string{*i.ImageId},
				Tags: []ec2types.Tag{{Key: sdk.String(convention.TagReads), Value: sdk.String("1")}}}); err != nil {
				b.Fatal(err)
			}
		}
		begun := time.Now()
		r := b.deploy(first, "one")
		if r.Outcome != "undone" || !strings.Contains(r.Reason, "older godwit") || !strings.Contains(r.Reason, "godwit aws bake till") {
			b.Errorf("%+v", r)
		}
		if took := time.Since(begun); took > time.Minute {
			b.Errorf("that took %v", took)
		}
	})
}

// TestKilledWithValues ends a deploy of a changed value at each call that puts,
// reads or writes: the instances have the old value until the next deploy, which
// rolls the new one out.
func TestKilledWithValues(t *testing.T) {
	t.Setenv(token, "one")
	var moments []string
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.wants(b.deploy(first, "one"), "done", 1, "one")
		moments = b.killedAt(0)
		b.has("two")
	})
	tried, secrets := 0, 0
	for at, moment := range moments {
		if !strings.Contains(moment, "Secret") && (strings.Contains(moment, " Describe") || strings.Contains(moment, " Get")) {
			continue
		}
		if tried++; strings.Contains(moment, "Secret") {
			secrets++
		}
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.wants(b.deploy(first, "one"), "done", 1, "one")
			_ = b.killedAt(at + 1)
			b.fake.ForgetSecretVersions()
			time.Sleep(3 * time.Minute) // its lease ends
			r := b.deploy(first, "two")
			if r.Outcome != "done" && r.Outcome != "unchanged" {
				t.Errorf("died %s: %+v", moment, r)
			}
			b.has("two")
			if t.Failed() {
				t.Logf("died %s", moment)
			}
		})
	}
	t.Logf("%d of %d moments, %d at the secret", tried, len(moments), secrets)
	if secrets < 10 || tried < 40 {
		t.Errorf("only %d moments, %d at the secret: %v", tried, secrets, moments)
	}
}

// killedAt deploys the value two in a process that ends at its n-th moment, before
// or after a call; 0: never. It says what the moments were at.
func (b *bench) killedAt(n int) (moments []string) {
	b.Helper()
	os.Setenv(token, "two")
	defer os.Setenv(token, "one")
	var mu sync.Mutex
	var dead atomic.Bool
	hook := func(when string) func(awsfake.Call) error {
		return func(c awsfake.Call) error {
			mu.Lock()
			moments = append(moments, fmt.Sprintf("%s %s", when, c.Operation))
			if len(moments) == n {
				dead.Store(true)
			}
			mu.Unlock()
			if dead.Load() {
				runtime.Goexit()
			}
			return nil
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		clients := b.clients()
		clients.S3 = mortalS3{b.fake.S3(), &dead}
		c := openAll(b.T, taking(), clients, quiet())
		b.fake.SetFaults(awsfake.Faults{Before: hook("before"), After: hook("after")})
		if _, err := c.Deploy(context.Background(), "till", "test", first, watch); err != nil {
			b.Error(err)
		}
	}()
	<-ended
	b.fake.SetFaults(awsfake.Faults{})
	return moments
}
