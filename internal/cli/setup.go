package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"godwit/internal/api"
)

func newSetup(g *globals, setup Setup) *cobra.Command {
	return &cobra.Command{
		Use:   "setup",
		Short: "Install what the local site needs, and say what is missing",
		Long: `Finds Postgres, or installs it: as root Debian's package, without starting a
server of its own; as an ordinary user the same packages, unpacked into the
user's cache directory. Then says whether this machine can isolate environments.

Exit status: 0 everything is there, 1 something is missing.`,
		Example:           "  godwit setup",
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return g.setup(c.Context(), setup) },
	}
}

func (g *globals) setup(ctx context.Context, setup Setup) error {
	result, err := setup(ctx, func(line string) { g.view.note("%s", line) })
	if err != nil {
		return err
	}
	g.view.result(result, func(w io.Writer) {
		fmt.Fprintf(w, "Postgres %s in %s\n", result.Postgres, result.PostgresPrograms)
		for _, p := range result.Problems {
			fmt.Fprintf(w, "missing: %s\n", p)
		}
		if len(result.Problems) == 0 {
			fmt.Fprintln(w, "this machine can isolate environments")
		}
	})
	if len(result.Problems) > 0 {
		return &reported{api.Fail(api.Failed, "this machine lacks something")}
	}
	return nil
}
