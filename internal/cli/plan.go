package cli

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/api/client"
	"godwit/internal/landscape"
	"godwit/internal/plan"
)

func newPlan(g *globals) *cobra.Command {
	var detailed bool
	c := &cobra.Command{
		Use:   "plan [DIR]",
		Short: "Say what up would change, and why",
		Long: `Compares the landscape of DIR (default: this directory) with what runs and says
what up would change. Changes nothing, but builds the images, to compare them.
Where no engine runs, everything is still to be created, and nothing is built.

Exit status: 0, 2 findings, and with --detailed-exitcode 2 also when changes are pending.`,
		Example: `  godwit plan examples/bistro
  godwit plan --detailed-exitcode examples/bistro || echo "something would change"
  godwit plan --json | jq '.changes[].reason'`,
		Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return g.plan(c.Context(), directory(args), detailed)
		},
	}
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit 2 when changes are pending")
	return c
}

// compare asks the engine; where there never was one, nothing runs.
func (g *globals) compare(ctx context.Context, l *landscape.Landscape, wire api.Landscape) (plan.Plan, error) {
	c, err := g.running(ctx)
	if errors.Is(err, client.ErrNoEngine) {
		return plan.Compute(l, nil, plan.Have{}), nil
	}
	if err != nil {
		return plan.Plan{}, err
	}
	return c.Plan(ctx, wire, g.view.watch())
}

func (g *globals) plan(ctx context.Context, dir string, detailed bool) error {
	l, wire, err := readLandscape(dir)
	if err != nil {
		return err
	}
	p, err := g.compare(ctx, l, wire)
	if err != nil {
		return err
	}
	if err := g.view.result(p, func(w io.Writer) { p.Format(w, g.view.outColor) }); err != nil {
		return err
	}
	if detailed && !p.Empty() {
		return errChangesPending
	}
	return nil
}
