package engine

import (
	"context"
	"fmt"
	"strings"

	"godwit/internal/api"
	"godwit/internal/plan"
)

// Up makes what runs like what is declared. Until its plan is approved it
// changes nothing. Everything in it is idempotent: a second up after a crash goes
// on where the first was killed.
func (e *Engine) Up(ctx context.Context, r api.UpRequest, sink api.Sink) (result api.UpResult, err error) {
	err = e.operate(ctx, operation{name: "up", apart: true, // next settles, in the world before
		world: func(ctx context.Context, sink api.Sink) (*world, error) { return e.next(ctx, r, sink) },
		do: func(ctx context.Context, w *world, _ *migration, sink api.Sink) (err error) {
			if w.fronted() {
				result, err = e.upFronts(ctx, w, sink)
			} else {
				result, err = e.upHere(ctx, w, r.Approve, sink)
			}
			return err
		}}, sink)
	return result, err
}

// upHere makes the environments of a world, where the engine makes them.
func (e *Engine) upHere(ctx context.Context, w *world, approve bool, sink api.Sink) (result api.UpResult, err error) {
	images, err := e.makeImages(ctx, w, w.landscape.Services, sink)
	if err != nil {
		return result, err
	}
	p, err := e.compare(ctx, w, images)
	if err != nil {
		return result, err
	}
	if err := e.permitted(ctx, w, p, approve); err != nil {
		return result, err
	}
	if err := e.enter(ctx, w, sink); err != nil {
		return result, err
	}
	routes, err := e.carryOut(ctx, w, p, images, sink)
	if err != nil {
		return result, err
	}
	return api.UpResult{Plan: p, Gateway: w.settings.Listen, Routes: routes}, nil
}

// next is the world as a request wants it, over the site that is there already
// or over a new one. What an earlier operation left is settled first.
func (e *Engine) next(ctx context.Context, r api.UpRequest, sink api.Sink) (*world, error) {
	w, err := e.declare(ctx, r)
	if err != nil {
		return nil, err
	}
	old, _ := e.current()
	if old == nil {
		if err := e.openSite(ctx, w, sink); err != nil {
			return nil, err
		}
		if err := e.keepAlive(ctx, w); err != nil {
			return nil, err
		}
		return w, e.settleFor(ctx, w, nil, sink)
	}
	w.site = old.site
	if w.fronted() { // it keeps nothing here, and knows the landscape
		if err := e.openSite(ctx, w, sink); err != nil {
			return nil, err
		}
	}
	// Its table says what is routed now.
	if err := e.ensureGateway(ctx, w.settings.Listen); err != nil {
		return nil, err
	}
	return w, e.settleFor(ctx, old, nil, sink)
}

// enter makes a world the one that the engine works on, now and after a restart.
func (e *Engine) enter(ctx context.Context, w *world, sink api.Sink) error {
	if w.site.Abilities().Isolation == "none" {
		sink.Note("site", "NO ISOLATION", "instances are plain processes of this user: every one can reach every other, this machine and the whole network")
	}
	if err := e.saveSettings(ctx, w.settings); err != nil {
		return err
	}
	e.setWorld(w)
	if err := e.keepAlive(ctx, w); err != nil {
		return err
	}
	return sink.Timed("gateway", "serves on "+w.settings.Listen, func() error { return e.ensureGateway(ctx, w.settings.Listen) })
}

// permitted refuses what pulls the ground from under a migration, and what
// needs approval and has none.
func (e *Engine) permitted(ctx context.Context, w *world, p plan.Plan, approve bool) error {
	if err := e.migrationsStay(ctx, w, p); err != nil {
		return err
	}
	refused := p.Protected()
	if approve || len(refused) == 0 {
		return nil
	}
	var list strings.Builder
	for _, c := range refused {
		fmt.Fprintf(&list, "\n  %s %s %q in environment %q: %s", c.Action, c.Kind, c.Name, c.Environment, c.Reason)
	}
	return api.Fail(api.Refused, "nothing was done, for this needs approval:%s\nrun again with --approve if all of it is meant", list.String())
}

// Plan says what Up would change.
func (e *Engine) Plan(ctx context.Context, in api.Landscape, sink api.Sink) (plan.Plan, error) {
	next, err := e.declare(ctx, api.UpRequest{Landscape: in})
	if err != nil {
		return plan.Plan{}, err
	}
	w, err := e.current()
	if err != nil {
		return e.withhold(ctx, next, plan.Compute(next.landscape, nil, plan.Have{}))
	}
	next.site = w.site
	if err := next.elsewhere("godwit aws plan says what would change"); err != nil {
		return plan.Plan{}, err
	}
	images, err := e.makeImages(ctx, next, next.landscape.Services, sink)
	if err != nil {
		return plan.Plan{}, err
	}
	return e.compare(ctx, next, images)
}
