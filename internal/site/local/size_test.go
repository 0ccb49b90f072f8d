//go:build linux

package local_test

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site/local"
)

// sizes of an environment: what every run tries, and what GODWIT_SOAK=1 does.
func sizes() (services, instances, inOne int) {
	if os.Getenv("GODWIT_SOAK") != "" {
		return 100, 10, 500
	}
	return 40, 3, 130
}

// TestManyServices: a hundred services of ten come up in one environment, each
// reaches the one that it needs and no other, and one more instance is as quickly
// there as among few.
func TestManyServices(t *testing.T) {
	services, instances, _ := sizes()
	b := newBench(t, func(c *local.Config) { c.LaunchTimeout = time.Minute })
	l := city(services)
	began := time.Now()
	b.apply(l, "test")
	for _, v := range l.Services {
		b.up(tiny(v.Name, instances))
	}
	t.Logf("%d instances of %d services are ready after %v", services*instances, services, time.Since(began).Round(time.Millisecond))
	b.everythingReady(services * instances)

	b.route("test", "s-0")
	if got := b.must("test", "s-0", "/get?url=http://s-1.svc.internal:8080/"); got != "s-1" {
		t.Errorf("what it needs: %q", got)
	}
	if got, err := b.get("test", "s-0", "/get?url=http://s-2.svc.internal:8080/"); err == nil {
		t.Errorf("what it does not need: %q", got)
	}
	began = time.Now()
	b.ok(b.Launch(b.Context(), tiny("s-1", instances+1)))
	t.Logf("one more is ready after %v", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	b.everythingReady(services*instances + 1)
	t.Logf("observed in %v", time.Since(began).Round(time.Millisecond))
}

// TestLargeService: one service of five hundred comes up, and each serves.
func TestLargeService(t *testing.T) {
	_, _, count := sizes()
	b := newBench(t, func(c *local.Config) { c.LaunchTimeout = time.Minute })
	began := time.Now()
	b.apply(city(2), "test")
	b.up(tiny("s-1", 2))
	b.up(tiny("s-0", count))
	t.Logf("%d instances of one service are ready after %v", count, time.Since(began).Round(time.Millisecond))
	b.everythingReady(count + 2)
	b.route("test", "s-0")
	for range 2 * count {
		if got := b.must("test", "s-0", "/get?url=http://s-1.svc.internal:8080/"); got != "s-1" {
			t.Fatalf("what it needs: %q", got)
		}
	}
}

// city is a landscape of so many services, each of which needs the next one.
func city(services int) *landscape.Landscape {
	l := &landscape.Landscape{Name: "city", Environments: []landscape.Environment{{Name: "test", Network: netip.MustParsePrefix("10.73.0.0/16")}}}
	name := func(i int) string { return fmt.Sprintf("s-%d", i%services) }
	for i := range services {
		l.Services = append(l.Services, landscape.Service{Name: name(i), Port: 8080, Needs: []landscape.Ref{{Kind: "service", Name: name(i + 1)}}})
	}
	l.Ingresses = []landscape.Ingress{{Name: "in", Host: "in.example", Service: name(0)}}
	return l
}

// tiny is a release of a service that knows nobody.
func tiny(service string, count int) fleet.Release {
	r := release("test", service, 1, count, shared.good)
	r.Env = map[string]landscape.Value{"NAME": landscape.Literal(service)}
	r.Health.Timeout = 5 * time.Second // the machine is busy with starting the others
	return r
}

func (b *bench) everythingReady(want int) {
	b.Helper()
	e, err := b.Observe(b.Context(), "test")
	b.ok(err)
	ready := 0
	for _, f := range e.Fleets {
		for _, i := range f.Instances {
			if i.State == fleet.Ready {
				ready++
			} else {
				b.Errorf("%s is %s: %s", i.ID, i.State, i.Reason)
			}
		}
	}
	if ready != want {
		b.Errorf("%d are ready, want %d", ready, want)
	}
}
