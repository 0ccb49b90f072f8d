package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/pipeline"
)

func newPipelinePrune(g *globals) *cobra.Command {
	p := pipeline.Prune{}
	c := &cobra.Command{
		Use:   "prune",
		Short: "Remove old runs, with their logs and images",
		Long: `Removes the oldest runs of each pipeline. The newest stay; and so does a run that has
not ended or waits for an approval, that a process is at work on, that is damaged, or
that was the last to deploy into an environment. A run that came to no stage, since it
was refused or killed, goes an hour after it was begun.

A run that begins removes old ones of its pipeline by itself.`,
		Example: `  godwit pipeline prune --dry-run
  godwit pipeline prune --keep 10`,
		Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			done, err := g.runs().Prune(c.Context(), p)
			failed := pipelineFailure(err)
			if failed != nil && len(done.Removed) == 0 {
				return failed
			}
			if err := g.view.result(done, func(w io.Writer) { writePruned(w, done, p.Dry) }); err != nil || failed == nil {
				return err
			}
			g.view.note("%s %v", g.view.paint(red, "godwit:"), failed)
			return &reported{failed}
		},
	}
	c.Flags().IntVar(&p.Keep, "keep", pipeline.Keep, "so many of the newest ended runs of each pipeline stay")
	c.Flags().BoolVar(&p.Dry, "dry-run", false, "only say what would go")
	return c
}

func writePruned(w io.Writer, done pipeline.Pruned, dry bool) {
	verb := "removed"
	if dry {
		verb = "would remove"
	}
	for _, r := range done.Removed {
		fmt.Fprintf(w, "%s %s (%s, begun %s)\n", verb, r.ID, r.Status, r.Started.Local().Format(time.DateTime))
	}
	newest := 0
	for _, r := range done.Kept {
		if r.Newest {
			newest++
			continue
		}
		fmt.Fprintf(w, "kept %s: %s\n", r.ID, r.Why)
	}
	said := []string{fmt.Sprintf("%s %s", verb, count(len(done.Removed), "run")), stay(len(done.Kept), newest)}
	if done.Leftovers > 0 {
		said = append(said, fmt.Sprintf("deleted what was left of %s by a prune that was killed", count(done.Leftovers, "run")))
	}
	fmt.Fprintln(w, strings.Join(said, "; "))
}

// stay says how many runs were kept, and how many of them as the newest.
func stay(kept, newest int) string {
	switch {
	case kept == 1 && newest == 1:
		return "1 stays, as the newest"
	case kept == 1:
		return "1 stays"
	}
	return fmt.Sprintf("%d stay, %d of them as the newest", kept, newest)
}
