package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"godwit/internal/fleet"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// Launch implements site.Site. The release goes into the place that holds it, or
// into the one that holds none; it gets at least as many instances as the
// release has that serves now, so that it can take over at any moment.
func (s *Site) Launch(ctx context.Context, r fleet.Release) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v, err := s.deployment(ctx, r.Environment, r.Service)
	if err != nil {
		return err
	}
	if r.Number < 1 || r.Count < 1 {
		return fmt.Errorf("release %d of %s with %d instances: %w", r.Number, v, r.Count, site.ErrInvalid)
	}
	p, err := s.choose(ctx, v, r)
	if err != nil {
		return err
	}
	version, err := s.prepare(ctx, v, p, r)
	if err != nil {
		return err
	}
	before, err := s.failures(ctx, p.group)
	if err != nil {
		return err
	}
	want := r.Count
	if p.weight == 0 {
		want = max(want, v.serving())
	}
	if err := s.occupy(ctx, v, p, r, version, want); err != nil {
		return err
	}
	if err := s.awaitReady(ctx, launching{site: s, place: p, logs: v.scope.LogGroup(v.service), release: r.Number, want: want, before: before}); err != nil {
		return fmt.Errorf("release %d of %s: %w", r.Number, v, err)
	}
	return nil
}

// choose finds the place for a release. It refuses while something else works on
// the groups.
func (s *Site) choose(ctx context.Context, v *deployment, r fleet.Release) (*place, error) {
	for _, p := range v.places {
		id, err := s.refreshing(ctx, p.group)
		if err != nil {
			return nil, err
		}
		if id != "" {
			return nil, fmt.Errorf("instance refresh %s of %s is under way: wait for it, or `aws autoscaling cancel-instance-refresh --auto-scaling-group-name %s`: %w",
				id, p.name, p.name, site.ErrInvalid)
		}
	}
	if p := v.holding(r.Number); p != nil {
		return p, s.unchanged(ctx, p, r)
	}
	// One that was retired half-way, and still has instances, only when there is no other.
	free := slices.DeleteFunc(slices.Clone(v.places), func(p *place) bool { return p.release != 0 })
	slices.SortStableFunc(free, func(a, b *place) int { return (a.weight + len(a.members)) - (b.weight + len(b.members)) })
	if len(free) == 0 {
		return nil, fmt.Errorf("release %d of %s finds no place, both are taken by %s: retire the one without weight (weights: %v): %w",
			r.Number, v, v.releases(), v.weights(), site.ErrInvalid)
	}
	return free[0], nil
}

// unchanged refuses another image, or other values, under a number that is taken.
func (s *Site) unchanged(ctx context.Context, p *place, r fleet.Release) error {
	known, err := s.documents(ctx, p.templateID, []string{p.version})
	if err != nil {
		return err
	}
	u, ok := known[p.version]
	switch {
	case !ok || u.Release.Number != r.Number:
	case u.Release.Image != r.Image:
		return fmt.Errorf("release %d of %s is image %s, and a release never changes: give %s a number of its own: %w",
			r.Number, r.Service, u.Release.Image, r.Image, site.ErrInvalid)
	case u.Release.SecretVersion != r.SecretVersion:
		return fmt.Errorf("release %d of %s has version %q of its secret, and a release never changes: give version %q a number of its own: %w",
			r.Number, r.Service, u.Release.SecretVersion, r.SecretVersion, site.ErrInvalid)
	}
	return nil
}

// prepare has everything ready that a launch needs, before anything is changed
// that serves: machine image, version of the template, instance type.
func (s *Site) prepare(ctx context.Context, v *deployment, p *place, r fleet.Release) (string, error) {
	u, err := userData(s.declared(), v.scope, s.options.Region, p.colour, r)
	if err != nil {
		return "", err
	}
	need := u.Version()
	if len(p.targetGroups) == 0 {
		need = convention.ReadsLaunchHook // with or without the hook: the next apply may make it
	}
	ami, err := s.machineImage(ctx, r, need)
	if err != nil {
		return "", err
	}
	t, err := s.template(ctx, v.scope, r.Service)
	if err != nil {
		return "", err
	}
	version, err := s.version(ctx, t, p.version, ami, u)
	if err != nil {
		return "", err
	}
	p.templateID = t.id
	return version.number, s.offered(ctx, version.instance, p.zones)
}

// occupy has a place launch what is missing. A place that serves goes on
// scaling; one that does not has the size that it is given.
func (s *Site) occupy(ctx context.Context, v *deployment, p *place, r fleet.Release, version string, want int) error {
	if p.release != r.Number {
		if err := s.clearWeight(ctx, v, p); err != nil {
			return err
		}
		p.weight = 0
		since := s.options.Now().UTC().Format(time.RFC3339)
		if err := s.tag(ctx, p.group, map[string]string{convention.TagRelease: strconv.Itoa(r.Number), convention.TagSince: since}); err != nil {
			return err
		}
	}
	if err := s.rest(ctx, p); err != nil {
		return err
	}
	if err := s.pin(ctx, p.group, version); err != nil {
		return err
	}
	size := max(want, p.size)
	low, high := size, size
	if p.weight > 0 {
		low, high = min(p.min, size), max(p.max, size)
	}
	return s.resize(ctx, p.group, low, size, high)
}

// rest suspends what changes instances unasked in a place without weight. Those
// that are ill from before are replaced all the same, while they are waited for:
// a launch that is repeated has to end with healthy ones.
func (s *Site) rest(ctx context.Context, p *place) error {
	if slices.ContainsFunc(p.members, func(m member) bool { return !m.healthy }) {
		others := slices.DeleteFunc(paused(), func(process string) bool { return process == replacing || p.weight > 0 })
		if err := s.suspend(ctx, p.group, others...); err != nil {
			return err
		}
		return s.resume(ctx, p.group, replacing)
	}
	if p.weight > 0 {
		return nil
	}
	return s.suspend(ctx, p.group, paused()...)
}

// clearWeight takes from a place that holds nothing the weight that it may have
// been made with.
func (s *Site) clearWeight(ctx context.Context, v *deployment, p *place) error {
	if p.weight == 0 {
		return nil
	}
	weights := map[convention.Colour]int{}
	for _, other := range v.places {
		if other != p {
			weights[other.colour] = other.weight
		}
	}
	return s.reweigh(ctx, v, weights)
}

// awaitReady waits until as many instances as wanted are ready. It gives up when
// AWS cannot launch them, when one ends, and when patience does.
func (s *Site) awaitReady(ctx context.Context, l launching) error {
	p := l.place
	l.ill, l.seen = map[string]bool{}, map[string]bool{}
	for _, m := range p.members {
		l.ill[m.id] = !m.healthy || !strings.HasPrefix(m.lifecycle, "InService") && !strings.HasPrefix(m.lifecycle, "Pending")
	}
	errPatience := fmt.Errorf("not ready within %s: %w", s.options.Patience, site.ErrUnready)
	within, cancel := context.WithTimeoutCause(ctx, s.options.Patience, errPatience)
	defer cancel()
	err := s.wait(within, func() (bool, error) { return l.look(within) })
	if p.weight == 0 && ctx.Err() == nil {
		// Nobody but a rollout replaces anything there from now on.
		err = errors.Join(err, s.suspend(ctx, l.group, paused()...))
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil && within.Err() != nil && !errors.Is(err, site.ErrUnready):
		err = errPatience // patience ended within a call
	}
	if l.state != "" && (within.Err() != nil) {
		return fmt.Errorf("%s; their logs are the streams of CloudWatch log group %s: %w", l.state, l.logs, err)
	}
	return err
}

// launching is a launch that is waited for.
type launching struct {
	site          *Site
	place         *place
	logs          string // log group of the service
	release, want int
	before        map[string]failure // launches that failed before this one
	ill           map[string]bool    // members that were lost before this one
	seen          map[string]bool    // members that this one has seen alive
	group         group              // as last seen
	state         string             // how it stands, in words
}

func (l *launching) look(ctx context.Context) (done bool, err error) {
	if l.group, err = l.site.group(ctx, l.place.name); err != nil {
		return false, err
	}
	h, err := l.site.health(ctx, l.place)
	if err != nil {
		return false, err
	}
	ready := h.ready(l.group)
	l.state = strings.TrimRight(fmt.Sprintf("%d of %d instances are ready: %s", ready, l.want, h.wrong(l.group)), ": ")
	if ready >= l.want {
		return l.group.release == l.release, nil // tags are seen a moment later
	}
	if err := l.failed(ctx); err != nil {
		return false, err
	}
	if err := l.ended(); err != nil {
		return false, err
	}
	return false, l.enrol(ctx, h)
}

// failed gives up when AWS could not launch an instance, unless that may pass by itself.
func (l *launching) failed(ctx context.Context) error {
	now, err := l.site.failures(ctx, l.group)
	if err != nil {
		return err
	}
	for id, f := range now {
		if _, old := l.before[id]; old {
			continue
		}
		if f.abandoned() {
			return fmt.Errorf("instance %s never answered its health check, and Auto Scaling gave it up: %s: %w", f.instance, l.log(f.instance), site.ErrUnready)
		}
		kind := cannot(f.says)
		if kind == KindCapacity {
			l.state += "; AWS says: " + f.says // it tries again, in other zones too
			continue
		}
		return &Error{Kind: kind, Doing: "launching instances in " + l.group.name, Says: f.says, Mend: mends()[kind], means: site.ErrUnready}
	}
	return nil
}

// log says where an instance that has ended left what it said.
func (l *launching) log(instance string) string {
	return fmt.Sprintf("why is in stream %s of CloudWatch log group %s", instance, l.logs)
}

// ended gives up when an instance that was alive no longer is.
func (l *launching) ended() error {
	alive := map[string]bool{}
	for _, m := range l.group.members {
		if !strings.HasPrefix(m.lifecycle, "Terminat") {
			alive[m.id] = true
		}
	}
	for id := range l.seen {
		if !alive[id] && !l.ill[id] {
			return fmt.Errorf("instance %s ended while it was waited for: %s: %w", id, l.log(id), site.ErrUnready)
		}
	}
	for id := range alive {
		l.seen[id] = true
	}
	return nil
}

// enrol registers members with the target groups that they were drained from.
// One that has ended, and that Auto Scaling does not know of yet, is left to it.
func (l *launching) enrol(ctx context.Context, h health) error {
	for _, g := range l.place.targetGroups {
		for _, m := range l.group.members {
			t, ok := h[g.name][m.id]
			if ok && !t.draining() || m.lifecycle != "InService" || !m.healthy {
				continue
			}
			var ended *types.InvalidTargetException
			if err := l.site.register(ctx, g, m.id); err != nil && !errors.As(err, &ended) {
				return err
			}
		}
	}
	return nil
}
