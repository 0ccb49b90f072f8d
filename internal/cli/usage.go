package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usageError is a command line that cannot be understood.
type usageError struct {
	err     error
	line    string // how the command is used
	command string // whose help has examples
}

func (u *usageError) Error() string {
	return fmt.Sprintf("%v\nusage: %s\n(%s --help has examples)", u.err, u.line, u.command)
}
func (u *usageError) Unwrap() error { return u.err }

func usage(c *cobra.Command, err error) error {
	return &usageError{err: err, line: c.UseLine(), command: c.CommandPath()}
}

// strictArgs makes wrong arguments of a command, and of those below it, a usage
// error.
func strictArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usage(c, err)
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		strictArgs(sub)
	}
}

// onlyCommands is for a command that consists of others.
func onlyCommands(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("there is no command %q", c.CommandPath()+" "+args[0])
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(text)
}

// arguments takes at least min and at most max of them; what is missing is named
// as the command's usage line has it.
func arguments(min, max int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < min:
			return fmt.Errorf("%s is missing", strings.Fields(c.Use)[1+len(args)])
		case len(args) > max:
			return fmt.Errorf("%q is one argument too many", args[max])
		}
		return nil
	}
}

// addHelpers adds help and completion, made to answer like the other commands.
func addHelpers(root *cobra.Command) {
	root.SetHelpCommand(newHelp())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Args, c.RunE = onlyCommands, func(c *cobra.Command, _ []string) error { return c.Help() }
		c.Example = "  source <(godwit completion bash)"
		for _, shell := range c.Commands() {
			shell.Example = "  godwit completion " + shell.Name()
		}
	}
}

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]...",
		Short:   "Show the help of a command",
		Example: "  godwit help migrate cutover",
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if err == nil && len(rest) > 0 {
				err = onlyCommands(found, rest)
			}
			if err != nil {
				return usage(c, err)
			}
			return found.Help()
		},
	}
}
