package engine

import (
	"net/url"
	"strings"
	"sync"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
)

const (
	concealed = "***"
	// shortestSecret: shorter values are words of every other message.
	shortestSecret = 8
)

// secrets keep the values of env.NAME references out of whatever people read:
// a program that cannot start likes to print its configuration, and its last
// words are the reason that a rollout gives.
type secrets struct {
	mu       sync.Mutex
	known    map[string]bool
	replacer *strings.Replacer
}

// keep adds values to those that are concealed, for as long as the engine lives.
func (s *secrets) keep(env map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]bool{}
	}
	for _, value := range env {
		for _, secret := range secretsIn(value) {
			s.known[secret] = len(secret) >= shortestSecret
		}
	}
	var pairs []string
	for secret, long := range s.known {
		if long {
			pairs = append(pairs, secret, concealed)
		}
	}
	s.replacer = strings.NewReplacer(pairs...)
}

// secretsIn a value: of a URL only the password, for hosts and ports have to be
// talked about.
func secretsIn(value string) []string {
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return []string{value}
	}
	password, _ := u.User.Password()
	_, written, _ := strings.Cut(u.User.String(), ":")
	return []string{password, written}
}

func (s *secrets) conceal(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replacer == nil {
		return text
	}
	return s.replacer.Replace(text)
}

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

// withoutValues are environments whose releases name their variables, and what
// these refer to, but not what they hold.
func withoutValues(environments []site.Environment) []site.Environment {
	for _, e := range environments {
		for _, f := range e.Fleets {
			for i := range f.Releases {
				f.Releases[i] = withoutLiterals(f.Releases[i])
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
				p.Literal = concealed
			}
			parts = append(parts, p)
		}
		env[name] = landscape.Value{Parts: parts}
	}
	r.Env = env
	return r
}
