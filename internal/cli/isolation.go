package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"godwit/internal/api"
)

func newIsolation(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "isolation",
		Short: "Send real packets between everything and compare with the landscape",
		Long: `For every ordered pair of instances, databases, environments and the host, sends
real packets to the declared port and to another one, and compares what came
through with what the landscape's needs say.

Exit status: 0 all as declared, 1 something is open or shut that should not be.`,
		Example:           "  godwit isolation\n  godwit isolation --json",
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			engine, err := g.running(c.Context())
			if err != nil {
				return err
			}
			i, err := engine.Isolation(c.Context(), g.view.watch())
			if err != nil {
				return err
			}
			g.view.result(i, func(w io.Writer) {
				fmt.Fprintf(w, "%d pairs: %d allowed, %d denied, %d wrong\n", i.Pairs, i.Allowed, i.Denied, i.Wrong)
				for _, d := range i.Details {
					fmt.Fprintln(w, "  wrong:", d)
				}
			})
			if i.Wrong > 0 {
				return &reported{api.Fail(api.Failed, "%d pairs are not as declared", i.Wrong)}
			}
			return nil
		},
	}
}
