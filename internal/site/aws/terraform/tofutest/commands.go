package tofutest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"
)

// Vars are the input variables of a root, as one would write them after -var.
type Vars map[string]string

func (v Vars) args() []string {
	var args []string
	for name, value := range v {
		args = append(args, "-var="+name+"="+value)
	}
	slices.Sort(args)
	return args
}

// overrideName is a file that gives a root a state of its own on disk, whatever
// backend it declares.
const overrideName = "tofutest_override.tf"

// Fmt fails when OpenTofu would format a file of the tree otherwise.
func (w *Workspace) Fmt() {
	w.t.Helper()
	w.must(".", "fmt", "-check", "-recursive", "-diff", "-no-color")
}

// Init prepares a root; the commands below need it once.
func (w *Workspace) Init(root string) {
	w.t.Helper()
	if w.hasBackend(root) {
		w.Put(filepath.ToSlash(filepath.Join(root, overrideName)), []byte("terraform {\n  backend \"local\" {}\n}\n"))
	}
	w.must(root, "init", "-input=false", "-no-color")
}

func (w *Workspace) hasBackend(root string) bool {
	files, err := filepath.Glob(filepath.Join(w.Dir, root, "*.tf"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		if strings.Contains(string(content), `backend "`) {
			return true
		}
	}
	return false
}

// Validate fails when OpenTofu finds a fault in a root.
func (w *Workspace) Validate(root string) {
	w.t.Helper()
	w.must(root, "validate", "-no-color")
}

// Plan is what would be done.
func (w *Workspace) Plan(root string, vars Vars) *tfjson.Plan {
	w.t.Helper()
	file := filepath.Join(w.home, "plan")
	w.must(root, slices.Concat([]string{"plan", "-input=false", "-no-color", "-lock=false", "-out=" + file}, vars.args())...)
	plan := &tfjson.Plan{}
	w.show(root, plan, file)
	return plan
}

// Same fails, with the plan, when there is anything to do or to tell: what was
// applied is what is declared, and nothing drifted.
func (w *Workspace) Same(root string, vars Vars) {
	w.t.Helper()
	if out, code := w.planned(root, vars); code != 0 {
		w.t.Fatalf("%s: a plan that should be empty is not:\n%s", root, out)
	}
}

// Differs fails when a plan is empty; it returns its text.
func (w *Workspace) Differs(root string, vars Vars) string {
	w.t.Helper()
	out, code := w.planned(root, vars)
	if code == 0 {
		w.t.Fatalf("%s: the plan is empty", root)
	}
	return out
}

func (w *Workspace) planned(root string, vars Vars) (out string, code int) {
	w.t.Helper()
	out, err := w.Try(root, slices.Concat([]string{"plan", "-input=false", "-no-color", "-detailed-exitcode"}, vars.args())...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || exit != nil && exit.ExitCode() != 2 {
		w.t.Fatalf("%s: tofu plan: %v\n%s", root, err, out)
	}
	if exit == nil {
		return out, 0
	}
	return out, exit.ExitCode()
}

// Apply does what is planned.
func (w *Workspace) Apply(root string, vars Vars) {
	w.t.Helper()
	w.must(root, slices.Concat([]string{"apply", "-input=false", "-no-color", "-auto-approve"}, vars.args())...)
}

// Destroy deletes all that a root made.
func (w *Workspace) Destroy(root string, vars Vars) {
	w.t.Helper()
	w.must(root, slices.Concat([]string{"destroy", "-input=false", "-no-color", "-auto-approve"}, vars.args())...)
}

// State is what a root believes to have made.
func (w *Workspace) State(root string) *tfjson.State {
	w.t.Helper()
	state := &tfjson.State{}
	w.show(root, state)
	return state
}

// Refused fails unless a command fails and says each of the texts; line breaks that
// OpenTofu sets for a terminal do not matter.
func (w *Workspace) Refused(root string, args []string, texts ...string) {
	w.t.Helper()
	out, err := w.Try(root, args...)
	if err == nil {
		w.t.Fatalf("%s: tofu %s: was not refused", root, strings.Join(args, " "))
	}
	plain := strings.Join(strings.Fields(strings.ReplaceAll(out, "│", " ")), " ")
	for _, text := range texts {
		if !strings.Contains(plain, text) {
			w.t.Errorf("%s: tofu %s: does not say %q:\n%s", root, strings.Join(args, " "), text, out)
		}
	}
}

// Try runs a command and returns all that it wrote.
func (w *Workspace) Try(root string, args ...string) (string, error) {
	w.t.Helper()
	out, err := w.command(root, args).CombinedOutput()
	return string(out), err
}

func (w *Workspace) command(root string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), w.tofu, args...)
	cmd.Dir = filepath.Join(w.Dir, filepath.FromSlash(root))
	cmd.Env = w.Environ()
	return cmd
}

func (w *Workspace) must(root string, args ...string) {
	w.t.Helper()
	if out, err := w.Try(root, args...); err != nil {
		w.t.Fatalf("%s: tofu %s: %v\n%s", root, args[0], err, out)
	}
}

func (w *Workspace) show(root string, into any, args ...string) {
	w.t.Helper()
	cmd := w.command(root, slices.Concat([]string{"show", "-json", "-no-color"}, args))
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		w.t.Fatal(fmt.Errorf("%s: tofu show: %w\n%s", root, err, complaint.String()))
	}
}
