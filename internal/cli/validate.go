package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/terraform"
)

func newValidate(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "validate [DIR | FILE]",
		Short: "Say everything that is wrong with a landscape, where, and how to mend it",
		Long: `Reads the *.hcl files of DIR (default: this directory) and says everything that
is wrong with them at once. Needs no engine and changes nothing.

Exit status: 0 the landscape can be used, 2 it has findings.`,
		Example: `  godwit validate
  godwit validate examples/bistro
  godwit validate --json landscape.hcl | jq '.findings[].mend'`,
		Args: arguments(0, 1),
		RunE: func(_ *cobra.Command, args []string) error { return g.validate(directory(args)) },
	}
}

// validation is the JSON of validate.
type validation struct {
	OK           bool               `json:"ok"`
	Landscape    string             `json:"landscape"`
	Environments int                `json:"environments"`
	Services     int                `json:"services"`
	Databases    int                `json:"databases"`
	Findings     landscape.Findings `json:"findings"`
}

func (g *globals) validate(path string) error {
	files, _, err := readFiles(path)
	if err != nil {
		return g.invalid(err)
	}
	l, findings := landscape.Parse(files)
	if findings.HasErrors() {
		return g.invalid(&findingsError{findings})
	}
	findings = append(findings, onAWSFindings(l)...)
	result := validation{OK: true, Landscape: l.Name, Environments: len(l.Environments),
		Services: len(l.Services), Databases: len(l.Databases), Findings: append(landscape.Findings{}, findings...)}
	return g.view.result(result, func(w io.Writer) {
		findings.Format(w, g.view.outColor) // warnings
		fmt.Fprintf(w, "landscape %q can be used: %s, %s, %s\n", result.Landscape,
			count(result.Environments, "environment"), count(result.Services, "service"), count(result.Databases, "database"))
	})
}

// onAWSFindings is what AWS would not take: a warning, for another site would.
func onAWSFindings(l *landscape.Landscape) landscape.Findings {
	if l.AWS == nil {
		return nil
	}
	if _, err := terraform.Render(l); err != nil {
		return landscape.Findings{{Severity: landscape.Warning, Summary: "it cannot be rendered for AWS: " + err.Error(), Mend: "mend that before godwit aws render"}}
	}
	return nil
}

// invalid prints findings as the command's result: they are what was asked for.
func (g *globals) invalid(err error) error {
	found, ok := err.(*findingsError)
	if !ok || !g.view.json {
		return err
	}
	g.view.result(validation{Findings: found.findings}, nil)
	return &reported{err}
}

// reported is an error whose text has been printed already; its exit status stays.
type reported struct{ error }

func (r *reported) Unwrap() error        { return r.error }
func (r *reported) Is(target error) bool { return target == errReported }
