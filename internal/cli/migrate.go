package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/api/client"
	"godwit/internal/landscape"
)

func newMigrate(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Move the data centre's traffic and data into an environment, and back",
		Long: `The order of a migration: check, sync, cutover, verify; rollback at any time until
finish. Each takes the name of the migration, which may be left out when the
landscape declares only one.`,
		Example: `  godwit migrate check
  godwit migrate sync
  godwit migrate cutover
  godwit migrate verify
  godwit migrate rollback`,
		Args: onlyCommands,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		g.migration("check", "Say what stands against the migration, and how to mend it",
			`Exit status: 0 nothing stands against it, 2 findings.`, g.migrateCheck),
		g.migration("sync", "Copy schema and data, and keep them in step",
			`Copies the schema, then the data by Postgres's own logical replication, and
leaves both sides in step. Run again after an interruption: it goes on.`, g.migrateSync),
		g.migration("cutover", "Make the environment the truth",
			`Holds requests in the gateway, drains, fences the source for every role, waits
until the target has replayed the fence position, carries sequences, starts the
way back, shifts, releases. Any step over its budget: everything back to the
source, nothing lost.

Exit status: 0 done, 1 failed, 3 refused or over budget; the source is the truth then.`, g.migrateCutover),
		g.migration("verify", "Compare every table of both sides by checksums",
			`Exit status: 0 equal, 1 something differs.`, g.migrateVerify),
		newMigrateApply(g),
		g.migration("rollback", "Make the source the truth again, keeping every write made since",
			`The cutover the other way round.

Exit status: 0 done, 1 failed, 3 refused or over budget; the environment stays the truth then.`, g.migrateRollback),
		g.leaving("finish", "End the migration: the way back is removed, the source stays fenced",
			`With --without-source nothing is asked of a source that is gone for good: lost is
the way back, and nothing else.`, (*client.Client).Finish),
		g.leaving("abort", "Give the migration up: everything of it is removed from both sides",
			`Possible while the source holds the truth. With --without-source nothing is asked
of a source that is gone for good; the copy in the environment is removed, which
may be all that is left of it: save it first.`, (*client.Client).Abort),
		g.migration("abandon", "Give up a cutover, a rollback or a change of definitions that is stuck; both sides stay as they are",
			`Ends what can neither be finished nor undone, for instance because a side is gone.
Clients that a switch holds are let go to the side that holds the truth. Neither database is
asked or changed: the steps that are named stay as they are, and a side that was
fenced stays so. A change that only the side with the truth has keeps the rows behind
it from the other one: migrate apply FILE --catch-up goes on. Then other commands are no longer refused for it: cutover or rollback
again, abort or finish, with --without-source where the source is gone; by-hand prints
the SQL that opens the source.

Exit status: 0 given up, or it came to an end by itself; 1 failed.`, g.migrateAbandon),
		g.migration("by-hand", "Print the SQL that opens the source without godwit",
			`For each database, to be run with psql as a superuser: it lets everybody write,
and removes what godwit made there. Nobody is asked for it, so it works when the
source or the environment does not answer. Two sides that both take writes drift
apart: run it only when the environment is not used any more.`, g.migrateByHand),
		g.migration("status", "Show phase, lag, and which side holds the truth", "", g.migrateStatus),
	)
	return c
}

// migration is a subcommand that works on one migration.
func (g *globals) migration(name, short, long string, run func(ctx context.Context, c *client.Client, name string) error) *cobra.Command {
	if long != "" {
		long = short + ".\n\n" + long
	}
	return &cobra.Command{
		Use:     name + " [MIGRATION]",
		Short:   short,
		Long:    long,
		Example: fmt.Sprintf("  godwit migrate %s\n  godwit migrate %s datacenter --json", name, name),
		Args:    arguments(0, 1),

		ValidArgsFunction: g.complete(migrationNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.running(cmd.Context())
			if err != nil {
				return err
			}
			subject, err := chooseMigration(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			return run(cmd.Context(), c, subject)
		},
	}
}

func chooseMigration(ctx context.Context, c *client.Client, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	h, err := c.Health(ctx)
	if err != nil {
		return "", err
	}
	switch len(h.Migrations) {
	case 0:
		return "", api.Fail(api.Usage, "the landscape declares no migration: add migration \"NAME\" { from = source.… to = environment.… }, then run godwit up")
	case 1:
		return h.Migrations[0], nil
	}
	return "", api.Fail(api.Usage, "the landscape declares %d migrations: name one", len(h.Migrations))
}

func (g *globals) migrateCheck(ctx context.Context, c *client.Client, name string) error {
	checks, err := reattached(ctx, g, c, func() (api.Checks, error) { return c.Check(ctx, name, g.view.watch()) })
	if err != nil {
		return err
	}
	if checks.Findings == nil {
		checks.Findings = landscape.Findings{}
	}
	g.view.result(checks, func(w io.Writer) {
		checks.Findings.Format(w, g.view.outColor)
		if checks.Go {
			fmt.Fprintln(w, "go: nothing stands against the migration")
		} else {
			fmt.Fprintln(w, "no go: mend the errors above")
		}
	})
	if !checks.Go {
		return &reported{&findingsError{checks.Findings}}
	}
	return nil
}

func (g *globals) migrateSync(ctx context.Context, c *client.Client, name string) error {
	m, err := reattached(ctx, g, c, func() (api.Migration, error) { return c.Sync(ctx, name, g.view.watch()) })
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w; what was copied stays: godwit migrate sync goes on, godwit migrate abort removes it", errInterrupted)
	}
	return g.migrationState(m, err)
}

// leaving is a subcommand that ends a migration.
func (g *globals) leaving(name, short, long string, end func(*client.Client, context.Context, string, api.LeaveRequest, client.Watch) (api.Migration, error)) *cobra.Command {
	var r api.LeaveRequest
	command := g.migration(name, short, long, func(ctx context.Context, c *client.Client, subject string) error {
		m, err := reattached(ctx, g, c, func() (api.Migration, error) { return end(c, ctx, subject, r, g.view.watch()) })
		return g.migrationState(m, err)
	})
	command.Example += fmt.Sprintf("\n  godwit migrate %s --without-source        # the source is gone for good", name)
	command.Flags().BoolVar(&r.WithoutSource, "without-source", false, "the source is gone for good: ask nothing of it")
	return command
}

func (g *globals) migrateByHand(ctx context.Context, c *client.Client, name string) error {
	hand, err := c.ByHand(ctx, name)
	if err != nil {
		return err
	}
	return g.view.result(hand, func(w io.Writer) {
		for _, s := range hand.Databases {
			fmt.Fprint(w, s.SQL)
		}
	})
}

func (g *globals) migrateAbandon(ctx context.Context, c *client.Client, name string) error {
	given, err := reattached(ctx, g, c, func() (api.AbandonedRun, error) { return c.AbandonRun(ctx, name, g.view.watch()) })
	if err != nil {
		return err
	}
	return g.view.result(given, func(w io.Writer) {
		fmt.Fprintf(w, "%s of %s: %s; clients are sent to the %s\n", given.Kind, given.Migration, given.Outcome, given.Truth)
		if len(given.Left) > 0 {
			fmt.Fprintf(w, "left as they are: %s; %s\n", strings.Join(given.Left, ", "), given.Next)
		}
	})
}

func (g *globals) migrateStatus(ctx context.Context, c *client.Client, name string) error {
	m, err := c.MigrationStatus(ctx, name)
	return g.migrationState(m, err)
}

func (g *globals) migrationState(m api.Migration, err error) error {
	if err != nil {
		return err
	}
	return g.view.result(m, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s -> %s: %s, the %s holds the truth\n", m.Name, m.Source, m.Environment, m.Phase, m.Truth)
		for _, d := range m.Databases {
			fmt.Fprintf(w, "  database %s: %d of %d tables copied, %d bytes behind\n", d.Database, d.TablesCopied, d.Tables, d.LagBytes)
		}
		if m.Problem != "" {
			fmt.Fprintf(w, "  problem: %s\n", m.Problem)
		}
	})
}

func (g *globals) migrateCutover(ctx context.Context, c *client.Client, name string) error {
	r, err := g.turn(ctx, c, name, c.Cutover, func(m api.Migration) *api.SwitchReport { return m.Cutover })
	return g.switched("cutover", r, err)
}

func (g *globals) migrateRollback(ctx context.Context, c *client.Client, name string) error {
	r, err := g.turn(ctx, c, name, c.RollbackMigration, func(m api.Migration) *api.SwitchReport { return m.Rollback })
	return g.switched("rollback", r, err)
}

func (g *globals) switched(what string, r api.SwitchReport, err error) error {
	if err != nil {
		return err
	}
	g.view.result(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s: write pause %s, %d requests held, the longest for %s\n", what, r.Outcome,
			milliseconds(r.WritePauseMS), r.Held, milliseconds(r.LongestMS))
		for _, s := range r.Steps {
			fmt.Fprintf(w, "  %-12s %10s\n", s.Name, milliseconds(s.MS))
		}
		for _, e := range r.Ended {
			fmt.Fprintf(w, "  ended: %s %s%s (%s, for %s, %d bytes in, %d out)\n", e.Method, e.Host, e.Path, e.State, milliseconds(e.AgeMS), e.In, e.Out)
		}
		if r.Reason != "" {
			fmt.Fprintf(w, "  step %s: %s\n", r.Failed, r.Reason)
		}
	})
	switch r.Outcome {
	case "done":
		return nil
	case "undone":
		return &reported{api.Fail(api.Refused, "the %s was undone in step %s: %s", what, r.Failed, r.Reason)}
	}
	return &reported{errors.New(r.Reason)}
}

func (g *globals) migrateVerify(ctx context.Context, c *client.Client, name string) error {
	v, err := reattached(ctx, g, c, func() (api.Verification, error) { return c.Verify(ctx, name, g.view.watch()) })
	if err != nil {
		return err
	}
	g.view.result(v, func(w io.Writer) {
		said := "both sides differ"
		if v.Equal {
			said = "both sides are equal"
		}
		fmt.Fprintf(w, "%s: %d tables, %d rows, %d chunks compared\n", said, v.Tables, v.Rows, v.Chunks)
		for _, d := range v.Differing {
			fmt.Fprintln(w, "  differs:", d)
		}
		if v.Problem != "" {
			fmt.Fprintln(w, "  mend:", v.Problem)
		}
	})
	if !v.Equal {
		return &reported{errors.New("both sides differ")}
	}
	return nil
}
