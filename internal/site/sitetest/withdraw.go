package sitetest

import (
	"errors"
	"slices"
	"testing"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
)

// withdraw takes a service out of the landscape: it goes on until its weights
// are taken away, and is gone with its last release.
func withdraw(t *testing.T, b *bench) {
	b.launch(1, 2)
	b.launch(2, 1)
	b.shift(fleet.Weights{1: 1, 2: 1})
	b.ok(b.site.Apply(b.ctx, without(b.Landscape, b.service), b.environment))
	if ready := b.instances(1, fleet.Ready); len(ready) != 2 || len(b.weights()) != 2 {
		t.Errorf("only undeclared, it has ready instances %v and weights %v", ready, b.weights())
	}
	b.want("retired with weight", b.site.Retire(b.ctx, b.environment, b.service, 1), site.ErrInvalid)
	b.shift(nil)
	b.shift(fleet.Weights{1: 0})
	if w := b.weights(); len(w) > 0 {
		t.Errorf("withdrawn, it has weights %v", w)
	}
	if b.Request != nil && b.Request(b.ctx, b.site, b.environment, b.service) == nil {
		t.Error("withdrawn, it was served")
	}
	for number := 1; number <= 2; number++ {
		b.ok(b.site.Drain(b.ctx, b.environment, b.service, number))
		b.ok(b.site.Retire(b.ctx, b.environment, b.service, number))
		if there := b.reported(); there != (number == 1) {
			t.Errorf("release %d is retired, and the service is reported: %v", number, there)
		}
	}
	if err := b.site.Retire(b.ctx, b.environment, b.service, 2); err != nil && !errors.Is(err, site.ErrNotFound) {
		t.Errorf("retired again: %v", err)
	}
	b.want("launched when it is gone", b.site.Launch(b.ctx, b.release(3, 1, b.Good)), site.ErrNotFound)
	b.want("shifted when it is gone", b.site.Shift(b.ctx, b.environment, b.service, nil), site.ErrNotFound)

	b.ok(b.site.Apply(b.ctx, b.Landscape, b.environment))
	b.launch(3, 1)
	b.shift(fleet.Weights{3: 1})
	b.want("withdrawn while it is declared", b.site.Shift(b.ctx, b.environment, b.service, nil), site.ErrInvalid)
}

// reported says whether Observe knows the service.
func (b *bench) reported() bool {
	b.t.Helper()
	return slices.ContainsFunc(b.observe().Fleets, func(f fleet.Fleet) bool { return f.Service == b.service })
}

// without is the landscape as it is when a service is taken out of it.
func without(l *landscape.Landscape, service string) *landscape.Landscape {
	fewer := *l
	fewer.Services, fewer.Ingresses, fewer.Migrations, fewer.Probes = nil, nil, nil, nil
	for _, s := range l.Services {
		if s.Name == service {
			continue
		}
		s.Needs = slices.DeleteFunc(slices.Clone(s.Needs), func(r landscape.Ref) bool { return r.Kind == "service" && r.Name == service })
		fewer.Services = append(fewer.Services, s)
	}
	for _, in := range l.Ingresses {
		if in.Service != service {
			fewer.Ingresses = append(fewer.Ingresses, in)
		}
	}
	return &fewer
}
