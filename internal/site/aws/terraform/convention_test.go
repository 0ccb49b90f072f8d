package terraform_test

import (
	"strings"
	"testing"

	"godwit/internal/site/aws/convention"
)

// TestModulesKeepConvention: what modules write by hand is what rollouts and
// machine images look for.
func TestModulesKeepConvention(t *testing.T) {
	t.Parallel()
	tree := render(t, parse(t, bistro))
	for module, words := range map[string][]string{
		"service/main.tf":    {convention.TagLandscape, convention.TagEnvironment, convention.TagService, convention.TagColour},
		"service/groups.tf":  {convention.TagColour},
		"database/main.tf":   {convention.TagDatabase},
		"service/scaling.tf": {convention.MetricsNamespace, convention.MetricCPU},
		"service/access.tf":  {convention.MetricsNamespace},
	} {
		for _, word := range words {
			if !strings.Contains(string(tree["modules/"+module]), `"`+word+`"`) {
				t.Errorf("%s has no %q", module, word)
			}
		}
	}
	scope := convention.Scope{Landscape: "bistro", Environment: "production"}
	services := string(tree["environments/production/services.tf"])
	for _, name := range []string{scope.Group("till", convention.Blue), scope.Group("menu", convention.Green), scope.LaunchTemplate("kitchen"),
		scope.TargetGroup("menu", convention.Internal, convention.Blue), scope.LogGroup("till"), convention.DrainHook, convention.LaunchHook} {
		if !strings.Contains(services, `"`+name+`"`) {
			t.Errorf("services.tf has no %q", name)
		}
	}
}

// TestMarked: every file says who wrote it, or it could not be written again.
func TestMarked(t *testing.T) {
	t.Parallel()
	tree := render(t, parse(t, bistro))
	for name, content := range tree {
		first, _, _ := strings.Cut(string(content), "\n")
		if !strings.Contains(first, "Rendered by godwit") {
			t.Errorf("%s begins with %q", name, first)
		}
	}
	if len(tree) < 50 {
		t.Errorf("only %d files", len(tree))
	}
}
