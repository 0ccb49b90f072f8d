package cloud

import (
	"context"
	"fmt"
)

// withdrawn says which services have instances in an environment that the
// landscape does not declare any more: they serve until an apply ends them.
func (c *Cloud) withdrawn(ctx context.Context, environment string) error {
	names, err := c.site.Withdrawing(ctx, c.Landscape, environment)
	for _, name := range names {
		c.Sink.Note(environment, "withdrawn", fmt.Sprintf(
			"service %s is not declared any more, and a release of it still runs: `godwit aws apply --env %s` ends it with all its instances; declare it again to keep it", name, environment))
	}
	return err
}
