package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// deserted is a landscape that validate warns of.
const deserted = `landscape "kiosk" {}
aws {
  region = "eu-central-1"
  domain = "kiosk.example"
}
`

// TestAWSWarnings: plan and apply say once on stderr what validate would warn of,
// whatever comes of them.
func TestAWSWarnings(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plan", "apply"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "landscape.hcl"), []byte(deserted), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), binary, "aws", name, "--account", "--endpoint", "http://127.0.0.1:1", "--state", t.TempDir(), dir)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
		said, err := cmd.CombinedOutput()
		if err == nil || strings.Count(string(said), "warning: no environment is declared") != 1 {
			t.Errorf("%s: %v: %s", name, err, said)
		}
	}
}

// TestAWSWarningsOfWhatWasOpened: nobody reads the file a second time for them.
func TestAWSWarningsOfWhatWasOpened(t *testing.T) {
	t.Parallel()
	for quiet, want := range map[bool]int{false: 1, true: 0} {
		dir := t.TempDir()
		file := filepath.Join(dir, "landscape.hcl")
		if err := os.WriteFile(file, []byte(deserted), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, err strings.Builder
		v := newView(&out, &err)
		v.quiet = quiet
		a := &onAWS{globals: &globals{view: v, state: t.TempDir()}}
		cl, failure := a.openRoot(t.Context(), dir, &rootFlags{account: true})
		if failure != nil {
			t.Fatal(failure)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		a.warn(cl.warnings)
		if got := strings.Count(err.String(), "warning: no environment is declared"); got != want || out.Len() != 0 {
			t.Errorf("quiet %v: %q and %q", quiet, out.String(), err.String())
		}
	}
}
