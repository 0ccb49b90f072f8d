package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/fleet"
)

func newStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what runs: environments, databases, fleets, routes, migrations",
		Long: `Shows what the engine sees: the gateway and its routes; each environment with its
databases, fleets and instances; each migration and which side holds the truth.
An engine that was killed is started again first.

Exit status: 0 shown, 1 no engine, or it does not answer.`,
		Example: `  godwit status
  godwit status --json | jq '.environments[].fleets[].instances[].state'`,
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
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
	if s.Landscape == "" {
		fmt.Fprintln(w, "the engine runs, no landscape is up yet: godwit up DIR")
	} else {
		fmt.Fprintf(w, "landscape %s on %s, isolation %s\n", s.Landscape, s.Site, s.Isolation)
		fmt.Fprintf(w, "gateway http://%s %s\n", s.Gateway.Address, health(s.Gateway.Healthy, "it is being started again"))
		rows(w, s.Gateway.Routes, func(r api.Route) []string { return []string{"  " + r.Host, "-> " + r.Pool} })
	}
	if s.Problem != "" {
		fmt.Fprintf(w, "problem: %s\n", s.Problem)
	}
	for _, e := range s.Environments {
		fmt.Fprintf(w, "\nenvironment %s%s\n", e.Name, network(e))
		if e.Problem != "" {
			fmt.Fprintf(w, "  problem: %s\n", e.Problem)
		}
		writeEnvironment(w, e)
	}
	for _, m := range s.Migrations {
		fmt.Fprintf(w, "\nmigration %s: %s -> %s: %s, the %s holds the truth\n", m.Name, m.Source, m.Environment, m.Phase, m.Truth)
		if m.Problem != "" {
			fmt.Fprintf(w, "  problem: %s\n", m.Problem)
		}
	}
	for _, u := range s.Unfinished {
		fmt.Fprintf(w, "\nunfinished: %s\n", u)
	}
}

// network of an environment, which is not known of one that could not be asked.
func network(e api.Environment) string {
	if !e.Network.IsValid() {
		return ""
	}
	return " " + e.Network.String()
}

func writeEnvironment(w io.Writer, e api.Environment) {
	rows(w, e.Databases, func(d api.Database) []string {
		return []string{"  database " + d.Name, d.Address.String(), health(d.Ready, d.Reason)}
	})
	for _, f := range e.Fleets {
		fmt.Fprintf(w, "  service %s: %s\n", f.Service, summary(f))
		rows(w, f.Instances, func(i fleet.Instance) []string {
			return []string{"    " + i.ID, i.Address.String(), fmt.Sprintf("release %d", i.Release), strings.TrimSpace(string(i.State) + " " + i.Reason)}
		})
	}
}

// rows writes things below one another, their cells in columns.
func rows[T any](w io.Writer, things []T, cells func(T) []string) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, thing := range things {
		fmt.Fprintln(t, strings.Join(cells(thing), "\t"))
	}
	t.Flush()
}

func health(ok bool, reason string) string {
	if ok {
		return "ready"
	}
	return strings.TrimSpace("NOT READY " + reason)
}

// summary is how many instances are ready, and which releases get requests.
func summary(f fleet.Fleet) string {
	ready, total := 0, 0
	for _, i := range f.Instances {
		if i.State == fleet.Ready {
			ready++
		}
	}
	for _, weight := range f.Weights {
		total += weight
	}
	text := fmt.Sprintf("%d of %d ready", ready, len(f.Instances))
	for _, number := range slices.Sorted(maps.Keys(f.Weights)) {
		switch weight := f.Weights[number]; {
		case weight <= 0:
		case weight == total:
			text += fmt.Sprintf(", release %d", number)
		default:
			text += fmt.Sprintf(", release %d gets %d %%", number, 100*weight/total)
		}
	}
	return text
}
