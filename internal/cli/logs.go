package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/quote"
)

func newLogs(g *globals) *cobra.Command {
	r := api.LogsRequest{Tail: 50}
	c := &cobra.Command{
		Use:   "logs [SERVICE]",
		Short: "Show the output of instances and databases",
		Long: `Shows what instances and databases wrote, the newest lines of each. With --json
every line is one JSON document.`,
		Example: `  godwit logs till --env production --tail 100
  godwit logs -f`,
		Args:              arguments(0, 1),
		ValidArgsFunction: g.complete(serviceNames),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				r.Service = args[0]
			}
			if r.Tail < 0 {
				return usage(c, errors.New("--tail must not be negative"))
			}
			engine, err := g.running(c.Context())
			if err != nil {
				return err
			}
			w := g.view.watch()
			w.Row = g.logLine
			err = engine.Logs(c.Context(), r, w)
			if r.Follow && c.Context().Err() != nil {
				return nil // Ctrl-C is how following ends
			}
			return err
		},
	}
	c.Flags().StringVar(&r.Environment, "env", "", "only this environment")
	g.completeEnvironments(c)
	c.Flags().IntVar(&r.Tail, "tail", r.Tail, "lines per instance")
	c.Flags().BoolVarP(&r.Follow, "follow", "f", false, "go on until Ctrl-C")
	return c
}

func (g *globals) logLine(row json.RawMessage) {
	if g.view.json {
		fmt.Fprintf(g.view.out, "%s\n", row)
		return
	}
	var l api.LogLine
	if json.Unmarshal(row, &l) == nil {
		fmt.Fprintf(g.view.out, "%s/%s %s\n", l.Environment, l.Instance, quote.Terminal(l.Line))
	}
}
