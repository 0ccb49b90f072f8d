package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/api/client"
)

func newDown(g *globals) *cobra.Command {
	var approve bool
	c := &cobra.Command{
		Use:   "down",
		Short: "End everything: environments and all that runs in them, gateway, engine",
		Long: `Ends every process, namespace, mount and rule that the engine made, and the
engine. Where environments have databases, these are removed with their data. A
protected environment is removed only with --approve, and so is one that holds
the truth of a migration: its data is lost then, the source stays fenced.
Environments on AWS stay; godwit aws destroy ends them.`,
		Example: `  godwit down
  godwit down --approve        # protected environments too`,
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.down(c.Context(), approve)
		},
	}
	c.Flags().BoolVar(&approve, "approve", false, "remove protected environments too")
	return c
}

// down starts a killed engine once more: it finds what was left and ends it.
func (g *globals) down(ctx context.Context, approve bool) error {
	said := "everything ended; images and the history of releases, without the values of variables, stay in " + g.state
	c, err := g.running(ctx)
	switch {
	case errors.Is(err, client.ErrNoEngine):
		said = "nothing runs"
	case err != nil:
		return err
	default:
		if err := c.Down(ctx, api.DownRequest{Approve: approve}, g.view.watch()); err != nil {
			return err
		}
	}
	return g.view.result(map[string]bool{"down": true}, func(w io.Writer) { fmt.Fprintln(w, said) })
}
