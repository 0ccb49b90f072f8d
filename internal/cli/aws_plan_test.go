package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAWSWarnings: plan and apply say on stderr what validate would warn of.
func TestAWSWarnings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const text = `landscape "kiosk" {}
`
	if err := os.WriteFile(filepath.Join(dir, "landscape.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for quiet, want := range map[bool]int{false: 1, true: 0} {
		var out, err strings.Builder
		v := newView(&out, &err)
		v.quiet = quiet
		(&onAWS{globals: &globals{view: v}}).warn(dir)
		if got := strings.Count(err.String(), "warning: no environment is declared"); got != want || out.Len() != 0 {
			t.Errorf("quiet %v: %q and %q", quiet, out.String(), err.String())
		}
	}
}
