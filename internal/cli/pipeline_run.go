package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"godwit/internal/api"
	"godwit/internal/pipeline"
)

type pipelineOptions struct {
	resume, site, run, dir, service, approvedBy string
	approve, wait                               bool
	keep                                        int
	builder                                     builderFlags
}

// bakes is before the names of flags that a pipeline passes on to its bake.
const bakes = "bake-"

// add declares what beginning a run takes, all at once or stage by stage.
func (o *pipelineOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.site, "site", "local", `where to deploy, "local" or "aws"`)
	f.IntVar(&o.keep, "keep", pipeline.Keep, "when a run begins, so many of the pipeline's ended ones stay")
	o.builder.add(f, bakes)
}

func newPipelineRun(g *globals) *cobra.Command {
	var o pipelineOptions
	c := &cobra.Command{
		Use:   "run [NAME] [DIR]",
		Short: "Run a pipeline's stages here",
		Long: `Runs the stages of a pipeline one after the other, each stage's work for all its
services side by side. Images are built once, and every environment gets the same.

Workers do the work: when this command is killed they go on, and --resume attaches
to them; Ctrl-C ends them. What is done is not done again. An approval is asked on
a terminal, and may be given from elsewhere with godwit pipeline approve.

Exit status: 0 done; 1 a stage failed; 2 it waits for an approval that nobody here
can give; 3 a rollout was refused, or the approval denied.

What begins with --bake is passed on to godwit aws bake. Old runs are removed when
one begins, as godwit pipeline prune does.`,
		Example: `  godwit pipeline run bistro examples/bistro
  godwit pipeline run --site aws --approve --bake-from 203.0.113.7/32
  godwit pipeline run --resume bistro-20270101-120000-a1b2c3`,
		Args:              arguments(0, 2),
		ValidArgsFunction: completePipeline,
		RunE: func(c *cobra.Command, args []string) error {
			if o.resume != "" && (len(args) > 0 || c.Flags().Changed("site") || c.Flags().Changed("keep")) {
				return usage(c, errors.New("--resume goes on with a run as it was begun: leave out NAME, DIR, --site and --keep"))
			}
			r, err := g.pipelineRun(c.Context(), args, o)
			if err != nil {
				return pipelineFailure(err)
			}
			g.view.note("run %s (logs: godwit pipeline logs %s)", r.ID, r.ID)
			return g.drive(c.Context(), r, o, func(ctx context.Context, d pipeline.Drive) error { return r.Drive(ctx, d) })
		},
	}
	c.Flags().StringVar(&o.resume, "resume", "", "go on with this run")
	o.add(c.Flags())
	completeFlag(c, "resume", g.completeRuns)
	completeFlag(c, "site", completeSites)
	c.Flags().BoolVar(&o.approve, "approve", false, "give every approval beforehand")
	c.Flags().BoolVar(&o.wait, "wait", false, "wait for approvals from elsewhere, also without a terminal")
	return c
}

// pipelineRun is the run to go on with, or a new one.
func (g *globals) pipelineRun(ctx context.Context, args []string, o pipelineOptions) (*pipeline.Run, error) {
	if o.resume == "" {
		name, dir := nameAndDir(args)
		d, err := readPipeline(name, dir)
		if err != nil {
			return nil, err
		}
		return g.begin(ctx, d, o)
	}
	r, err := g.runs().Get(o.resume)
	if err != nil {
		return nil, err
	}
	d, err := readPipeline(r.Pipeline.Name, r.Dir)
	if err != nil {
		return nil, err
	}
	if err := r.Same(d.digest); err != nil {
		return nil, err
	}
	return r, o.rebake(r)
}

// begin writes down a new run, and removes old ones. With an id that there is
// already it fails with pipeline.ErrExists, and removes none.
func (g *globals) begin(ctx context.Context, d declaredPipeline, o pipelineOptions) (*pipeline.Run, error) {
	if o.keep < 1 {
		return nil, api.Fail(api.Usage, "--keep %d: at least one ended run stays", o.keep)
	}
	bake, err := o.builder.args("")
	if err != nil {
		return nil, err
	}
	plan := pipeline.Plan{ID: o.run, Landscape: d.landscape, Pipeline: d.pipeline, Dir: d.dir, Digest: d.digest,
		Site: o.site, Bake: bake, By: pipeline.Me()}
	if err := g.runs().Free(ctx, plan, o.run == ""); err != nil {
		return nil, err
	}
	r, err := g.runs().Begin(plan, time.Now())
	if err != nil {
		return nil, err
	}
	pruned, err := g.runs().Prune(ctx, pipeline.Prune{Keep: o.keep, Of: r})
	if n := len(pruned.Removed); n > 0 {
		stay := fmt.Sprintf("newest %d stay", o.keep)
		if o.keep == 1 {
			stay = "newest stays"
		}
		g.view.note("%s removed: the %s (--keep)", count(n, "old run"), stay)
	}
	if err != nil { // no reason not to run
		g.view.note("%s old runs are not all removed: %v", g.view.paint(yellow, "!"), err)
	}
	return r, nil
}

// rebake lets a run that goes on bake as is said now, if it is.
func (o *pipelineOptions) rebake(r *pipeline.Run) error {
	bake, err := o.builder.args("")
	if err != nil || len(bake) == 0 {
		return err
	}
	r.Bake = bake
	return pipeline.CheckBake(r.Site, bake)
}

// drive shows what run does, and how it ended.
func (g *globals) drive(ctx context.Context, r *pipeline.Run, o pipelineOptions, run func(context.Context, pipeline.Drive) error) error {
	board := newBoard(g.view, r)
	d := pipeline.Drive{Watch: board.event, By: pipeline.Me(), Approve: o.approve, Wait: o.wait,
		Digest: func() (string, error) {
			now, err := readPipeline(r.Pipeline.Name, r.Dir)
			return now.digest, err
		}}
	if o.run == "" && !g.view.json && interactive(os.Stdin) {
		d.Ask = board.ask
	}
	err := run(ctx, d)
	board.close()
	state, broken := r.State()
	var damaged *pipeline.Damaged
	if broken != nil && errors.As(err, &damaged) { // said already
		return err
	}
	if broken != nil {
		return errors.Join(err, broken)
	}
	failed := pipelineFailure(err)
	var f *pipeline.Failure
	if errors.As(err, &f) {
		board.tails(f)
	}
	if failed != nil && !g.view.json {
		return failed
	}
	if err := g.view.result(state, func(w io.Writer) { writeState(w, g.view, state) }); err != nil || failed == nil {
		return err
	}
	g.view.note("%s %v", g.view.paint(red, "godwit:"), failed)
	return &reported{failed}
}

func newPipelineStage(g *globals) *cobra.Command {
	o := pipelineOptions{dir: "."}
	c := &cobra.Command{
		Use:   "stage NAME STAGE",
		Short: "Run one stage of a run, as Jenkins does",
		Long: `Runs one stage of the run that --run names, or one service's share of it; the first
stage begins the run. It may be called again at any time: when the stage is done it
returns at once, and when it is under way in another process (a build that lost its
agent, a restarted Jenkins) it attaches, shows the log, and waits for the end.`,
		Example: `  godwit pipeline stage bistro build --service menu --run "$BUILD_TAG"`,
		Args:    arguments(2, 2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return stageNames(o.dir, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			if o.run == "" {
				return usage(c, errors.New(`--run is missing: a name for the run, such as "$BUILD_TAG"`))
			}
			r, err := g.stageRun(c.Context(), args[0], o)
			if err != nil {
				return pipelineFailure(err)
			}
			return g.drive(c.Context(), r, o, func(ctx context.Context, d pipeline.Drive) error {
				return r.Stage(ctx, args[1], o.service, o.decision(), d)
			})
		},
	}
	c.Flags().StringVar(&o.dir, "dir", o.dir, "directory of the landscape")
	c.Flags().StringVar(&o.service, "service", "", "only this service")
	c.Flags().StringVar(&o.run, "run", "", "name of the run")
	o.add(c.Flags())
	completeFlag(c, "run", g.completeRuns)
	completeFlag(c, "site", completeSites)
	c.Flags().StringVar(&o.approvedBy, "approved-by", "", "who has approved, when the stage is an approval")
	c.Flags().BoolVar(&o.wait, "wait", false, "when the stage is an approval, wait for it from elsewhere")
	return c
}

func (o pipelineOptions) decision() *pipeline.Decision {
	if o.approvedBy == "" {
		return nil
	}
	by := pipeline.Me()
	by.Said = o.approvedBy
	d := pipeline.Decide(true, by, time.Now())
	return &d
}

// stageRun begins the run of that name, or finds it: parallel branches of Jenkins
// call at the same time.
func (g *globals) stageRun(ctx context.Context, name string, o pipelineOptions) (*pipeline.Run, error) {
	d, err := readPipeline(name, o.dir)
	if err != nil {
		return nil, err
	}
	r, err := g.begin(ctx, d, o)
	if !errors.Is(err, pipeline.ErrExists) {
		return r, err
	}
	if r, err = g.runs().Get(o.run); err != nil {
		return nil, err
	}
	if r.Pipeline.Name != name || r.Site != o.site {
		return nil, api.Fail(api.Usage, "run %s is one of pipeline %q on site %s: choose another name with --run", r.ID, r.Pipeline.Name, r.Site)
	}
	if err := r.Same(d.digest); err != nil {
		return nil, err
	}
	r.Dir = d.dir // Jenkins may have checked out elsewhere this time
	return r, o.rebake(r)
}

func newPipelineApprove(g *globals) *cobra.Command {
	var deny bool
	c := &cobra.Command{
		Use:   "approve RUN",
		Short: "Answer the approval that a run waits for",
		Long: `Answers the question that a run has reached, for the landscape, the source and the
images that it has reached it with: of anything else the answer does not count. Who
answered is the user of this process, and behind root the one who logged in; it is
kept, with the time. The first answer of a person counts. A denied run does not go on.`,
		Example: `  godwit pipeline approve bistro-20270101-120000-a1b2c3
  godwit pipeline approve bistro-20270101-120000-a1b2c3 --deny`,
		Args:              arguments(1, 1),
		ValidArgsFunction: g.completeRuns,
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := g.runs().Get(args[0])
			if err != nil {
				return pipelineFailure(err)
			}
			d := pipeline.Decide(!deny, pipeline.Me(), time.Now())
			stage, about, err := r.Decide(d)
			if err != nil {
				return pipelineFailure(err)
			}
			return g.view.result(map[string]any{"run": r.ID, "stage": stage, "decision": d, "subject": about}, func(w io.Writer) {
				word := "approved"
				if deny {
					word = "denied"
				}
				fmt.Fprintf(w, "%s of run %s: %s by %s\n", stage, r.ID, word, d.By)
				writeSubject(w, about)
			})
		},
	}
	c.Flags().BoolVar(&deny, "deny", false, "answer no")
	return c
}
