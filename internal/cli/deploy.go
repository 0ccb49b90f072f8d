package cli

import (
	"crypto/rand"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"godwit/internal/api"
)

func newDeploy(g *globals) *cobra.Command {
	var r api.DeployRequest
	c := &cobra.Command{
		Use:   "deploy SERVICE",
		Short: "Roll out a new release of a service, without dropping a request",
		Long: `Builds or imports the service's image and rolls it out: new instances beside the
old, ready, a little traffic, judged against the old (errors and p99), the rest,
old ones drained and retired. A release that fails is refused: traffic goes back
and its instances are retired. While both serve, a failing request that may be
repeated (GET, or one with an Idempotency-Key) is answered by the old release.
Where the old release has no ready instance, the new one gets everything at once.

Exit status: 0 done or unchanged, 1 failed, 3 the release was refused.`,
		Example: `  godwit deploy till                          # test, stage, production, in order
  godwit deploy till --env production
  godwit deploy till --image ./images/till-v2`,
		Args:              arguments(1, 1),
		ValidArgsFunction: g.complete(serviceNames),
		RunE: func(c *cobra.Command, args []string) (err error) {
			r.Service = args[0]
			if r.Image != "" {
				if r.Image, err = filepath.Abs(r.Image); err != nil {
					return err
				}
			}
			engine, err := g.running(c.Context())
			if err != nil {
				return err
			}
			rollouts, err := reattached(c.Context(), g, engine, func() ([]api.Rollout, error) {
				return engine.Deploy(c.Context(), r, g.view.watch())
			})
			return g.rollouts(rollouts, err)
		},
	}
	c.Flags().StringVar(&r.Environment, "env", "", "only this environment")
	g.completeEnvironments(c)
	c.Flags().StringVar(&r.Image, "image", "", "OCI layout directory or archive to deploy instead of the declared one")
	return c
}

func newRollback(g *globals) *cobra.Command {
	var r api.RollbackRequest
	c := &cobra.Command{
		Use:   "rollback SERVICE",
		Short: "Return a service to an earlier release",
		Long: `Rolls out an earlier release of a service again: the one before the current, or
the one named by --to. The same steps as deploy.

Exit status: 0 done, 1 failed, 3 the release was refused.`,
		Example: `  godwit rollback till --env production
  godwit rollback till --to 3`,
		Args:              arguments(1, 1),
		ValidArgsFunction: g.complete(serviceNames),
		RunE: func(c *cobra.Command, args []string) error {
			r.Service = args[0]
			engine, err := g.running(c.Context())
			if err != nil {
				return err
			}
			r.ID = rand.Text() // sent again it means the same, and does not go back once more
			rollouts, err := reattached(c.Context(), g, engine, func() ([]api.Rollout, error) {
				return engine.Rollback(c.Context(), r, g.view.watch())
			})
			return g.rollouts(rollouts, err)
		},
	}
	c.Flags().StringVar(&r.Environment, "env", "", "only this environment")
	g.completeEnvironments(c)
	c.Flags().IntVar(&r.To, "to", 0, "release number (default: the one before the current)")
	return c
}

// ended is how a rollout ended, in words.
func ended(r api.Rollout) string {
	if r.Outcome == api.RolloutUnchanged {
		return fmt.Sprintf("release %d is live already, nothing to change", r.To)
	}
	if r.Outcome == api.RolloutWaits {
		return r.Reason
	}
	text := fmt.Sprintf("release %d -> %d: %s", r.From, r.To, r.Outcome)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return fmt.Sprintf("%s; %d requests failed, %d shielded by the old release", text, r.Failed, r.Shielded)
}

// rollouts prints how rollouts ended; any that was refused or failed decides the exit status.
func (g *globals) rollouts(rollouts []api.Rollout, err error) error {
	if err != nil {
		return err
	}
	g.view.result(rollouts, func(w io.Writer) {
		for _, r := range rollouts {
			fmt.Fprintf(w, "%s/%s: %s\n", r.Environment, r.Service, ended(r))
			if r.Problem != "" {
				fmt.Fprintf(w, "  problem: %s\n", r.Problem)
			}
		}
	})
	for _, r := range rollouts {
		switch r.Outcome {
		case api.RolloutRefused:
			return &reported{api.Fail(api.Refused, "release %d of %s was refused: %s", r.To, r.Service, r.Reason)}
		case "undone", "stuck":
			return &reported{api.Fail(api.Failed, "rollout of %s: %s: %s", r.Service, r.Outcome, r.Reason)}
		}
	}
	return nil
}
