package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/demo"
	"godwit/internal/report"
)

func newDemo(g *globals) *cobra.Command {
	o := demo.Options{Duration: 20 * time.Second, Rate: 300, Landscape: filepath.Join("examples", "bistro"), Rollback: os.Getenv("CI") != ""}
	var dir string
	var summary bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "The nonstop move, live: a restaurant leaves its data centre while its tills go on",
		Long: `Starts a data centre (three services as plain processes, one Postgres), brings the
landscape up, sends orders all the while, and moves everything: sync, cutover, a
rollout, a rollout that is refused, the packet test, and with --rollback the way
back. Then compares what was acknowledged with what is in the data. Everything
runs on this machine, in directories and on ports of its own, and is gone
afterwards. Needs Go, to build the restaurant's services.

Exit status: 0 nothing was lost, doubled, failed or open; 1 otherwise.`,
		Example: `  godwit demo
  godwit demo --duration 60s --rate 500 --rollback
  godwit demo --json | jq .cutover.write_pause_ms
  godwit demo --summary run1.json run2.json     # many reports, summed up`,
		Args: func(c *cobra.Command, args []string) error {
			if summary {
				return cobra.MinimumNArgs(1)(c, args)
			}
			return arguments(0, 0)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if summary {
				return g.sumUp(args)
			}
			return g.demo(c.Context(), o, dir)
		},
	}
	c.Flags().DurationVar(&o.Duration, "duration", o.Duration, "how long the tills send at the least")
	c.Flags().Float64Var(&o.Rate, "rate", o.Rate, "requests per second")
	c.Flags().BoolVar(&o.Rollback, "rollback", o.Rollback, "go back to the data centre at the end; on when CI is set")
	c.Flags().StringVar(&o.Isolation, "isolation", "", `"namespaces" (default) or "none", which isolates nothing`)
	c.Flags().StringVar(&o.Landscape, "landscape", o.Landscape, "directory of the restaurant")
	c.Flags().BoolVar(&o.Keep, "keep", false, "keep the demo's directory with its logs")
	c.Flags().StringVar(&dir, "report", "", "directory for report.html and report.json")
	c.Flags().BoolVar(&summary, "summary", false, "sum up the reports named as arguments instead of running")
	return c
}

func (g *globals) demo(ctx context.Context, o demo.Options, dir string) error {
	if o.Rate <= 0 || o.Rate > 20_000 || o.Duration < time.Second || o.Duration > time.Hour {
		return usageText("--rate is 1 to 20000 requests per second, --duration 1s to 1h")
	}
	o.Note = g.view.note
	o.Progress = g.view.err
	if g.view.quiet {
		o.Progress = io.Discard
	}
	r, err := demo.Run(ctx, o)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w; everything that the demo had started is gone", errInterrupted)
	}
	if err != nil {
		return err
	}
	if dir != "" {
		if err := writeReports(r, dir); err != nil {
			return err
		}
		g.view.note("report in %s and %s", filepath.Join(dir, "report.html"), filepath.Join(dir, "report.json"))
	}
	if g.view.json {
		err = r.WriteJSON(g.view.out)
	} else {
		err = r.WriteText(g.view.out, g.view.outColor)
	}
	if err != nil {
		return err
	}
	if r.Verdict != report.OK {
		return &reported{errors.New("the demo found problems")}
	}
	return nil
}

func usageText(text string) error {
	return &usageError{err: errors.New(text), line: "godwit demo [flags]", command: "godwit demo"}
}

func writeReports(r *report.Report, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, write := range map[string]func(io.Writer) error{"report.json": r.WriteJSON, "report.html": r.WriteHTML} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
