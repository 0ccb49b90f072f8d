package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/api/client"
)

// cleanTimeout bounds the cleaning after Ctrl-C.
const cleanTimeout = 60 * time.Second

type upOptions struct {
	dir, listen, isolation string
	approve                bool
}

func newUp(g *globals) *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use:   "up [DIR]",
		Short: "Bring the landscape up as declared: environments, databases, services, gateway",
		Long: `Reads the landscape of DIR (default: this directory), starts the engine if none
runs, and makes what runs like what is declared: a private network per
environment, a Postgres per database, at least scale.min instances per service
from immutable images, the gateway in front. What is there already stays; what
changed is rolled out without dropping a request. Where a migration is declared,
the gateway sends its hosts to the data centre until the cutover.

Ctrl-C during the first up removes everything again.`,
		Example: `  godwit up examples/bistro
  godwit up --listen 127.0.0.1:9000 examples/bistro
  godwit up --isolation=none            # where namespaces are impossible: NO isolation`,
		Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			o.dir = directory(args)
			return g.up(c.Context(), o)
		},
	}
	c.Flags().StringVar(&o.listen, "listen", "", "address of the gateway, host:port (default 127.0.0.1:8080)")
	c.Flags().StringVar(&o.isolation, "isolation", "", `"namespaces" (default) or "none", which isolates nothing`)
	c.Flags().BoolVar(&o.approve, "approve", false, "allow changes that a protected environment refuses")
	return c
}

func (g *globals) up(ctx context.Context, o upOptions) error {
	if o.isolation != "" && o.isolation != "namespaces" && o.isolation != "none" {
		return api.Fail(api.Usage, `--isolation is "namespaces" or "none", not %q`, o.isolation)
	}
	if _, _, err := net.SplitHostPort(o.listen); o.listen != "" && err != nil {
		return api.Fail(api.Usage, "--listen %q is no address: give HOST:PORT, such as 127.0.0.1:8080", o.listen)
	}
	_, wire, err := readLandscape(o.dir)
	if err != nil {
		return err
	}
	c, first, err := g.ensureEngine(ctx)
	if err != nil {
		return err
	}
	result, err := c.Up(ctx, api.UpRequest{Landscape: wire, Listen: o.listen, Isolation: o.isolation, Approve: o.approve}, g.view.watch())
	switch {
	case err != nil && ctx.Err() != nil && first:
		return g.cleanAfterInterrupt(c)
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w; what was up before stays: godwit up goes on, godwit down removes all", errInterrupted)
	case err != nil:
		return err
	}
	return g.view.result(result, func(w io.Writer) {
		result.Plan.Format(w, g.view.outColor)
		fmt.Fprintf(w, "\ngateway on http://%s\n", result.Gateway)
		for _, r := range result.Routes {
			fmt.Fprintf(w, "  %-32s -> %s\n", r.Host, r.Pool)
		}
	})
}

// cleanAfterInterrupt takes back a first up that was interrupted.
func (g *globals) cleanAfterInterrupt(c *client.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	g.view.note("interrupted: removing what was begun")
	if err := g.downWhenFree(ctx, c); err != nil {
		return fmt.Errorf("%w, and cleaning failed: %v; run: godwit down --approve", errInterrupted, err)
	}
	return fmt.Errorf("%w; everything was removed again", errInterrupted)
}

// downWhenFree ends everything once the engine has let go of what was interrupted.
func (g *globals) downWhenFree(ctx context.Context, c *client.Client) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := c.Down(ctx, api.DownRequest{Approve: true}, g.view.watch())
		if err != nil && api.AsFailure(err).Code != api.Busy {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(50*time.Millisecond)), backoff.WithMaxElapsedTime(cleanTimeout))
	return err
}
