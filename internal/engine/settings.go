package engine

import (
	"context"
	"fmt"
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
	Landscape api.Landscape `json:"landscape"`
	Listen    string        `json:"listen"`
	Isolation string        `json:"isolation"`
}

func (e *Engine) loadSettings(ctx context.Context) (settings, bool, error) {
	var s settings
	found, err := e.store.Get(ctx, documentSettings, "engine", &s)
	return s, found, err
}

func (e *Engine) saveSettings(ctx context.Context, s settings) error {
	return e.store.Put(ctx, documentSettings, "engine", s)
}

// parse reads a landscape as it came over the API. Findings are a Usage Failure.
func parse(in api.Landscape) (*landscape.Landscape, error) {
	var files []landscape.File
	for _, f := range in.Files {
		files = append(files, landscape.File{Name: f.Name, Bytes: f.Bytes})
	}
	l, findings := landscape.Parse(files)
	if findings.HasErrors() {
		return nil, &api.Failure{Code: api.Usage, Message: "the landscape has findings", Findings: findings}
	}
	return l, nil
}

// bind puts the values of env.NAME references into the services' configuration,
// so that a release is complete by itself and changes when a value changes.
func (s settings) bind(l *landscape.Landscape) error {
	for _, service := range l.Services {
		for name, v := range service.Env {
			parts := slices.Clone(v.Parts)
			for i, p := range parts {
				if p.Ref == nil || p.Ref.Kind != "env" {
					continue
				}
				text, err := s.value(landscape.Value{Parts: []landscape.Part{p}})
				if err != nil {
					return fmt.Errorf("service %s, %s: %w", service.Name, name, err)
				}
				parts[i] = landscape.Part{Literal: text}
			}
			service.Env[name] = landscape.Value{Parts: parts}
		}
	}
	return nil
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
