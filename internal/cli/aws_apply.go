package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"godwit/internal/api"
	"godwit/internal/site/aws/tofu"
)

func newAWSApply(a *onAWS) *cobra.Command {
	var roots rootFlags
	var o planFlags
	var approve, adopt, push bool
	var from string
	c := &cobra.Command{
		Use:   "apply [DIR]",
		Short: "Make what the landscape declares on AWS",
		Long: `Plans one root of the landscape of DIR (default: this directory) and applies it;
with --plan it applies the plan that was saved. The account comes first, once.

What would lose data or traffic wants approval: in a protected environment, and
everywhere where a database, a key or a service that runs is ended. On a terminal
godwit asks; elsewhere it needs --approve.

Ctrl-C once lets Terraform finish what AWS is at and save its state; again it is
asked harder. An apply whose godwit was killed goes on by itself: the next apply
follows it to its end.

Exit status: 0 applied, or nothing to do; 1 failed, and said what was done and
what was not; 3 approval is wanted.`,
		Example: `  godwit aws apply examples/bistro --account
  godwit aws apply examples/bistro --env test
  godwit aws apply examples/bistro --env production --approve`,
		Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.openRoot(c.Context(), directory(args), &roots)
			if err != nil {
				return err
			}
			if adopt || push {
				return a.failed(a.recover(c.Context(), cl, o.options(false), adopt, push))
			}
			a.warn(cl.warnings)
			return a.failed(a.apply(c.Context(), cl, o.options(false), from, c.Flags().Changed("plan"), approve))
		},
	}
	roots.add(c, a.globals)
	o.add(c)
	c.Flags().StringVar(&from, "plan", "", "apply this saved plan; = for the one saved last")
	c.Flags().BoolVar(&approve, "approve", false, "do it although data or traffic may be lost")
	c.Flags().BoolVar(&adopt, "adopt", false, "take into the state what an apply made that was killed before it could write that down")
	c.Flags().BoolVar(&push, "push", false, "save a state that could not be saved when it was made (errored.tfstate)")
	return c
}

func newAWSDestroy(a *onAWS) *cobra.Command {
	var roots rootFlags
	var o planFlags
	var approve bool
	c := &cobra.Command{
		Use:   "destroy [DIR]",
		Short: "End an environment on AWS, databases included",
		Long: `Plans the end of everything in one environment, and applies it. Needs --approve.
Databases of a protected environment are protected against deletion on AWS as
well: set protected = false and apply that first.

Exit status: 0 ended, 1 failed, 3 approval is wanted.`,
		Example: `  godwit aws destroy examples/bistro --env test --approve`,
		Args:    arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.openRoot(c.Context(), directory(args), &roots)
			if err != nil {
				return err
			}
			return a.failed(a.apply(c.Context(), cl, o.options(true), "", false, approve))
		},
	}
	roots.add(c, a.globals)
	o.add(c)
	c.Flags().BoolVar(&approve, "approve", false, "do it")
	return c
}

func newAWSUnlock(a *onAWS) *cobra.Command {
	var roots rootFlags
	c := &cobra.Command{
		Use:   "unlock ID [DIR]",
		Short: "Remove a lock on a state that nobody holds any more",
		Long: `Removes the lock of one root's state. The id stands in the message of whoever was
kept out; make sure first that who holds it is really gone.`,
		Example: `  godwit aws unlock 6f3c8a52-… examples/bistro --env test`,
		Args:    arguments(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.openRoot(c.Context(), directory(args[1:]), &roots)
			if err != nil {
				return err
			}
			return a.failed(cl.Unlock(c.Context(), cl.tree, cl.root, args[0]))
		},
	}
	roots.add(c, a.globals)
	return c
}

func (a *onAWS) apply(ctx context.Context, cl opened, o tofu.PlanOptions, from string, saved, approve bool) error {
	plan, err := planToApply(ctx, cl, o, from, saved)
	var running *tofu.RunningError
	if errors.As(err, &running) {
		// What it does is not what was asked for now: that is planned when it has ended.
		if err := a.follow(ctx, cl, running); err != nil {
			return err
		}
		return a.apply(ctx, cl, o, from, saved, approve)
	}
	if err != nil {
		return err
	}
	if plan.Summary.Empty {
		none := tofu.Result{Root: plan.Root.Name, Outcome: tofu.Outcome{Done: []tofu.Part{}, Half: []tofu.Part{}, Open: []tofu.Part{}}}
		return a.view.result(none, func(w io.Writer) { fmt.Fprintf(w, "%s: nothing to do\n", plan.Root.Name) })
	}
	reasons := cl.Reasons(plan)
	showSummary(a.view.err, planned{plan, reasons}, a.view.color)
	if !approve {
		if err := a.ask(ctx, planned{plan, reasons}); err != nil {
			return err
		}
	}
	hurry, stop := again(ctx)
	defer stop()
	result, err := cl.Apply(ctx, plan, hurry)
	if err != nil {
		return err
	}
	return a.applied(result)
}

// planToApply plans, or reads the plan that was saved.
func planToApply(ctx context.Context, cl opened, o tofu.PlanOptions, from string, saved bool) (tofu.Saved, error) {
	if !saved {
		return cl.Plan(ctx, cl.tree, cl.root, o)
	}
	if from != "=" {
		from = absolute(from)
	}
	plan, err := cl.Load(cl.tree, cl.root, strings.TrimPrefix(from, "="))
	if err == nil && plan.Root.Name != cl.root {
		err = api.Fail(api.Usage, "that plan is of %s, and %s is named: name the same root, or plan this one", plan.Root.Name, cl.root)
	}
	return plan, err
}

// recover mends the state of a root after an apply that ended badly.
func (a *onAWS) recover(ctx context.Context, cl opened, o tofu.PlanOptions, adopt, push bool) error {
	if push {
		if err := cl.Push(ctx, cl.tree, cl.root); err != nil {
			return err
		}
	}
	if !adopt {
		return nil
	}
	saved, err := cl.Plan(ctx, cl.tree, cl.root, o)
	if err != nil || len(saved.Summary.Lost) == 0 {
		return err
	}
	return cl.Adopt(ctx, cl.tree, cl.root, saved.Summary.Lost, o)
}

// follow goes on with an apply whose godwit was killed.
func (a *onAWS) follow(ctx context.Context, cl opened, running *tofu.RunningError) error {
	a.view.note("%v; following it", running)
	hurry, stop := again(ctx)
	defer stop()
	result, err := cl.Attach(ctx, cl.tree, running.Root, hurry)
	if err == nil {
		a.view.note("%s: %s", result.Root, result.Outcome)
	}
	return err
}

func (a *onAWS) applied(r tofu.Result) error {
	return a.view.result(r, func(w io.Writer) { fmt.Fprintf(w, "%s: %s\n", r.Root, r.Outcome) })
}

// ask asks whether to go on with the plan that is shown; where nobody can answer, a plan
// that wants approval is refused.
func (a *onAWS) ask(ctx context.Context, p planned) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) || a.view.json {
		if len(p.Reasons) == 0 {
			return nil
		}
		return api.Fail(api.Refused, "%s wants approval: %s; look at the plan, then add --approve", p.Root.Name, reasonsText(p.Reasons))
	}
	fmt.Fprintf(a.view.err, "apply this to %s? [y/N] ", p.Root.Name)
	answer := make(chan string, 1)
	go func() { // ends with the process: a terminal cannot be told to stop reading
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		if a == "y" || a == "yes" {
			return nil
		}
	case <-ctx.Done():
	}
	return api.Fail(api.Refused, "not approved; nothing was changed")
}

// again tells of every interrupt after the first, which ended the context.
func again(ctx context.Context) (<-chan struct{}, func()) {
	hurry, signals, done := make(chan struct{}), make(chan os.Signal, 1), make(chan struct{})
	go func() {
		defer close(hurry)
		select {
		case <-ctx.Done():
		case <-done:
			return
		}
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		for {
			select {
			case <-signals:
				select {
				case hurry <- struct{}{}:
				case <-done:
					return
				}
			case <-done:
				return
			}
		}
	}()
	return hurry, func() { signal.Stop(signals); close(done) }
}
