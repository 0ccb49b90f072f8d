package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"godwit/internal/cloud"
)

func newAWSRender(a *onAWS) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "render [DIR]",
		Short: "Write the landscape of DIR as Terraform",
		Long: `Writes Terraform (or OpenTofu) that makes the landscape of DIR (default: this
directory) on AWS: a root for the account, one for each environment with a state
of its own, and the modules they share. The same landscape gives the same bytes.
Needs no account and asks nobody anything.

Files that godwit rendered before and that are no longer needed are removed;
variables and states are left alone. A file that godwit did not write is never
replaced.`,
		Example: `  godwit aws render examples/bistro --out terraform
  godwit aws render examples/bistro --out terraform --json | jq '.changed[]'`,
		Args: arguments(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := directory(args)
			l, _, err := readLandscape(dir)
			if err != nil {
				return err
			}
			r, err := cloud.Render(l, tree(dir, out))
			if err != nil {
				return err
			}
			return a.view.result(r, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s in %s, %d written or removed\n", r.Dir, count(r.Files, "file"), count(len(r.Roots), "root"), len(r.Changed))
				for _, root := range r.Roots {
					fmt.Fprintf(w, "  %s\n", root)
				}
			})
		},
	}
	c.Flags().StringVar(&out, "out", "", "directory to write into (default DIR/terraform)")
	return c
}
