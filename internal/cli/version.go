package cli

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"godwit/internal/version"
)

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Print the version",
		Example:           "  godwit version --json",
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			v := map[string]string{"version": version.Version, "commit": version.Commit(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH}
			return g.view.result(v, func(w io.Writer) {
				fmt.Fprintf(w, "godwit %s (%s, %s, %s/%s)\n", v["version"], v["commit"], v["go"], v["os"], v["arch"])
			})
		},
	}
}
