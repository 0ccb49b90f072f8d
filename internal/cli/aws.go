package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/cloud"
	"godwit/internal/landscape"
	"godwit/internal/site/aws/tofu"
)

// onAWS are the options of all commands below aws.
type onAWS struct {
	*globals
	endpoint   string
	databaseCA string
}

func newAWS(g *globals) *cobra.Command {
	a := &onAWS{globals: g}
	c := &cobra.Command{
		Use:   "aws",
		Short: "The landscape on AWS: Terraform, machine images, rollouts",
		Long: `Puts the landscape on AWS with the tools its users know: Terraform or OpenTofu for
what is there, Packer for machine images, Auto Scaling for instances. Credentials
are found as every tool for AWS finds them. No engine is needed: any machine with
credentials may go on with what another began.

From an empty account: docs/aws.md.`,
		Example: `  godwit aws render examples/bistro --out terraform   # look at it; needs no account
  godwit aws cost examples/bistro                     # what a month would cost
  godwit aws apply examples/bistro --account          # once for the account
  godwit aws apply examples/bistro --env test
  godwit aws databases examples/bistro --env test     # roles and secrets
  godwit aws bake till --dir examples/bistro
  godwit aws deploy till --dir examples/bistro --env test`,
		Args: onlyCommands,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&a.endpoint, "endpoint", os.Getenv("GODWIT_AWS_ENDPOINT"),
		"what stands in for AWS, an emulator on this machine: http://127.0.0.1:5000 (default $GODWIT_AWS_ENDPOINT)")
	c.AddCommand(newAWSRender(a), newAWSPlan(a), newAWSApply(a), newAWSDestroy(a), newAWSUnlock(a), newAWSDatabases(a),
		newAWSBake(a), newAWSPrune(a), newAWSDeploy(a), newAWSRollback(a), newAWSResume(a), newAWSStatus(a), newAWSCost(a))
	return c
}

// open reads the landscape of a directory and finds credentials.
func (a *onAWS) open(ctx context.Context, dir string) (*cloud.Cloud, error) {
	cl, _, err := a.openWithWarnings(ctx, dir)
	return cl, err
}

// openWithWarnings also returns what validate would warn of.
func (a *onAWS) openWithWarnings(ctx context.Context, dir string) (*cloud.Cloud, landscape.Findings, error) {
	l, wire, warnings, err := readWithWarnings(dir)
	if err != nil {
		return nil, nil, err
	}
	cl, err := cloud.Open(ctx, cloud.Options{Landscape: l, Dir: wire.Dir, State: a.state, Endpoint: tofu.Endpoint(a.endpoint), DatabaseCA: a.databaseCA, Sink: a.sink()})
	return cl, warnings, err
}

// opened is a landscape on AWS and the root of it that the flags name.
type opened struct {
	*cloud.Cloud
	root     string
	tree     string             // directory of the rendered Terraform
	warnings landscape.Findings // of the landscape
}

// openRoot opens the landscape of a directory and picks the root.
func (a *onAWS) openRoot(ctx context.Context, dir string, roots *rootFlags) (opened, error) {
	cl, warnings, err := a.openWithWarnings(ctx, dir)
	if err != nil {
		return opened{}, err
	}
	root, err := roots.root(cl.Landscape)
	return opened{cl, root, tree(dir, roots.out), warnings}, err
}

// tree is where a landscape's Terraform is: beside it when nobody says.
func tree(dir, out string) string {
	if out != "" {
		return absolute(out)
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	return absolute(filepath.Join(dir, "terraform"))
}

// absolute: Terraform runs in another directory.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// rootFlags say which root a command is about, and where it is.
type rootFlags struct {
	out     string
	env     string
	account bool
}

func (f *rootFlags) add(c *cobra.Command, g *globals) {
	c.Flags().StringVar(&f.out, "out", "", "directory of the rendered Terraform (default DIR/terraform)")
	c.Flags().StringVar(&f.env, "env", "", "this environment")
	c.Flags().BoolVar(&f.account, "account", false, "what there is one of in the account: audit log, guard, state bucket")
	g.completeEnvironments(c)
}

// root is the one that is meant.
func (f *rootFlags) root(l *landscape.Landscape) (string, error) {
	switch {
	case f.account && f.env != "":
		return "", api.Fail(api.Usage, "--account and --env exclude each other: they are applied one after the other")
	case f.account:
		return tofu.AccountRoot, nil
	case f.env == "":
		return "", api.Fail(api.Usage, "say what: --account, which comes first, or --env with one of the environments")
	}
	if _, ok := l.Environment(f.env); !ok {
		return "", api.Fail(api.Missing, "the landscape declares no environment %q", f.env)
	}
	return tofu.EnvironmentRoot(f.env), nil
}

// failed gives programs the problems of a Terraform failure one by one; its text,
// which people get, has them all, and what was done before.
func (a *onAWS) failed(err error) error {
	var f *tofu.Failure
	if !errors.As(err, &f) || !a.view.json {
		return err
	}
	failure := &api.Failure{Code: api.AsFailure(err).Code, Message: err.Error()}
	for _, p := range f.Problems {
		failure.Findings = append(failure.Findings, landscape.Finding{Severity: landscape.Error, File: p.File, Line: p.Line, Summary: p.Error(), Mend: p.Mend})
	}
	return failure
}
