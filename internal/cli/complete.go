package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/api"
)

// completeTimeout bounds what somebody waits for after pressing Tab.
const completeTimeout = time.Second

// complete completes one argument with names that the engine knows. It never
// starts one.
func (g *globals) complete(names func(api.Status) []string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 || g.resolve() != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
		defer cancel()
		s, err := g.engine().Status(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(s), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeEnvironments completes --env.
func (g *globals) completeEnvironments(c *cobra.Command) {
	complete := g.complete(environmentNames)
	err := c.RegisterFlagCompletionFunc("env", func(c *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return complete(c, nil, begun)
	})
	if err != nil {
		panic(err) // the flag is not there: found by every test
	}
}

func environmentNames(s api.Status) (names []string) {
	for _, e := range s.Environments {
		names = append(names, e.Name)
	}
	return names
}

func serviceNames(s api.Status) (names []string) {
	seen := map[string]bool{}
	for _, e := range s.Environments {
		for _, f := range e.Fleets {
			if !seen[f.Service] {
				seen[f.Service] = true
				names = append(names, f.Service)
			}
		}
	}
	return names
}

func migrationNames(s api.Status) (names []string) {
	for _, m := range s.Migrations {
		names = append(names, m.Name)
	}
	return names
}
