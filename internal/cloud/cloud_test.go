package cloud_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"godwit/internal/api"
	"godwit/internal/cloud"
	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/awstest"
	"godwit/internal/site/aws/convention"
)

const (
	first  = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	second = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// watch is long enough for metrics to arrive.
const watch = 5 * time.Minute

func TestMain(m *testing.M) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		os.Setenv(name, value)
	}
	os.Exit(m.Run())
}

func bistro() *landscape.Landscape {
	return &landscape.Landscape{Name: "bistro",
		Environments: []landscape.Environment{{Name: "test", Network: netip.MustParsePrefix("10.10.0.0/16")}},
		Services:     []landscape.Service{{Name: "till", Port: 8080, Scale: landscape.Scale{Min: 1, Max: 4}, Health: landscape.Health{Path: "/healthz"}}},
		Databases:    []landscape.Database{{Name: "till", Engine: "postgres"}},
		Ingresses:    []landscape.Ingress{{Name: "till", Host: "till.bistro.example", Service: "till"}},
		AWS:          &landscape.AWS{Region: awstest.Region, Zones: 2, Sizing: landscape.Sizing{Instance: "t3.small", Database: "db.t4g.small", Storage: 20}}}
}

// applied is AWS in memory with the bistro's environment and two baked images.
// Minutes of it pass at once, in a bubble of synctest.
func applied(t *testing.T) *awsfake.Cloud {
	t.Helper()
	c := awsfake.New(awsfake.Options{Timings: awsfake.Realistic})
	apply(t, c)
	return c
}

func apply(t *testing.T, c *awsfake.Cloud) {
	t.Helper()
	p := &awstest.Provisioner{EC2: c.EC2(), AutoScaling: c.AutoScaling(), LoadBalancing: c.LoadBalancing(), RDS: c.RDS(),
		SecretsManager: c.SecretsManager(), Landscape: "bistro", Zones: []string{awstest.Region + "a", awstest.Region + "b"}}
	if err := p.Apply(context.Background(), bistro(), "test"); err != nil {
		t.Fatal(err)
	}
	bucket := convention.Account{Landscape: "bistro", AccountID: awstest.AccountID, Region: awstest.Region}.StateBucket()
	if _, err := c.S3().CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	for _, digest := range []string{first, second} {
		if _, err := p.Bake(context.Background(), "till", digest); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, c *awsfake.Cloud, sink api.Sink) *cloud.Cloud {
	t.Helper()
	return openWith(t, c, c.S3(), sink)
}

func openWith(t *testing.T, c *awsfake.Cloud, s3 aws.S3, sink api.Sink) *cloud.Cloud {
	t.Helper()
	return openClients(t, aws.Clients{AutoScaling: c.AutoScaling(), EC2: c.EC2(), LoadBalancing: c.LoadBalancing(), CloudWatch: c.CloudWatch(), RDS: c.RDS(),
		SecretsManager: c.SecretsManager(), S3: s3, STS: c.STS()}, sink)
}

func openClients(t *testing.T, clients aws.Clients, sink api.Sink) *cloud.Cloud {
	t.Helper()
	return openAll(t, bistro(), clients, sink)
}

func openAll(t *testing.T, l *landscape.Landscape, clients aws.Clients, sink api.Sink) *cloud.Cloud {
	t.Helper()
	opened, err := cloud.Open(context.Background(), cloud.Options{Landscape: l, Sink: sink, Clients: &clients,
		Resolve: func(context.Context, string) (netip.Addr, error) { return netip.MustParseAddr("10.10.128.1"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func quiet() api.Sink { return api.Sink{Event: func(api.Event) {}, Row: func(any) {}} }

// outcome is how the only rollout ended.
func outcome(t *testing.T, all []api.Rollout, err error) api.Rollout {
	t.Helper()
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	return all[0]
}

// serving is the only release with weight, its image and its instances.
func serving(t *testing.T, c *cloud.Cloud) (number int, image string, ready int) {
	t.Helper()
	all, err := c.Status(context.Background(), "test")
	if err != nil || len(all) != 1 || len(all[0].Fleets) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	f := all[0].Fleets[0]
	for release, weight := range f.Weights {
		if weight > 0 {
			if number != 0 {
				t.Fatalf("several releases serve: %v", f.Weights)
			}
			number = release
		}
	}
	for _, r := range f.Releases {
		if r.Number == number {
			image = r.Image
		}
	}
	for _, i := range f.Instances {
		if i.Release == number && i.State == fleet.Ready {
			ready++
		} else if i.Release != number {
			t.Errorf("an instance of release %d is left: %+v", i.Release, i)
		}
	}
	return number, image, ready
}

func TestDeployAndRollBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, deployAndRollBack)
}

func deployAndRollBack(t *testing.T) {
	c := open(t, applied(t), quiet())
	for i, step := range []struct {
		do   func() ([]api.Rollout, error)
		want api.Rollout
	}{
		{func() ([]api.Rollout, error) { return c.Deploy(context.Background(), "till", "", first, watch) }, api.Rollout{From: 0, To: 1, Outcome: "done"}},
		{func() ([]api.Rollout, error) { return c.Deploy(context.Background(), "till", "test", first, watch) }, api.Rollout{From: 1, To: 1, Outcome: "unchanged"}},
		{func() ([]api.Rollout, error) { return c.Deploy(context.Background(), "till", "test", second, watch) }, api.Rollout{From: 1, To: 2, Outcome: "done"}},
		{func() ([]api.Rollout, error) { return c.Rollback(context.Background(), "till", "test", 0, watch) }, api.Rollout{From: 2, To: 3, Outcome: "done"}},
		{func() ([]api.Rollout, error) { return c.Rollback(context.Background(), "till", "test", 2, watch) }, api.Rollout{From: 3, To: 4, Outcome: "done"}},
	} {
		all, err := step.do()
		r := outcome(t, all, err)
		if r.From != step.want.From || r.To != step.want.To || r.Outcome != step.want.Outcome {
			t.Fatalf("step %d: %+v", i+1, r)
		}
		number, image, ready := serving(t, c)
		wanted := map[int]string{1: first, 2: second, 3: first, 4: second}[step.want.To]
		if number != step.want.To || image != wanted || ready != 1 {
			t.Errorf("step %d: release %d of %s with %d instances serves", i+1, number, image, ready)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, refusals)
}

func refusals(t *testing.T) {
	c := open(t, applied(t), quiet())
	for name, try := range map[string]struct {
		do   func() ([]api.Rollout, error)
		code api.Code
		says string
	}{
		"no such service":     {func() ([]api.Rollout, error) { return c.Deploy(context.Background(), "bar", "test", first, watch) }, api.Missing, `no service "bar"`},
		"no such environment": {func() ([]api.Rollout, error) { return c.Deploy(context.Background(), "till", "prod", first, watch) }, api.Missing, `no environment "prod"`},
		"nothing before":      {func() ([]api.Rollout, error) { return c.Rollback(context.Background(), "till", "test", 0, watch) }, api.Missing, "no earlier release"},
		"no such release":     {func() ([]api.Rollout, error) { return c.Rollback(context.Background(), "till", "test", 9, watch) }, api.Missing, "no release 9"},
	} {
		_, err := try.do()
		var f *api.Failure
		if !errors.As(err, &f) || f.Code != try.code || !strings.Contains(err.Error(), try.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	all, err := c.Deploy(context.Background(), "till", "test", "sha256:"+strings.Repeat("d", 64), watch)
	if r := outcome(t, all, err); r.Outcome != "undone" || !strings.Contains(r.Reason, "godwit aws bake") {
		t.Errorf("an image that was never baked: %+v", r)
	}
}

func TestOneRolloutAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, oneRolloutAtATime)
}

func oneRolloutAtATime(t *testing.T) {
	m := applied(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	slow := open(t, m, api.Sink{Row: func(any) {}, Event: func(e api.Event) {
		if e.Step == "launch" && e.State == "begun" {
			close(begun)
			<-goOn
		}
	}})
	done := make(chan error, 1)
	go func() {
		_, err := slow.Deploy(context.Background(), "till", "test", first, watch)
		done <- err
	}()
	<-begun
	_, err := open(t, m, quiet()).Deploy(context.Background(), "till", "test", second, watch)
	close(goOn)
	var f *api.Failure
	if !errors.As(err, &f) || f.Code != api.Busy {
		t.Errorf("a second rollout beside the first: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestKilled ends the process of a rollout at each of its events, as if killed:
// nothing of it comes after. Another, with nothing but AWS to read, waits until
// the lease has run out and ends it: entirely old or entirely new.
func TestKilled(t *testing.T) {
	t.Parallel()
	for at, killed := 1, true; killed; at++ {
		synctest.Test(t, func(t *testing.T) {
			fake := applied(t)
			c := open(t, fake, quiet())
			all, err := c.Deploy(context.Background(), "till", "test", first, watch)
			outcome(t, all, err)
			killed = deployUntil(t, fake, at)
			if _, err := c.Resume(context.Background(), "till", "test"); killed && !errors.As(err, new(*api.Failure)) {
				t.Errorf("killed at event %d, and its lease is not heeded: %v", at, err)
			}
			time.Sleep(3 * time.Minute)
			if _, err := c.Resume(context.Background(), "till", "test"); err != nil {
				t.Fatalf("killed at event %d: %v", at, err)
			}
			number, image, ready := serving(t, c)
			if ready != 1 || !(number == 1 && image == first || number == 2 && image == second) || !killed && number != 2 {
				t.Errorf("killed at event %d: release %d of %s with %d instances serves", at, number, image, ready)
			}
		})
		if !killed && at < 12 {
			t.Errorf("only %d events", at)
		}
	}
}

// mortalS3 is that of a process that ends: the goroutine which keeps its lease
// ends with it.
type mortalS3 struct {
	aws.S3
	dead *atomic.Bool
}

func (m mortalS3) PutObject(ctx context.Context, in *s3.PutObjectInput, o ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if m.dead.Load() {
		runtime.Goexit()
	}
	return m.S3.PutObject(ctx, in, o...)
}

// deployUntil rolls out the second image in a process that ends at an event.
func deployUntil(t *testing.T, fake *awsfake.Cloud, at int) bool {
	t.Helper()
	var dead atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		events := 0
		c := openWith(t, fake, mortalS3{fake.S3(), &dead}, api.Sink{Row: func(any) {}, Event: func(api.Event) {
			if events++; events == at {
				dead.Store(true)
				runtime.Goexit()
			}
		}})
		if _, err := c.Deploy(context.Background(), "till", "test", second, watch); err != nil {
			t.Error(err)
		}
	}()
	<-ended
	return dead.Load()
}

// sleepyS3 is that of a process that was asleep: its writes arrive when it wakes.
type sleepyS3 struct {
	aws.S3
	asleep *atomic.Bool
	awake  chan struct{}
}

func (s sleepyS3) PutObject(ctx context.Context, in *s3.PutObjectInput, o ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if s.asleep.Load() {
		<-s.awake
	}
	return s.S3.PutObject(ctx, in, o...)
}

// TestAsleep: a process that slept while its lease ran out, and another worked
// on, touches nothing when it wakes: not even to take back what it did.
func TestAsleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := applied(t)
		other := open(t, fake, quiet())
		all, err := other.Deploy(context.Background(), "till", "test", first, watch)
		outcome(t, all, err)
		var on atomic.Bool
		awake, reached, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		sleeper := openWith(t, fake, sleepyS3{fake.S3(), &on, awake}, api.Sink{Row: func(any) {}, Event: func(e api.Event) {
			if e.Step == "judge" && e.State == "begun" {
				on.Store(true)
				close(reached)
				<-awake
			}
		}})
		go func() {
			_, err := sleeper.Deploy(context.Background(), "till", "test", second, watch)
			ended <- err
		}()
		<-reached
		time.Sleep(5 * time.Minute)
		all, err = other.Deploy(context.Background(), "till", "test", second, watch)
		if r := outcome(t, all, err); r.Outcome != "done" || r.To != 3 {
			t.Fatalf("%+v", r)
		}
		woke := time.Now()
		close(awake)
		if err := <-ended; !errors.Is(err, journal.ErrTaken) {
			t.Errorf("the sleeper ended with %v", err)
		}
		if took := time.Since(woke); took > time.Minute {
			t.Errorf("it went on for %v", took)
		}
		if number, image, ready := serving(t, other); number != 3 || image != second || ready != 1 {
			t.Errorf("release %d of %s with %d instances serves", number, image, ready)
		}
	})
}
