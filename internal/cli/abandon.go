package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"godwit/internal/api"
)

func newAbandon(g *globals) *cobra.Command {
	var r api.AbandonRequest
	c := &cobra.Command{
		Use:   "abandon SERVICE",
		Short: "Give up a rollout that is stuck; the release that serves stays",
		Long: `Ends a deploy, or a rollback of a service, that can neither be finished nor undone,
for instance because its instances cannot be launched. One that still runs is told
to end first. The release that serves stays; what was launched beside it is retired
at once or, where that cannot be done yet, as soon as it can. Then other commands
are no longer refused for it. godwit status shows what is unfinished, and why.

Exit status: 0 given up, or it came to an end by itself; 1 failed.`,
		Example: `  godwit abandon till --env production
  godwit abandon till                         # wherever a rollout of it is unfinished`,
		Args:              arguments(1, 1),
		ValidArgsFunction: g.complete(serviceNames),
		RunE: func(c *cobra.Command, args []string) error {
			r.Service = args[0]
			engine, err := g.running(c.Context())
			if err != nil {
				return err
			}
			rollouts, err := engine.Abandon(c.Context(), r, g.view.watch())
			if err != nil {
				return err
			}
			return g.view.result(rollouts, func(w io.Writer) {
				for _, r := range rollouts {
					fmt.Fprintf(w, "%s/%s: %s\n", r.Environment, r.Service, ended(r))
				}
			})
		},
	}
	c.Flags().StringVar(&r.Environment, "env", "", "only this environment")
	g.completeEnvironments(c)
	return c
}
