package aws

import (
	"context"
	"slices"

	"godwit/internal/fleet"
)

// Releases are all that were ever launched of a service, as the versions of its
// launch template keep them, the oldest first.
func (s *Site) Releases(ctx context.Context, environment, service string) ([]fleet.Release, error) {
	t, err := s.template(ctx, s.scope(environment), service)
	if err != nil {
		return nil, err
	}
	versions, err := s.versions(ctx, t.id)
	if err != nil {
		return nil, err
	}
	var all []fleet.Release
	for _, v := range slices.Backward(versions) {
		u, ok := v.document()
		if ok && !slices.ContainsFunc(all, func(r fleet.Release) bool { return r.Number == u.Release.Number }) {
			all = append(all, u.Release)
		}
	}
	return all, nil
}
