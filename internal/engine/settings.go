package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"godwit/internal/api"
	"godwit/internal/landscape"
)

const (
	documentSettings  = "settings"
	documentMigration = "migration"

	defaultListen    = "127.0.0.1:8080"
	defaultIsolation = "namespaces"
)

// settings are what the engine must know again after a restart: the landscape
// as it was handed over, with the values of its env references, and where the
// gateway listens. The store is readable by its owner only.
type settings struct {
	Landscape declaration `json:"landscape"`
	Site      string      `json:"site,omitempty"` // "" in those of older versions: local
	AWS       awsAccess   `json:"aws,omitzero"`
	Account   string      `json:"account,omitempty"` // that the environments are in, where a site has such
	Listen    string      `json:"listen"`
	Isolation string      `json:"isolation"`
}

func (e *Engine) loadSettings(ctx context.Context) (settings, bool, error) {
	var s settings
	found, err := e.store.Get(ctx, documentSettings, "engine", &s)
	if err != nil {
		err = fmt.Errorf("the settings kept in %s cannot be read: %w; godwit down removes them and everything that runs, then godwit up makes it anew", e.dir, err)
	}
	return s, found, err
}

func (e *Engine) saveSettings(ctx context.Context, s settings) error {
	return e.store.Put(ctx, documentSettings, "engine", s)
}

// declare is the world that a request declares, still without its site.
func (e *Engine) declare(ctx context.Context, r api.UpRequest) (*world, error) {
	l, err := declared(r.Landscape).parse()
	if err != nil {
		return nil, err
	}
	s, found, err := e.loadSettings(ctx)
	if err != nil {
		return nil, err
	}
	if found {
		if err := e.sameAsBefore(ctx, s, l, r); err != nil {
			return nil, err
		}
	}
	s = s.merge(r)
	e.secrets.keep(s.secrets())
	return &world{landscape: l, settings: s}, errors.Join(s.bind(l), s.databases(l))
}

// sameAsBefore refuses to change what was chosen with the first up.
func (e *Engine) sameAsBefore(ctx context.Context, s settings, l *landscape.Landscape, r api.UpRequest) error {
	before, err := s.Landscape.parse()
	switch {
	case err == nil && before.Name != l.Name:
		return api.Fail(api.Refused, "this engine runs landscape %q, not %q: choose another state directory with --state, or run godwit down first", before.Name, l.Name)
	case r.Site != "" && r.Site != cmp.Or(s.Site, defaultSite):
		return api.Fail(api.Refused, "this engine runs the landscape on %s, not on %s: choose another state directory with --state, or run godwit down first", cmp.Or(s.Site, defaultSite), r.Site)
	case r.Isolation != "" && r.Isolation != s.Isolation:
		return api.Fail(api.Refused, "isolation is %q here and cannot change while it runs: godwit down first", s.Isolation)
	case r.Listen != "" && r.Listen != s.Listen && e.gateway.Healthy(ctx) == nil: // where it could not listen at all, it may
		return api.Fail(api.Refused, "the gateway listens on %s here and cannot move while it runs: godwit down first", s.Listen)
	}
	return nil
}

// merge puts a request over what was chosen before.
func (s settings) merge(r api.UpRequest) settings {
	values := map[string]string{}
	maps.Copy(values, s.Landscape.Env) // a variable that is no longer exported keeps its last value
	maps.Copy(values, r.Landscape.Env)
	s.Landscape = declared(r.Landscape)
	s.Landscape.Env = values
	s.Site = cmp.Or(s.Site, r.Site)
	if r.AWS != nil {
		s.AWS.Endpoint, s.AWS.DatabaseCA = cmp.Or(r.AWS.Endpoint, s.AWS.Endpoint), cmp.Or(r.AWS.DatabaseCA, s.AWS.DatabaseCA) // no later up checks certificates less
		if r.AWS.Profile != "" || r.AWS.Keys.ID != "" {                                                                       // one or the other: who they are is said as a whole
			s.AWS.Profile, s.AWS.Keys = r.AWS.Profile, awsKeys(r.AWS.Keys)
		}
	}
	s.Listen = cmp.Or(r.Listen, s.Listen)
	s.Isolation = cmp.Or(s.Isolation, r.Isolation)
	return s.complete()
}

// complete has the defaults where nothing was chosen.
func (s settings) complete() settings {
	s.Site = cmp.Or(s.Site, defaultSite)
	s.Listen = cmp.Or(s.Listen, defaultListen)
	s.Isolation = cmp.Or(s.Isolation, defaultIsolation)
	return s
}

// secrets are the values that nobody is to read, each with its name.
func (s settings) secrets() map[string]string {
	all := maps.Clone(s.Landscape.Env)
	if all == nil {
		all = map[string]string{}
	}
	all["AWS_SECRET_ACCESS_KEY"], all["AWS_SESSION_TOKEN"] = s.AWS.Keys.Secret, s.AWS.Keys.Session
	return all
}

// bind puts the values of env.NAME references into the services' configuration,
// so that a release is complete by itself and changes when a value changes. The
// error has everything that is missing.
func (s settings) bind(l *landscape.Landscape) error {
	var errs []error
	for _, service := range l.Services {
		for _, name := range slices.Sorted(maps.Keys(service.Env)) {
			bound, err := s.bound(service.Env[name])
			if err != nil {
				errs = append(errs, fmt.Errorf("service %s, %s: %w", service.Name, name, err))
			}
			service.Env[name] = bound
		}
	}
	for _, m := range l.Migrations {
		src, _ := l.Source(m.Source)
		for _, endpoint := range src.Services {
			if _, err := s.endpoint(endpoint); err != nil {
				errs = append(errs, fmt.Errorf("source %s, service %s: %w", src.Name, endpoint.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// databases refuses urls of data centres' databases that are missing or wrong: said
// with up, not on the day of the move. An engine that starts again asks for none, for
// nobody is there to mend it, and until the move nothing needs them.
func (s settings) databases(l *landscape.Landscape) error {
	var errs []error
	for _, m := range l.Migrations {
		src, _ := l.Source(m.Source)
		for _, d := range src.Databases {
			if _, err := s.database(d); err != nil {
				errs = append(errs, fmt.Errorf("source %s, database %s: %w", src.Name, d.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (s settings) bound(v landscape.Value) (landscape.Value, error) {
	parts := slices.Clone(v.Parts)
	for i, p := range parts {
		if p.Ref == nil || p.Ref.Kind != "env" {
			continue
		}
		text, err := s.value(landscape.Value{Parts: []landscape.Part{p}})
		if err != nil {
			return v, err
		}
		parts[i] = landscape.Part{Literal: text}
	}
	return landscape.Value{Parts: parts}, nil
}

// value resolves a Value that may refer to environment variables only.
func (s settings) value(v landscape.Value) (string, error) {
	return v.Resolve(func(r landscape.AttrRef) (string, error) {
		if r.Kind != "env" {
			return "", fmt.Errorf("%s.%s cannot be used here", r.Kind, r.Name)
		}
		value, ok := s.Landscape.Env[r.Name]
		if !ok {
			return "", api.Fail(api.Usage, "the landscape refers to env.%s, which is not set: export %s=… and run godwit up again", r.Name, r.Name)
		}
		return value, nil
	})
}
