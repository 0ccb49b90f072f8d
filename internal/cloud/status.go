package cloud

import (
	"context"
	"errors"

	"godwit/internal/fleet"
	"godwit/internal/site"
)

// Status asks AWS what runs in one environment, or all. One that is not there
// yet is reported without anything in it; of services that left the landscape and
// still run there the sink is told.
func (c *Cloud) Status(ctx context.Context, environment string) ([]site.Environment, error) {
	environments, err := c.environments(environment)
	if err != nil {
		return nil, err
	}
	all := []site.Environment{}
	for _, e := range environments {
		o, err := c.site.Observe(ctx, e.Name)
		if errors.Is(err, site.ErrNotFound) {
			all = append(all, site.Environment{Name: e.Name, Databases: []site.Database{}, Fleets: []fleet.Fleet{}})
			continue
		}
		if err == nil {
			err = c.withdrawn(ctx, e.Name)
		}
		if err != nil {
			return all, fail(err)
		}
		all = append(all, o)
	}
	return all, nil
}
