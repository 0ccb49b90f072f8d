package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/pipeline"
)

func newPipelineList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the runs of this state directory, oldest first",
		Example: "  godwit pipeline list --json",
		Args:    arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			states, damaged, err := g.runs().States()
			if err != nil {
				return err
			}
			return g.view.result(map[string]any{"runs": states, "damaged": damaged}, func(w io.Writer) {
				if len(states)+len(damaged) == 0 {
					fmt.Fprintln(w, "no run yet")
				}
				for _, s := range states {
					fmt.Fprintf(w, "%-40s %-11s %s %s, %s\n", s.ID, s.Status, s.Started.Local().Format(time.DateTime), s.Pipeline, s.Site)
				}
				for _, d := range damaged {
					fmt.Fprintf(w, "%-40s %s %s\n  %s\n", d.ID, g.view.paint(red, fmt.Sprintf("%-11s", "damaged")), d.Reason, d.Mend)
				}
			})
		},
	}
}

func newPipelineShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "show RUN",
		Short:             "Show the stages of a run: what is done, how long it took, who approved",
		Example:           "  godwit pipeline show bistro-20270101-120000-a1b2c3",
		Args:              arguments(1, 1),
		ValidArgsFunction: g.completeRuns,
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := g.runs().Get(args[0])
			if err != nil {
				return pipelineFailure(err)
			}
			s, err := r.State()
			if err != nil {
				return err
			}
			return g.view.result(s, func(w io.Writer) { writeState(w, g.view, s) })
		},
	}
}

func writeState(w io.Writer, v *view, s pipeline.State) {
	fmt.Fprintf(w, "run %s of pipeline %s on site %s: %s\n", s.ID, s.Pipeline, s.Site, s.Status)
	for _, stage := range s.Stages {
		for _, u := range stage.Units {
			line := fmt.Sprintf("  %-32s %-11s", u.Name(), u.Status)
			if d := u.Elapsed(); d > 0 && u.Status != pipeline.Skipped {
				line += " " + milliseconds(float64(d)/float64(time.Millisecond))
			}
			for _, more := range []string{u.Image, u.Reason} {
				if more != "" {
					line += " " + more
				}
			}
			fmt.Fprintln(w, strings.TrimRight(line, " "))
		}
	}
	switch s.Status {
	case pipeline.Done, pipeline.Running:
	case pipeline.Asking:
		fmt.Fprintf(w, "it goes on with: godwit pipeline approve %s\n", s.ID)
	default:
		fmt.Fprintf(w, "it goes on with: godwit pipeline run --resume %s\n", s.ID)
	}
}

func newPipelineLogs(g *globals) *cobra.Command {
	var service, out string
	c := &cobra.Command{
		Use:   "logs RUN [STAGE]",
		Short: "Show what the stages of a run wrote",
		Long: `Shows the logs of a run, of one stage of it, or of one service's share, all attempts.
Values that the landscape takes from the environment are masked in them. With --out
they are written into a directory instead, one file per unit, for an archive.`,
		Example: `  godwit pipeline logs bistro-20270101-120000-a1b2c3 build --service menu
  godwit pipeline logs bistro-20270101-120000-a1b2c3 --out logs`,
		Args:              arguments(1, 2),
		ValidArgsFunction: g.completeRuns,
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := g.runs().Get(args[0])
			if err != nil {
				return pipelineFailure(err)
			}
			stage := ""
			if len(args) > 1 {
				stage = args[1]
			}
			units, err := r.Units(stage, service)
			if err != nil {
				return pipelineFailure(err)
			}
			if out != "" {
				return g.keepLogs(r, units, out)
			}
			return g.showLogs(r, units)
		},
	}
	c.Flags().StringVar(&service, "service", "", "only this service")
	c.Flags().StringVar(&out, "out", "", "directory to write them into")
	return c
}

func (g *globals) showLogs(r *pipeline.Run, units []pipeline.Unit) error {
	if g.view.json {
		return g.logDocuments(r, units)
	}
	for _, u := range units {
		err := r.Lines(u, func(line string) error {
			if len(units) > 1 {
				line = u.Name() + " | " + line
			}
			return g.view.write([]byte(line + "\n"))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// logDocuments prints a document per line, as logs does.
func (g *globals) logDocuments(r *pipeline.Run, units []pipeline.Unit) error {
	for _, u := range units {
		err := r.Lines(u, func(line string) error {
			row, err := json.Marshal(map[string]string{"stage": u.Title, "service": u.Service, "line": line})
			if err != nil {
				return err
			}
			return g.view.write(append(row, '\n'))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *globals) keepLogs(r *pipeline.Run, units []pipeline.Unit, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return api.Fail(api.Usage, "--out: %v", err)
	}
	files := []string{}
	for _, u := range units {
		log, err := r.Log(u)
		if err != nil {
			return err
		}
		if log == nil {
			continue
		}
		file := filepath.Join(dir, pipeline.FileName(u)+".log")
		if err := copyLog(log, file); err != nil {
			return err
		}
		files = append(files, file)
	}
	return g.view.result(map[string]any{"files": files}, func(w io.Writer) { fmt.Fprintf(w, "%s in %s\n", count(len(files), "log"), dir) })
}

func copyLog(log *os.File, path string) error {
	defer log.Close()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, log)
	return errors.Join(err, f.Close())
}

// writeSubject says what an approval is for.
func writeSubject(w io.Writer, s pipeline.Subject) {
	fmt.Fprintf(w, "  landscape %s\n", s.Landscape)
	if s.Source != "" {
		fmt.Fprintf(w, "  source    %s\n", s.Source)
	}
	for _, service := range slices.Sorted(maps.Keys(s.Images)) {
		fmt.Fprintf(w, "  image     %s %s\n", service, s.Images[service])
	}
}
