package cli

import (
	"io"

	"github.com/spf13/cobra"

	"godwit/internal/cloud"
	"godwit/internal/landscape"
	"godwit/internal/site/aws/tofu"
)

// planned is the JSON of aws plan.
type planned struct {
	tofu.Saved
	Reasons []tofu.Reason `json:"reasons"` // why applying it wants --approve; none: it does not
}

func newAWSPlan(a *onAWS) *cobra.Command {
	var roots rootFlags
	var o planFlags
	var detailed bool
	c := &cobra.Command{
		Use:   "plan [DIR]",
		Short: "Say what apply would change on AWS, and what has drifted",
		Long: `Renders the landscape of DIR (default: this directory), asks AWS whether it can
give what is declared, and plans one root with tofu or terraform. The plan is
saved; apply does exactly that, as long as nothing has changed since. What was
changed outside Terraform is shown as drift; what rollouts change is none.

Exit status: 0, and with --detailed-exitcode 2 when changes are pending.`,
		Example: `  godwit aws plan examples/bistro --account
  godwit aws plan examples/bistro --env production
  godwit aws plan --env test --refresh-only       # only what has drifted
  godwit aws plan --env test --json | jq '.summary.create[].address'`,
		Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.openRoot(c.Context(), directory(args), &roots)
			if err != nil {
				return err
			}
			a.warn(cl.warnings)
			saved, err := cl.Plan(c.Context(), cl.tree, cl.root, o.options(false))
			if err != nil {
				return a.failed(err)
			}
			if err := a.showPlan(cl.Cloud, saved); err != nil {
				return err
			}
			if detailed && !saved.Summary.Empty {
				return errChangesPending
			}
			return nil
		},
	}
	roots.add(c, a.globals)
	o.add(c)
	c.Flags().BoolVar(&o.refreshOnly, "refresh-only", false, "only what was changed outside")
	c.Flags().StringVar(&o.save, "save", "", "file to save the plan in (default in the root's own directory)")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit 2 when changes are pending")
	return c
}

// planFlags are options of a plan.
type planFlags struct {
	varFiles    []string
	refreshOnly bool
	save        string
}

func (p *planFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&p.varFiles, "var-file", nil, "file with Terraform variables; terraform.tfvars in the root is always read")
}

func (p *planFlags) options(destroy bool) tofu.PlanOptions {
	o := tofu.PlanOptions{RefreshOnly: p.refreshOnly, Destroy: destroy}
	if p.save != "" {
		o.Out = absolute(p.save)
	}
	for _, f := range p.varFiles {
		o.VarFiles = append(o.VarFiles, absolute(f))
	}
	return o
}

func (a *onAWS) showPlan(cl *cloud.Cloud, saved tofu.Saved) error {
	p := planned{Saved: saved, Reasons: append([]tofu.Reason{}, cl.Reasons(saved)...)}
	return a.view.result(p, func(w io.Writer) { showSummary(w, p, a.view.outColor) })
}

// warn prints what validate would warn of: who applies may never have asked it.
func (a *onAWS) warn(warnings landscape.Findings) {
	if a.view.quiet {
		return
	}
	a.view.mu.Lock()
	defer a.view.mu.Unlock()
	a.view.findings(warnings)
}
