package aws_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/convention"
	"godwit/internal/site/sitetest"
)

// fast is how many times faster than the tests' clock the fake's runs, and the
// site's with it: the suite's subtests cannot be in a synctest bubble.
const fast = 300

// hurried is a clock that runs fast.
func hurried() func() time.Time {
	begun := time.Now()
	return func() time.Time { return begun.Add(time.Since(begun) * fast) }
}

func hurriedSite(t *testing.T, l *landscape.Landscape) (*aws.Site, *awsfake.Cloud) {
	t.Helper()
	clock, timings := hurried(), awsfake.Realistic
	timings.Delay = 20 * time.Second
	c := awsfake.New(awsfake.Options{Clock: clock, Timings: timings, Page: 2})
	p := fakeProvisioner(c)
	bake(t, c, p, good, bad)
	return aws.New(fakeClients(c), aws.Options{Landscape: l, Region: "eu-central-1", Provisioner: p, Resolve: resolve,
		Now: clock, Poll: 20 * time.Millisecond, Patience: 20 * time.Second}), c
}

// TestContractOnFakeUnreached: the suite for a service that nothing can send a
// request to. Its subtests that send some are skipped.
func TestContractOnFakeUnreached(t *testing.T) {
	t.Parallel()
	l := bistro()
	slices.Reverse(l.Services)
	sitetest.Run(t, sitetest.Harness{New: func(t *testing.T) site.Site { s, _ := hurriedSite(t, l); return s },
		Landscape: l, Release: fleet.Release{Port: 8081}, Good: good, Bad: bad})
}

// TestContractOnFake: the whole suite, requests included, on instances that take
// their time.
func TestContractOnFake(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	clouds := map[site.Site]*awsfake.Cloud{}
	of := func(s site.Site) *awsfake.Cloud {
		mu.Lock()
		defer mu.Unlock()
		return clouds[s]
	}
	sitetest.Run(t, sitetest.Harness{
		New: func(t *testing.T) site.Site {
			s, c := hurriedSite(t, bistro())
			mu.Lock()
			defer mu.Unlock()
			clouds[s] = c
			return s
		},
		Landscape: bistro(), Release: fleet.Release{Port: 8080}, Good: good, Bad: bad,
		Request: func(ctx context.Context, s site.Site, environment, service string) error {
			// A network takes its time too; without, the suite would send nothing but requests.
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
			return request(ctx, of(s), environment, service)
		},
		PerRequest: 2,
		Begin: func(t *testing.T, s site.Site, environment, _ string) func() {
			r, err := of(s).Begin(convention.Scope{Landscape: "bistro", Environment: environment}.LoadBalancer(convention.Public, ""), host, "/")
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := r.End(); err != nil {
					t.Errorf("the request that was in flight: %v", err)
				}
			}
		},
	})
}
