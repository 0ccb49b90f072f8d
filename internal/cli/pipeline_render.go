package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/pipeline"
)

func newPipelineRender(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:     "render",
		Short:   "Write a pipeline in the language of another system",
		Example: "  godwit pipeline render jenkins bistro examples/bistro",
		Args:    onlyCommands,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newPipelineJenkins(g))
	return c
}

func newPipelineJenkins(g *globals) *cobra.Command {
	var o pipeline.Jenkins
	var out string
	var builder builderFlags
	c := &cobra.Command{
		Use:   "jenkins [NAME] [DIR]",
		Short: "Write a pipeline as a declarative Jenkinsfile",
		Long: `Writes a Jenkinsfile whose stages call godwit pipeline stage: the same work as godwit
pipeline run does here. Jenkins takes credentials from its own store; which ones, the
file's head says. The same landscape and flags give the same bytes. What begins with
--bake is passed on to godwit aws bake.`,
		Example: `  godwit pipeline render jenkins bistro examples/bistro --out Jenkinsfile
  godwit pipeline render jenkins --site aws --submitter ops --no-keys --bake-from 203.0.113.7/32`,
		Args:              arguments(0, 2),
		ValidArgsFunction: completePipeline,
		RunE: func(c *cobra.Command, args []string) error {
			name, dir := nameAndDir(args)
			d, err := readPipeline(name, dir)
			if err != nil {
				return err
			}
			if o.Dir, err = inRepository(d.dir); err != nil {
				return err
			}
			if c.Flags().Changed("keep") && o.Keep < 1 {
				return api.Fail(api.Usage, "--keep %d: at least one ended run stays", o.Keep)
			}
			if o.Bake, err = builder.args(bakes); err != nil {
				return err
			}
			text, err := pipeline.RenderJenkins(d.landscape, d.pipeline, o)
			if err != nil {
				return pipelineFailure(err)
			}
			if out == "" || out == "-" {
				return g.view.result(map[string]string{"jenkinsfile": string(text)}, func(w io.Writer) { w.Write(text) })
			}
			if err := os.WriteFile(out, text, 0o644); err != nil {
				return api.Fail(api.Usage, "--out: %v", err)
			}
			return g.view.result(map[string]string{"file": out}, func(w io.Writer) { fmt.Fprintf(w, "%s written\n", out) })
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write (default: the standard output)")
	c.Flags().StringVar(&o.Site, "site", "local", `where to deploy, "local" or "aws"`)
	completeFlag(c, "site", completeSites)
	c.Flags().StringVar(&o.Agent, "agent", "godwit", "label of the machine that has godwit")
	c.Flags().StringVar(&o.Submitter, "submitter", "", "who may approve: Jenkins users and groups, with commas between")
	c.Flags().IntVar(&o.Keep, "keep", 0, fmt.Sprintf("so many builds, and ended runs on the machine, stay (default %d)", pipeline.Keep))
	builder.add(c.Flags(), bakes)
	c.Flags().BoolVar(&o.NoKeys, "no-keys", false, "the machine has an AWS role of its own: Jenkins holds no keys")
	return c
}

// inRepository is a directory as seen from the root of its repository, which
// Jenkins checks out.
func inRepository(dir string) (string, error) {
	for root := dir; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, ".git")); err == nil {
			relative, err := filepath.Rel(root, dir)
			return filepath.ToSlash(relative), err
		}
		if root == filepath.Dir(root) {
			return ".", nil
		}
	}
}
