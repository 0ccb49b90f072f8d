package cli

import (
	"fmt"
	"io"
	"net/netip"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/site/aws/packer"
)

func newAWSBake(a *onAWS) *cobra.Command {
	var dir, image, shell string
	var builder builderFlags
	c := &cobra.Command{
		Use:   "bake SERVICE",
		Short: "Make the machine image (AMI) of a service from its OCI image",
		Long: `Has Packer make an AMI from the same OCI image that the local site runs: its root
file system byte for byte, a systemd unit, the health agent, log shipping,
hardening, a bill of materials. It is tagged with the image's digest; an image
that was baked already is not baked again.

The builder is reached through Systems Manager, with no open port, unless
--security-group or --from says otherwise.`,
		Example: `  godwit aws bake till --dir examples/bistro
  godwit aws bake till --image images/till --from 203.0.113.7/32`,
		Args:              arguments(1, 1),
		ValidArgsFunction: a.complete(serviceNames),
		RunE: func(c *cobra.Command, args []string) error {
			o, err := builder.options()
			if err != nil {
				return err
			}
			o.Image = image
			if shell != "" {
				if o.Shell, err = netip.ParseAddrPort(shell); err != nil {
					return api.Fail(api.Usage, "--emulator-shell %s is no address and port", shell)
				}
			}
			cl, err := a.open(c.Context(), dir)
			if err != nil {
				return err
			}
			baked, err := cl.Bake(c.Context(), args[0], o)
			if err != nil {
				return err
			}
			return a.view.result(baked, func(w io.Writer) {
				state := "made"
				if baked.Found {
					state = "there already"
				}
				fmt.Fprintf(w, "%s: %s (%s) from %s, %s\n", baked.Service, baked.AMI, baked.Name, baked.Image, state)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", ".", "directory of the landscape")
	f.StringVar(&image, "image", "", "OCI layout directory or archive to bake instead of the declared one")
	builder.add(f, "")
	f.StringVar(&shell, "emulator-shell", "", "with --endpoint: address of an sshd on this machine that plays the builder")
	return c
}

func newAWSPrune(a *onAWS) *cobra.Command {
	var dir string
	var newest, releases int
	var dry bool
	c := &cobra.Command{
		Use:   "prune SERVICE",
		Short: "Remove old machine images that nothing can return to",
		Long: `Deregisters old AMIs of a service and deletes their snapshots; never one that runs,
that a release may be rolled back to, that is among the newest, or not a day old.`,
		Example: `  godwit aws prune till --dry-run
  godwit aws prune till --keep 5 --releases 10`,
		Args:              arguments(1, 1),
		ValidArgsFunction: a.complete(serviceNames),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.open(c.Context(), dir)
			if err != nil {
				return err
			}
			p, err := cl.Prune(c.Context(), args[0], newest, releases, dry)
			if err != nil {
				return err
			}
			return a.pruned(args[0], p, dry)
		},
	}
	c.Flags().StringVar(&dir, "dir", ".", "directory of the landscape")
	c.Flags().IntVar(&newest, "keep", 3, "so many of the newest stay")
	c.Flags().IntVar(&releases, "releases", 5, "so many releases of each environment can be rolled back to")
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would go")
	return c
}

// pruned prints what went, and says so when nothing did.
func (a *onAWS) pruned(service string, p packer.Pruned, dry bool) error {
	left := len(p.Snapshots) // by an earlier pruning
	for _, ami := range p.Removed {
		left -= len(ami.Snapshots)
	}
	verb := "removed"
	if dry {
		verb = "would remove"
	}
	return a.view.result(p, func(w io.Writer) {
		for _, ami := range p.Removed {
			fmt.Fprintf(w, "%s %s (%s)\n", verb, ami.ID, ami.Name)
		}
		for _, k := range p.Kept {
			fmt.Fprintf(w, "kept %s: %s\n", k.AMI.ID, k.Why)
		}
		switch {
		case left > 0:
			fmt.Fprintf(w, "%s %s that an earlier prune left\n", verb, count(left, "snapshot"))
		case len(p.Removed) > 0:
		case len(p.Kept) == 0:
			fmt.Fprintf(w, "nothing to remove: there is no machine image of %s\n", service)
		default:
			fmt.Fprintln(w, "nothing to remove")
		}
	})
}
