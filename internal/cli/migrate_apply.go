package cli

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"godwit/internal/api"
)

// mostSQL is how large a change of definitions may be: it is kept in the journal.
const mostSQL = 1 << 20

func newMigrateApply(g *globals) *cobra.Command {
	var r api.ApplyRequest
	c := &cobra.Command{
		Use:   "apply [MIGRATION] FILE",
		Short: "Change definitions on both sides, so that both ways stay open",
		Long: `Runs the statements of FILE, - for the standard input, in one transaction on each
side: tried on the side that follows and taken back, made where the truth is, then
on the other side, between the rows of before and those of after. New tables move
like the others. The applications go on.

It runs as the role that owns most of what moves, never as a superuser. What would
not be the same on both sides is refused, with the reason, and nothing of it is
there: a default that each side makes by itself, rows added to a table of before,
what cannot be in a transaction.

With --catch-up the side that holds the truth has the change already, by a release
that made it: FILE has the same statements, and only the other side gets them.

Exit status: 0 done, 1 failed, 3 refused.`,
		Example: `  godwit migrate apply change.sql
  godwit migrate apply datacenter change.sql --json
  godwit migrate apply change.sql --catch-up     # a release has made it on one side
  godwit migrate apply change.sql --database till`,
		Args: arguments(1, 2),

		ValidArgsFunction: func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 1 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			names, _ := g.complete(migrationNames)(c, args, begun) // of the first argument
			return names, cobra.ShellCompDirectiveDefault
		},
		RunE: func(c *cobra.Command, args []string) (err error) {
			if r.SQL, err = readSQL(c.InOrStdin(), args[len(args)-1]); err != nil {
				return err
			}
			engine, err := g.running(c.Context())
			if err != nil {
				return err
			}
			name, err := chooseMigration(c.Context(), engine, args[:len(args)-1])
			if err != nil {
				return err
			}
			r.Key = rand.Text()
			a, err := reattached(c.Context(), g, engine, func() (api.Applied, error) { return engine.Apply(c.Context(), name, r, g.view.watch()) })
			return g.applied(a, err)
		},
	}
	c.Flags().StringVar(&r.Database, "database", "", "which one, where the migration moves several")
	c.Flags().BoolVar(&r.CatchUp, "catch-up", false, "the side that holds the truth has the change already: only the other one gets it")
	err := c.RegisterFlagCompletionFunc("database", func(c *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return g.complete(databaseNames)(c, nil, begun)
	})
	if err != nil {
		panic(err) // the flag is not there: found by every test
	}
	return c
}

// databaseNames are those that migrations move.
func databaseNames(s api.Status) (names []string) {
	for _, m := range s.Migrations {
		for _, d := range m.Databases {
			names = append(names, d.Database)
		}
	}
	return names
}

// readSQL reads a file, or the standard input.
func readSQL(input io.Reader, path string) (string, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", api.Fail(api.Usage, "%v", err)
		}
		defer f.Close()
		input = f
	}
	text, err := io.ReadAll(io.LimitReader(input, mostSQL+1))
	if err == nil && len(text) > mostSQL {
		return "", api.Fail(api.Usage, "%s has more than %d bytes: make the change in several files", path, mostSQL)
	}
	return string(text), err
}

// applied prints how a change came out.
func (g *globals) applied(a api.Applied, err error) error {
	if err != nil {
		return err
	}
	g.view.result(a, func(w io.Writer) {
		switch a.Outcome {
		case api.AppliedDone:
			fmt.Fprintf(w, "database %s: both sides have it, and both ways are open\n", a.Database)
		case api.AppliedHalf:
			fmt.Fprintf(w, "database %s: only the %s has it, and the way to the other side is closed: %s\n", a.Database, a.Truth, a.Reason)
			fmt.Fprintln(w, "  mend that, then run godwit migrate apply again with --catch-up")
		default:
			fmt.Fprintf(w, "database %s: nothing was changed: %s\n", a.Database, a.Reason)
			return
		}
		for _, c := range a.Changes {
			fmt.Fprintln(w, "  "+c)
		}
	})
	switch a.Outcome {
	case api.AppliedDone:
		return nil
	case api.AppliedHalf:
		return &reported{api.Fail(api.Failed, "only the %s has the change: %s", a.Truth, a.Reason)}
	}
	return &reported{api.Fail(api.Refused, "%s", a.Reason)}
}
