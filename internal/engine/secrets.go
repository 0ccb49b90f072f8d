package engine

import (
	"maps"
	"slices"
	"sync"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/masker"
	"godwit/internal/site"
)

// secrets keep the values of env.NAME references out of whatever people read:
// a program that cannot start likes to print its configuration, and its last
// words are the reason that a rollout gives.
type secrets struct {
	mu    sync.Mutex
	known map[string]bool
	set   *masker.Set
}

// keep adds values to those that are concealed, for as long as the engine lives.
func (s *secrets) keep(env map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]bool{}
	}
	for _, value := range env {
		for _, secret := range masker.Parts(value) {
			s.known[secret] = true
		}
	}
	s.set = masker.New(slices.Sorted(maps.Keys(s.known)))
}

func (s *secrets) conceal(text string) string {
	s.mu.Lock()
	set := s.set
	s.mu.Unlock()
	if set == nil {
		return text
	}
	return set.String(text)
}

// Conceal implements api.Concealer.
func (e *Engine) Conceal(text string) string { return e.secrets.conceal(text) }

// concealError is the error itself when there is nothing to conceal in it.
func (s *secrets) concealError(err error) error {
	if s.conceal(err.Error()) == err.Error() {
		return err
	}
	f := api.AsFailure(err)
	f.Message = s.conceal(f.Message)
	return f
}

// concealFindings conceals in place: servers repeat in messages what they were told.
func (s *secrets) concealFindings(all landscape.Findings) {
	for i := range all {
		all[i].Summary = s.conceal(all[i].Summary)
	}
}

// shown are environments whose releases name their variables, and what these
// refer to, but not what they hold; nor do the last words of instances tell it.
func (s *secrets) shown(environments []site.Environment) []site.Environment {
	for _, e := range environments {
		for _, f := range e.Fleets {
			for i := range f.Releases {
				f.Releases[i] = withoutLiterals(f.Releases[i])
			}
			for i := range f.Instances {
				f.Instances[i].Reason = s.conceal(f.Instances[i].Reason)
			}
		}
	}
	return environments
}

func withoutLiterals(r fleet.Release) fleet.Release {
	env := map[string]landscape.Value{}
	for name, value := range r.Env {
		var parts []landscape.Part
		for _, p := range value.Parts {
			if p.Ref == nil {
				p.Literal = masker.Concealed
			}
			parts = append(parts, p)
		}
		env[name] = landscape.Value{Parts: parts}
	}
	r.Env = env
	return r
}
