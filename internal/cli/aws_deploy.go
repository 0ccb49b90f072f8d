package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/cloud"
)

// named: production is never reached by leaving something out.
func named(environment string) error {
	if environment == "" {
		return api.Fail(api.Usage, "say which environment: --env")
	}
	return nil
}

// rolloutFlags are options of what rolls out on AWS.
type rolloutFlags struct {
	dir, env string
	watch    time.Duration
}

func (r *rolloutFlags) add(c *cobra.Command, g *globals) {
	c.Flags().StringVar(&r.dir, "dir", ".", "directory of the landscape")
	c.Flags().StringVar(&r.env, "env", "", "environment")
	g.completeEnvironments(c)
}

func (r *rolloutFlags) addWatch(c *cobra.Command) {
	c.Flags().DurationVar(&r.watch, "watch", cloud.Watch, "how long the new release is judged; AWS counts by the minute, and tells a minute later")
}

func newAWSDeploy(a *onAWS) *cobra.Command {
	var r rolloutFlags
	var image string
	c := &cobra.Command{
		Use:   "deploy SERVICE",
		Short: "Roll out a baked image of a service, without dropping a request",
		Long: `Launches the release in the service's idle Auto Scaling group at the size of the
one that serves, waits until the load balancer finds it healthy, shifts a little
traffic, judges errors and p99 against the old release, shifts the rest, drains
and empties the old group. A release that fails is taken back, to the very
version that served before.

What is under way is written beside Terraform's states: a rollout whose process
died is ended by the next deploy, or by resume, from any machine. While one runs
another is refused.

Exit status: 0 done or unchanged, 1 failed, 3 the release was refused.`,
		Example: `  godwit aws deploy till --dir examples/bistro --env test
  godwit aws deploy till --image images/till --env production --watch 10m`,
		Args:              arguments(1, 1),
		ValidArgsFunction: a.complete(serviceNames),
		RunE: func(c *cobra.Command, args []string) error {
			if err := named(r.env); err != nil {
				return err
			}
			cl, err := a.open(c.Context(), r.dir)
			if err != nil {
				return err
			}
			s, ok := cl.Landscape.Service(args[0])
			if !ok {
				return api.Fail(api.Missing, "the landscape declares no service %q", args[0])
			}
			digest, err := cl.Image(c.Context(), s, image)
			if err != nil {
				return err
			}
			return a.rollouts(cl.Deploy(c.Context(), args[0], r.env, digest, r.watch))
		},
	}
	r.add(c, a.globals)
	r.addWatch(c)
	c.Flags().StringVar(&image, "image", "", "OCI layout directory or archive that was baked, instead of the declared one")
	return c
}

func newAWSRollback(a *onAWS) *cobra.Command {
	var r rolloutFlags
	var to int
	c := &cobra.Command{
		Use:   "rollback SERVICE",
		Short: "Return a service on AWS to an earlier release",
		Long: `Rolls out an earlier release again: the last that served before the current, or the
one named by --to. The same steps as deploy.`,
		Example: `  godwit aws rollback till --env production
  godwit aws rollback till --env production --to 3`,
		Args:              arguments(1, 1),
		ValidArgsFunction: a.complete(serviceNames),
		RunE: func(c *cobra.Command, args []string) error {
			if err := named(r.env); err != nil {
				return err
			}
			cl, err := a.open(c.Context(), r.dir)
			if err != nil {
				return err
			}
			return a.rollouts(cl.Rollback(c.Context(), args[0], r.env, to, r.watch))
		},
	}
	r.add(c, a.globals)
	r.addWatch(c)
	c.Flags().IntVar(&to, "to", 0, "release number (default: the last that served before)")
	return c
}

func newAWSResume(a *onAWS) *cobra.Command {
	var r rolloutFlags
	c := &cobra.Command{
		Use:   "resume SERVICE",
		Short: "End a rollout whose process died",
		Long: `Finishes a rollout on AWS that its process did not end, when it had begun to drain
the old release, and otherwise takes it back. The next deploy does so by itself.`,
		Example:           `  godwit aws resume till --env production`,
		Args:              arguments(1, 1),
		ValidArgsFunction: a.complete(serviceNames),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.open(c.Context(), r.dir)
			if err != nil {
				return err
			}
			all, err := cl.Resume(c.Context(), args[0], r.env)
			if err == nil && len(all) == 0 {
				return a.nothingToResume(args[0], r.env)
			}
			return a.rollouts(all, err)
		},
	}
	r.add(c, a.globals)
	return c
}

// nothingToResume says so: silence would leave open whether something was ended.
func (a *onAWS) nothingToResume(service, environment string) error {
	where := "any environment"
	if environment != "" {
		where = environment
	}
	return a.view.result([]api.Rollout{}, func(w io.Writer) {
		fmt.Fprintf(w, "nothing to resume: no rollout of %s in %s waits for its end\n", service, where)
	})
}

func newAWSStatus(a *onAWS) *cobra.Command {
	var r rolloutFlags
	c := &cobra.Command{
		Use:     "status",
		Short:   "Say what runs on AWS",
		Long:    `Asks AWS what runs in each environment: databases, releases, instances, weights.`,
		Example: `  godwit aws status --dir examples/bistro --env production`,
		Args:    arguments(0, 0),
		RunE:    func(c *cobra.Command, _ []string) error { return a.status(c.Context(), r) },
	}
	r.add(c, a.globals)
	return c
}

func (a *onAWS) status(ctx context.Context, r rolloutFlags) error {
	cl, err := a.open(ctx, r.dir)
	if err != nil {
		return err
	}
	all, err := cl.Status(ctx, r.env)
	if err != nil {
		return err
	}
	return a.view.result(all, func(w io.Writer) {
		for _, e := range all {
			if !e.Network.IsValid() {
				fmt.Fprintf(w, "environment %s is not on AWS: godwit aws apply --env %[1]s\n", e.Name)
				continue
			}
			fmt.Fprintf(w, "environment %s %s\n", e.Name, e.Network)
			writeEnvironment(w, e)
		}
	})
}

func newAWSDatabases(a *onAWS) *cobra.Command {
	var env, database, via string
	c := &cobra.Command{
		Use:   "databases [DIR]",
		Short: "Make the roles that services connect as, and fill their secrets",
		Long: `Makes, in each RDS database of an environment, the role that services connect as,
with a password that nobody sees, and puts what they connect with into the
database's secret. Terraform leaves that secret empty, so that no password is in
its state. Run it once after apply, where the environment's network is reached:
over its VPN for instance, or name a forwarded port. It repeats safely.

With --ca the server's certificate is checked; without, the connection is only
encrypted.`,
		Example: `  godwit aws databases examples/bistro --env test --ca global-bundle.pem
  godwit aws databases examples/bistro --env test --database till --via 127.0.0.1:15432`,
		Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := named(env); err != nil {
				return err
			}
			cl, err := a.open(c.Context(), directory(args))
			if err != nil {
				return err
			}
			all, err := cl.PrepareDatabases(c.Context(), env, database, via)
			if err != nil {
				return err
			}
			return a.view.result(all, func(w io.Writer) {
				for _, p := range all {
					state := "its secret was filled before"
					if p.Filled {
						state = "its secret is filled now"
					}
					fmt.Fprintf(w, "%s/%s: role %s, %s\n", p.Environment, p.Database, p.Role, state)
				}
			})
		},
	}
	c.Flags().StringVar(&env, "env", "", "environment")
	c.Flags().StringVar(&database, "database", "", "only this database")
	c.Flags().StringVar(&via, "via", "", "address and port of this machine that is forwarded to the database")
	c.Flags().StringVar(&a.databaseCA, "ca", "", "file with the certificate authorities of RDS")
	a.completeEnvironments(c)
	return c
}
