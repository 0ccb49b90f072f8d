package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/pipeline"
)

func newPipeline(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "pipeline",
		Short: "Bring a change into production, stage by stage, here or in Jenkins",
		Long: `A pipeline block of the landscape names the stages of a change's way: test, build,
bake, deploy, probe, approve. godwit runs them here, and writes a Jenkinsfile that
runs the same ones there. What is done of a run is never done again.`,
		Example: `  godwit pipeline run bistro examples/bistro
  godwit pipeline render jenkins bistro examples/bistro --out Jenkinsfile`,
		Args: onlyCommands,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newPipelineRun(g), newPipelineList(g), newPipelineShow(g), newPipelineLogs(g), newPipelineApprove(g), newPipelinePrune(g),
		newPipelineStage(g), newPipelineWork(g), newPipelineRender(g))
	return c
}

func (g *globals) runs() pipeline.Runs { return pipeline.Open(g.state) }

// declaredPipeline is a pipeline as a landscape's files have it.
type declaredPipeline struct {
	landscape *landscape.Landscape
	pipeline  landscape.Pipeline
	dir       string // absolute
	digest    string
}

// readPipeline reads the landscape of a directory and picks a pipeline of it.
func readPipeline(name, dir string) (d declaredPipeline, err error) {
	l, wire, err := readLandscape(dir)
	if err != nil {
		return d, err
	}
	d.landscape, d.dir = l, wire.Dir
	sum := sha256.New()
	for _, f := range wire.Files {
		fmt.Fprintf(sum, "%s %d\n%s", filepath.Base(f.Name), len(f.Bytes), f.Bytes)
	}
	d.digest = hex.EncodeToString(sum.Sum(nil))
	var names []string
	for _, p := range l.Pipelines {
		names = append(names, p.Name)
		if p.Name == name || name == "" && len(l.Pipelines) == 1 {
			d.pipeline = p
			return d, nil
		}
	}
	switch {
	case len(names) == 0:
		err = api.Fail(api.Usage, "the landscape in %s declares no pipeline: add a block pipeline \"NAME\" { stage … }", dir)
	case name == "":
		err = api.Fail(api.Usage, "the landscape declares %d pipelines: name one of %s", len(names), strings.Join(names, ", "))
	default:
		err = api.Fail(api.Missing, "the landscape declares no pipeline %q; it has %s", name, strings.Join(names, ", "))
	}
	return d, err
}

// nameAndDir are the arguments [NAME] [DIR]. A single one is the directory when
// it is written like one, or when there is no landscape here.
func nameAndDir(args []string) (name, dir string) {
	switch len(args) {
	case 0:
		return "", "."
	case 2:
		return args[0], args[1]
	}
	if strings.ContainsAny(args[0], `/\.`) {
		return "", args[0]
	}
	if _, _, err := fileNames("."); err == nil {
		return args[0], "."
	}
	if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
		return "", args[0]
	}
	return args[0], "."
}

// pipelineFailure gives the errors of pipeline their codes.
func pipelineFailure(err error) error {
	var waiting *pipeline.Waiting
	var failure *pipeline.Failure
	var interruption *pipeline.Interruption
	switch {
	case err == nil:
		return nil
	case errors.As(err, &waiting), errors.Is(err, pipeline.ErrUsage), errors.Is(err, pipeline.ErrExists):
		return api.Fail(api.Usage, "%v", err)
	case errors.Is(err, pipeline.ErrNotFound):
		return api.Fail(api.Missing, "%v", err)
	case errors.Is(err, pipeline.ErrForbidden):
		return api.Fail(api.Refused, "%v", err)
	case errors.Is(err, pipeline.ErrBusy):
		return api.Fail(api.Busy, "%v", err)
	case errors.As(err, &failure) && failure.Refused:
		return api.Fail(api.Refused, "%v", err)
	case errors.As(err, &interruption):
		return fmt.Errorf("%w %s", errInterrupted, interruption.Where())
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w before it came to its end: call it again", errInterrupted)
	}
	return err
}

func newPipelineWork(g *globals) *cobra.Command {
	var job pipeline.Job
	c := &cobra.Command{
		Use:     "work",
		Short:   "Do one attempt of one unit of a run; other commands start it",
		Example: "  godwit pipeline work --run bistro-1 --position 0 --attempt 1",
		Hidden:  true,
		Args:    arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return pipelineFailure(g.runs().Work(c.Context(), job))
		},
	}
	c.Flags().StringVar(&job.Run, "run", "", "the run's id")
	c.Flags().StringVar(&job.Dir, "dir", "", "directory of the landscape")
	c.Flags().IntVar(&job.Position, "position", 0, "position of the stage")
	c.Flags().StringVar(&job.Service, "service", "", "the service, where the stage is about services")
	c.Flags().IntVar(&job.Attempt, "attempt", 0, "number of the attempt")
	c.Flags().StringArrayVar(&job.Bake, "bake", nil, "further argument of a bake")
	return c
}
