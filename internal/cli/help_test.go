package cli

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func commands() []*cobra.Command {
	var all []*cobra.Command
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		all = append(all, c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(newView(io.Discard, io.Discard), nil))
	return all
}

// TestHelp: every command says what it does, with examples, and every flag what
// it is for.
func TestHelp(t *testing.T) {
	t.Parallel()
	all := commands()
	if len(all) < 25 {
		t.Fatalf("only %d commands found", len(all))
	}
	for _, c := range all {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: its short help is %q", c.CommandPath(), c.Short)
		}
		if c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		if c.Args == nil {
			t.Errorf("%s does not say which arguments it takes", c.CommandPath())
		}
		c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s is not described", c.CommandPath(), f.Name)
			}
			if strings.Count(f.Usage, "(default") > 0 && f.DefValue != "" && f.DefValue != "0" && f.DefValue != "false" {
				t.Errorf("%s --%s says its default twice", c.CommandPath(), f.Name)
			}
		})
	}
}

// TestExamples: every example in a help is a command line that is understood.
func TestExamples(t *testing.T) {
	t.Parallel()
	for _, c := range commands() {
		for line := range strings.Lines(c.Example) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
			line, _, _ = strings.Cut(line, "|")
			args := strings.Fields(strings.TrimSuffix(strings.TrimPrefix(line, "source <("), ")"))
			if len(args) == 0 || args[0] != "godwit" {
				t.Errorf("%s: the example %q does not call godwit", c.CommandPath(), line)
				continue
			}
			fresh := newRoot(newView(io.Discard, io.Discard), nil)
			found, rest, err := fresh.Find(args[1:])
			if err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			if !strings.HasPrefix(found.CommandPath(), c.CommandPath()) && c.Name() != "help" {
				t.Errorf("%q is an example of %s", line, found.CommandPath())
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			if err := found.ValidateArgs(found.Flags().Args()); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
	}
}
