package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/site/aws/packer"
)

// TestNothingToDo asks an AWS that has nothing, as a user does: that is said.
func TestNothingToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args, want, json string
	}{
		{"prune till", "nothing to remove: there is no machine image of till\n", `{"kept":[],"removed":[],"snapshots":[]}`},
		{"resume till", "nothing to resume: no rollout of till in any environment waits for its end\n", `[]`},
		{"resume till --env test", "nothing to resume: no rollout of till in test waits for its end\n", `[]`},
	} {
		if said := onEmptyAWS(t, strings.Fields(c.args)...); said != c.want {
			t.Errorf("%s: %q, want %q", c.args, said, c.want)
		}
		if said := compact(t, onEmptyAWS(t, append(strings.Fields(c.args), "--json")...)); said != c.json {
			t.Errorf("%s --json: %s, want %s", c.args, said, c.json)
		}
	}
}

// onEmptyAWS runs godwit aws where there is nothing, and returns what it prints.
func onEmptyAWS(t *testing.T, args ...string) string {
	t.Helper()
	empty := httptest.NewServer(http.HandlerFunc(emptyAWS))
	t.Cleanup(empty.Close)
	dir := t.TempDir()
	const text = `landscape "kiosk" {}
environment "test" { network = "10.1.0.0/16" }
service "till" {
  image = "./image"
  port  = 8080
}
aws {
  region = "eu-central-1"
  domain = "kiosk.example"
}
`
	if err := os.WriteFile(filepath.Join(dir, "landscape.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, append(append([]string{"aws"}, args...), "--endpoint", empty.URL, "--dir", dir, "--state", t.TempDir())...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return string(out)
}

// emptyAWS answers every question with an empty list; its buckets take objects and
// have none.
func emptyAWS(w http.ResponseWriter, r *http.Request) {
	action := r.FormValue("Action")
	switch {
	case action != "":
		fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult><Account>123456789012</Account></%[1]sResult></%[1]sResponse>", action)
	case r.Method == http.MethodPut:
		w.Header().Set("ETag", `"1"`)
	case r.Method == http.MethodGet:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
	}
}

func compact(t *testing.T, document string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(document), &v); err != nil {
		t.Fatalf("%q: %v", document, err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPruned: what stays, and snapshots of an earlier prune, are not nothing.
func TestPruned(t *testing.T) {
	t.Parallel()
	ami := packer.AMI{ID: "ami-1", Name: "till-1", Snapshots: []string{"snap-1"}}
	kept := []packer.Kept{{AMI: ami, Why: "one of the 3 newest"}}
	for _, c := range []struct {
		pruned packer.Pruned
		dry    bool
		want   string
	}{
		{packer.Pruned{Kept: kept}, false, "kept ami-1: one of the 3 newest\nnothing to remove\n"},
		{packer.Pruned{Removed: []packer.AMI{ami}, Snapshots: []string{"snap-1"}}, false, "removed ami-1 (till-1)\n"},
		{packer.Pruned{Removed: []packer.AMI{ami}, Snapshots: []string{"snap-1", "snap-0"}}, false, "removed ami-1 (till-1)\nremoved 1 snapshot that an earlier prune left\n"},
		{packer.Pruned{Snapshots: []string{"snap-0", "snap-2"}}, true, "would remove 2 snapshots that an earlier prune left\n"},
	} {
		var out strings.Builder
		a := &onAWS{globals: &globals{view: newView(&out, &strings.Builder{})}}
		if err := a.pruned("till", c.pruned, c.dry); err != nil || out.String() != c.want {
			t.Errorf("%q (%v), want %q", out.String(), err, c.want)
		}
	}
}
