// Package cli is the command line: one file per command, each of them parse ->
// options -> run -> view. It talks to the engine only through api/client;
// validate and plan work without one. Only cmd/godwit imports it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"godwit/internal/api"
)

// Setup installs what a site needs on this machine; which site that is, cmd says.
type Setup func(ctx context.Context, progress func(line string)) (api.Machine, error)

// Main runs the command line and returns the exit status.
func Main(args []string, setup Setup) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return Run(ctx, args, setup, os.Stdout, os.Stderr)
}

// Run is Main with its surroundings as arguments, for tests.
func Run(ctx context.Context, args []string, setup Setup, stdout, stderr io.Writer) int {
	v := newView(stdout, stderr)
	root := newRoot(v, setup)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = v.broken
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, errInterrupted) {
		err = fmt.Errorf("%w; %s shows what was reached", errInterrupted, statusCommand(args))
	}
	if err != nil {
		v.json = v.json || slices.Contains(args, "--json") // a wrong flag ends the parsing before it
		v.failure(err)
	}
	return exitCode(err)
}

// statusCommand is the one that knows of what was interrupted.
func statusCommand(args []string) string {
	if len(args) > 0 && args[0] == "aws" {
		return "godwit aws plan, or godwit aws status,"
	}
	return "godwit status"
}

func newRoot(v *view, setup Setup) *cobra.Command {
	g := &globals{view: v}
	root := &cobra.Command{
		Use:   "godwit",
		Short: "Move a running service landscape, without stopping it",
		Long: `godwit moves a running service landscape out of the data centre it lives in,
into isolated environments, without stopping it, and keeps it running there.

EXIT STATUS
  0  done
  1  failed: it was tried and did not work
  2  usage, or findings in the landscape; with plan --detailed-exitcode: changes pending
  3  refused: protected environment, health verdict, or budget`,
		Example: `  godwit validate examples/bistro      # what is wrong, where, how to mend it
  godwit up examples/bistro            # environments, databases, services, gateway
  godwit migrate sync                  # copy the data centre's data, keep it in step
  godwit migrate cutover               # the environment becomes the truth
  godwit migrate rollback              # and back again
  godwit demo                          # all of it, live, with a report`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              onlyCommands,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error { return g.resolve() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage(c, err) })
	root.PersistentFlags().StringVar(&g.state, "state", "", "directory of the engine's state (default $GODWIT_STATE, or "+defaultState()+")")
	root.PersistentFlags().BoolVar(&v.json, "json", false, "print one JSON document on stdout; progress stays on stderr")
	root.PersistentFlags().BoolVar(&v.quiet, "quiet", false, "no progress on stderr")
	root.AddCommand(
		newValidate(g), newPlan(g), newUp(g), newStatus(g), newBuild(g), newDeploy(g), newRollback(g), newAbandon(g), newLogs(g),
		newMigrate(g), newIsolation(g), newProbe(g), newPipeline(g), newAWS(g), newSetup(g, setup), newDemo(g), newDown(g), newVersion(g),
	)
	addHelpers(root)
	strictArgs(root)
	return root
}

var errInterrupted = errors.New("interrupted")
