package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/image"
	"godwit/internal/quote"
	"godwit/internal/site"
	"godwit/internal/site/local/runtime"
	"godwit/internal/site/local/warden"
)

// Launch implements site.Site.
func (s *Site) Launch(ctx context.Context, release fleet.Release) error {
	ids, err := s.begin(ctx, release)
	if err != nil {
		return err
	}
	if err := s.awaitReady(ctx, release.Environment, ids); err != nil {
		return err
	}
	return s.announce(ctx, release.Environment, release.Service)
}

// announce tells the gateway what instances there are.
func (s *Site) announce(ctx context.Context, environment, service string) error {
	r, unlock, err := s.locked(ctx, environment)
	if err != nil {
		return err
	}
	defer unlock()
	return s.publish(ctx, r, service)
}

// begin writes the release's instances down and has them started.
func (s *Site) begin(ctx context.Context, release fleet.Release) ([]string, error) {
	r, unlock, err := s.locked(ctx, release.Environment)
	if err != nil {
		return nil, err
	}
	defer unlock()
	v, err := r.service(release.Service)
	if err != nil {
		return nil, err
	}
	if release.Number < 1 || release.Count < 1 {
		return nil, fmt.Errorf("release %d with %d instances: %w", release.Number, release.Count, site.ErrInvalid)
	}
	if have := v.Releases[release.Number]; have != nil && have.Image != release.Image {
		return nil, fmt.Errorf("release %d of %s has image %s, not %s: %w", release.Number, release.Service, have.Image, release.Image, site.ErrInvalid)
	}
	if v.Releases == nil {
		v.Releases = map[int]*fleet.Release{}
	}
	v.Releases[release.Number] = &release
	ids := r.instancesOf(release.Service, release.Number)
	for k := 1; len(ids) < release.Count; k++ {
		id := fmt.Sprintf("%s-%d-%d", release.Service, release.Number, k)
		if r.Instances[id] != nil {
			continue
		}
		address, err := r.takeAddress()
		if err != nil {
			return nil, err
		}
		r.Instances[id] = &instanceRecord{Service: release.Service, Release: release.Number, Address: address}
		ids = append(ids, id)
	}
	if err := s.save(r); err != nil {
		return nil, err
	}
	// The gateway hears of them when they are ready; the warden itself sends
	// nobody to an instance that is not.
	if err := s.client(r.Name).ApplyRules(ctx, r.rules()); err != nil {
		return nil, fmt.Errorf("environment %s: %w", r.Name, err)
	}
	return ids, s.putRelease(ctx, r, release.Service, release.Number)
}

// publish makes the record's rules and the service's pool the ones that hold.
func (s *Site) publish(ctx context.Context, r *record, service string) error {
	if err := s.client(r.Name).ApplyRules(ctx, r.rules()); err != nil {
		return fmt.Errorf("environment %s: %w", r.Name, err)
	}
	p := s.pool(r, service)
	if len(p.Weights) == 0 && !r.Services[service].Undeclared {
		return nil // nothing was shifted to it yet
	}
	if err := s.Gateway.SetPool(ctx, pool(r.Name, service), p); err != nil {
		return fmt.Errorf("environment %s, service %s: %w", r.Name, service, err)
	}
	return nil
}

// putInstances gives the warden every instance that the record knows.
func (s *Site) putInstances(ctx context.Context, r *record) error {
	for _, service := range slices.Sorted(maps.Keys(r.Services)) {
		for _, number := range slices.Sorted(maps.Keys(r.Services[service].Releases)) {
			if err := s.putRelease(ctx, r, service, number); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Site) putRelease(ctx context.Context, r *record, service string, number int) error {
	release := r.Services[service].Releases[number]
	img, err := s.Images.Unpack(ctx, release.Image)
	if errors.Is(err, image.ErrNotFound) {
		return fmt.Errorf("release %d of %s: %w: %w", number, service, err, site.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("release %d of %s: %w", number, service, err)
	}
	var all []warden.Instance
	for _, id := range r.instancesOf(service, number) {
		i, err := s.instance(r, release, img, id)
		if err != nil {
			return err
		}
		all = append(all, i)
	}
	if err := s.client(r.Name).PutInstances(ctx, all); err != nil {
		return fmt.Errorf("launch release %d of %s: %w", number, service, err)
	}
	return nil
}

func (s *Site) instance(r *record, release *fleet.Release, img image.Image, id string) (warden.Instance, error) {
	address := r.Instances[id].Address
	env, err := r.environ(release, img, r.real(address))
	if err != nil {
		return warden.Instance{}, fmt.Errorf("release %d of %s: %w", release.Number, release.Service, err)
	}
	return warden.Instance{
		Spec: runtime.Spec{ID: id, Hostname: id, Rootfs: img.Rootfs, Command: img.Entrypoint, Env: env, WorkDir: img.WorkDir,
			Hosts: r.hosts(), Address: r.real(address), HostID: warden.InstanceID(r.number(address)), OOMScore: 500},
		Health: warden.Health{Port: uint16(release.Port), Path: release.Health.Path,
			Interval: release.Health.Interval, Timeout: release.Health.Timeout},
		After: r.databasesOf(release.Service),
	}, nil
}

// databasesOf a service are the addresses of those that it needs.
func (r *record) databasesOf(service string) []netip.Addr {
	var all []netip.Addr
	for _, need := range r.Services[service].Needs {
		if d := r.Databases[need.Name]; need.Kind == "database" && d != nil {
			all = append(all, r.real(d.Address))
		}
	}
	return all
}

// Ends of an instance, before it was ever ready, after which it is given up.
const endsTolerated = 3

// awaitReady waits until all these instances are ready, as long as there is one
// more within LaunchTimeout: how long all take depends on how many they are.
func (s *Site) awaitReady(ctx context.Context, environment string, ids []string) error {
	progress := launch{ids: make(map[string]bool, len(ids))}
	for _, id := range ids {
		progress.ids[id] = true
	}
	last, most := time.Now(), 0
	for {
		asked := time.Now()
		all, err := s.client(environment).Instances(ctx)
		if errors.Is(err, warden.ErrNotRunning) || errors.Is(err, warden.ErrSilent) {
			all = nil // whoever brings the environment back brings these back with it
		} else if err != nil {
			return err
		}
		ready, waiting := progress.look(all)
		if waiting == nil {
			return nil
		}
		if ready > most {
			most, last = ready, time.Now()
		}
		if waiting.Restarts >= endsTolerated || time.Since(last) > s.LaunchTimeout {
			return s.unready(environment, *waiting, ready, len(ids))
		}
		select {
		// A look at many takes longer, and so is taken less often.
		case <-time.After(max(15*time.Millisecond, 4*time.Since(asked))):
		case <-ctx.Done():
			return fmt.Errorf("%w, while %s of %s waited: %s (%d of %d are ready)",
				ctx.Err(), waiting.ID, environment, waiting.Reason, ready, len(ids))
		}
	}
}

// launch is a set of instances that are waited for.
type launch struct{ ids map[string]bool }

// look counts those that are ready and picks the one to wait for: one that has
// ended already rather than one that waits for its turn.
func (l launch) look(all []warden.Status) (ready int, waiting *warden.Status) {
	found := 0
	for i := range all {
		status := &all[i]
		if !l.ids[status.ID] {
			continue
		}
		found++
		switch {
		case status.Ready:
			ready++
		case waiting == nil, status.Restarts > waiting.Restarts,
			status.Restarts == waiting.Restarts && status.Running && !waiting.Running:
			waiting = status
		}
	}
	if waiting == nil && found < len(l.ids) {
		gone := slices.DeleteFunc(slices.Sorted(maps.Keys(l.ids)), func(id string) bool {
			return slices.ContainsFunc(all, func(s warden.Status) bool { return s.ID == id })
		})
		return ready, &warden.Status{ID: strings.Join(gone, ", "), Reason: "gone, with its environment or from it; launch again"}
	}
	return ready, waiting
}

func (s *Site) unready(environment string, i warden.Status, ready, of int) error {
	return fmt.Errorf("%s in %s: %s (%d of %d are ready)%s: %w", i.ID, environment, i.Reason, ready, of,
		s.lastWords(environment, i.ID), site.ErrUnready)
}

// lastWords are the last lines of an instance's log.
func (s *Site) lastWords(environment, id string) string {
	const lines, size = 8, 4096
	root, err := os.OpenRoot(s.wardenDir(environment))
	if err != nil {
		return " (no log: " + err.Error() + ")"
	}
	defer root.Close()
	text, err := tail(root, warden.LogFile("", id), size)
	text = bytes.TrimSpace(text)
	if err != nil || len(text) == 0 {
		return " (it wrote no log)"
	}
	all := strings.Split(quote.Terminal(string(text)), "\n")
	return "; its log ends:\n  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}
