package cli

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fleet"
)

func newStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what runs: environments, databases, fleets, routes, migrations",
		Example: `  godwit status
  godwit status --json | jq '.environments[].fleets[].instances[].state'`,
		Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			engine, err := g.running(c.Context())
			if err != nil {
				return err
			}
			s, err := engine.Status(c.Context())
			if err != nil {
				return err
			}
			return g.view.result(s, func(w io.Writer) { writeStatus(w, s) })
		},
	}
}

func writeStatus(w io.Writer, s api.Status) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	defer t.Flush()
	if s.Landscape == "" {
		fmt.Fprintln(t, "the engine runs, no landscape is up yet: godwit up DIR")
		return
	}
	fmt.Fprintf(t, "landscape\t%s\tisolation %s\n", s.Landscape, s.Isolation)
	fmt.Fprintf(t, "gateway\t%s\t%s\n", s.Gateway.Address, health(s.Gateway.Healthy, ""))
	for _, r := range s.Gateway.Routes {
		fmt.Fprintf(t, "  route\t%s\t-> %s\n", r.Host, r.Pool)
	}
	for _, e := range s.Environments {
		fmt.Fprintf(t, "%s\t%s\n", e.Name, e.Network)
		for _, d := range e.Databases {
			fmt.Fprintf(t, "  database %s\t%s\t%s\n", d.Name, d.Address, health(d.Ready, d.Reason))
		}
		for _, f := range e.Fleets {
			fmt.Fprintf(t, "  service %s\t%d instances\trelease %s\n", f.Service, len(f.Instances), weights(f))
			for _, i := range f.Instances {
				fmt.Fprintf(t, "    %s\t%s\trelease %d %s %s\n", i.ID, i.Address, i.Release, i.State, i.Reason)
			}
		}
	}
	for _, m := range s.Migrations {
		fmt.Fprintf(t, "migration %s\t%s -> %s\t%s, the %s holds the truth\n", m.Name, m.Source, m.Environment, m.Phase, m.Truth)
	}
	for _, u := range s.Unfinished {
		fmt.Fprintf(t, "unfinished\t%s\n", u)
	}
}

func health(ok bool, reason string) string {
	if ok {
		return "ready"
	}
	return "NOT READY " + reason
}

func weights(f fleet.Fleet) string {
	text := ""
	for _, r := range f.Releases {
		if weight := f.Weights[r.Number]; weight > 0 {
			text += fmt.Sprintf("%d ", r.Number)
		}
	}
	return text
}
