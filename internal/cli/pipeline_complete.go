package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/pipeline"
)

// completeFlag completes the value of a flag.
func completeFlag(c *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the flag is not there: found by every test
	}
}

func completeSites(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return pipeline.Sites(), cobra.ShellCompDirectiveNoFileComp
}

// completePipeline completes [NAME] [DIR]: the pipelines declared here, or a directory.
func completePipeline(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if len(args) == 0 && !strings.ContainsAny(begun, `/\.`) {
		if names := pipelineNames("."); len(names) > 0 {
			return names, cobra.ShellCompDirectiveNoFileComp
		}
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func pipelineNames(dir string) (names []string) {
	l, _, err := readLandscape(dir)
	if err != nil {
		return nil
	}
	for _, p := range l.Pipelines {
		names = append(names, p.Name)
	}
	return names
}

// stageNames completes NAME STAGE: the pipelines of a directory, then one's stages.
func stageNames(dir string, args []string) (names []string) {
	switch len(args) {
	case 0:
		return pipelineNames(dir)
	case 1:
		d, err := readPipeline(args[0], dir)
		if err != nil {
			return nil
		}
		for _, s := range d.pipeline.Stages {
			names = append(names, s.Name)
		}
	}
	return names
}

// completeRuns completes the id of a run, the newest first, then a stage of it.
func (g *globals) completeRuns(c *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	if g.resolve() != nil {
		return nil, directive
	}
	if len(args) == 0 || c.Name() == "stage" { // there the run is a flag's
		all, _, err := g.runs().All()
		if err != nil {
			return nil, directive
		}
		for _, r := range slices.Backward(all) {
			names = append(names, r.ID)
		}
		return names, directive
	}
	if c.Name() != "logs" || len(args) > 1 {
		return nil, directive
	}
	r, err := g.runs().Get(args[0])
	if err != nil {
		return nil, directive
	}
	for _, s := range r.Pipeline.Stages {
		names = append(names, s.Name)
	}
	return names, directive
}
