package sitetest

import (
	"context"
	"net"
	"slices"
	"testing"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
)

// RunFronted runs the part of the contract that is about site.Fronted; it skips a
// site that is none. Its harness needs an ingress in the landscape, and a site
// whose Apply makes what clients reach, certificates included.
func RunFronted(t *testing.T, h Harness) {
	h = h.filled()
	for _, test := range []struct {
		name string
		run  func(*testing.T, *bench, site.Fronted)
	}{
		{"a front is an address with the name of its certificate", frontNames},
		{"a front stays where it is when releases change", frontStays},
		{"a front needs an environment and an ingress", frontNowhere},
		{"a front ends with its environment", frontRemoved},
		{"a front ends with its context", frontCancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, h)
			fronted, ok := b.site.(site.Fronted)
			if !ok {
				t.Skip("the site has no fronts of its own")
			}
			if len(h.Landscape.Ingresses) == 0 {
				t.Fatal("the harness's landscape needs an ingress")
			}
			b.service = h.Landscape.Ingresses[0].Service
			test.run(t, b, fronted)
		})
	}
}

func (b *bench) front(f site.Fronted) site.Front {
	b.t.Helper()
	front, err := f.Front(b.ctx, b.environment, b.service)
	b.ok(err)
	return front
}

func frontNames(t *testing.T, b *bench, f site.Fronted) {
	front := b.front(f)
	if host, port, err := net.SplitHostPort(front.Address); err != nil || host == "" || port == "" {
		t.Errorf("its address is %q", front.Address)
	}
	var hosts []string
	for _, in := range b.Landscape.Ingresses {
		if in.Service == b.service {
			hosts = append(hosts, landscape.IngressHost(b.Landscape, in, b.environment))
		}
	}
	slices.Sort(hosts)
	if front.TLS != "" && front.TLS != hosts[0] {
		t.Errorf("its certificate is for %q, the service's hosts are %v", front.TLS, hosts)
	}
	b.ok(b.site.Apply(b.ctx, b.Landscape, b.other))
	if other, err := f.Front(b.ctx, b.other, b.service); err != nil || other.Address == front.Address {
		t.Errorf("both environments are reached at %q (%v)", front.Address, err)
	}
}

func frontStays(t *testing.T, b *bench, f site.Fronted) {
	before := b.front(f)
	for number := 1; number <= 2; number++ {
		r := b.release(number, 1, b.Good)
		b.ok(b.site.Launch(b.ctx, r))
		b.ok(b.site.Shift(b.ctx, b.environment, b.service, fleet.Weights{number: 1}))
		if after := b.front(f); after != before {
			t.Errorf("with release %d it is %v, before %v", number, after, before)
		}
	}
}

func frontNowhere(t *testing.T, b *bench, f site.Fronted) {
	hidden := ""
	for _, s := range b.Landscape.Services {
		if !slices.ContainsFunc(b.Landscape.Ingresses, func(in landscape.Ingress) bool { return in.Service == s.Name }) {
			hidden = s.Name
		}
	}
	if hidden == "" {
		t.Fatal("the harness's landscape needs a service without an ingress")
	}
	for _, c := range []struct{ what, environment, service string }{
		{"environment not applied", b.other, b.service},
		{"undeclared environment", "undeclared", b.service},
		{"undeclared service", b.environment, "undeclared"},
		{"service without ingress", b.environment, hidden},
	} {
		_, err := f.Front(b.ctx, c.environment, c.service)
		b.want(c.what, err, site.ErrNotFound)
	}
}

func frontRemoved(_ *testing.T, b *bench, f site.Fronted) {
	b.front(f)
	b.ok(b.site.Remove(b.ctx, b.environment))
	_, err := f.Front(b.ctx, b.environment, b.service)
	b.want("after its removal", err, site.ErrNotFound)
}

func frontCancelled(t *testing.T, b *bench, f site.Fronted) {
	over, cancel := context.WithCancel(b.ctx)
	cancel()
	soon(t, "Front", func() {
		if _, err := f.Front(over, b.environment, b.service); err == nil {
			t.Error("it answers although its context has ended")
		}
	})
}
