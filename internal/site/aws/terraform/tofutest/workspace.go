// Package tofutest runs the real OpenTofu over a rendered tree, without an
// account and without a network.
//
// Its nouns: a workspace is a copy of the tree to work in; the world is what a
// provider has created there, in a file that a test may read and change. The
// provider is godwit's schema provider (tools/schemaprovider): it has the AWS
// provider's schema and none of AWS's behaviour. So types, requirements,
// references, the graph, unknown values, lifecycle rules, empty second plans and
// drift are really checked; what a value means to AWS is not.
//
// A command that fails ends the test with OpenTofu's own words. Workspaces share
// nothing: tests may run in parallel. Only tests import it.
package tofutest

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"godwit/internal/testtool"
)

// Workspace is a tree that commands are run in.
type Workspace struct {
	// Dir is where the tree was written to; roots are directories below it.
	Dir string

	t     testing.TB
	tofu  string
	home  string // what is not part of the tree: mirror, settings, world
	extra []string
}

// providerVersion is the release of hashicorp/aws whose schema is served.
const providerVersion = "6.25.0"

// New writes a tree, paths with slashes, and prepares OpenTofu for it.
func New(t testing.TB, tree map[string][]byte) *Workspace {
	t.Helper()
	top := t.TempDir()
	w := &Workspace{t: t, tofu: testtool.Find(t, "tofu"), Dir: filepath.Join(top, "tree"), home: filepath.Join(top, "home")}
	for path, content := range tree {
		w.write(filepath.Join(w.Dir, filepath.FromSlash(path)), content)
	}
	w.mirror()
	return w
}

// mirror makes a directory that init takes the provider from, and settings that
// leave it no other place to look.
func (w *Workspace) mirror() {
	w.t.Helper()
	provider := testtool.Find(w.t, "terraform-provider-aws")
	provider, err := filepath.EvalSymlinks(provider)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, registry := range []string{"registry.opentofu.org", "registry.terraform.io"} {
		dir := filepath.Join(w.home, "mirror", registry, "hashicorp", "aws", providerVersion, runtime.GOOS+"_"+runtime.GOARCH)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
		// A hard link, where there can be one: a provider that is built anew
		// meanwhile would not match the checksum that init wrote down.
		name := filepath.Join(dir, "terraform-provider-aws_v"+providerVersion)
		if os.Link(provider, name) != nil {
			err = os.Symlink(provider, name)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.write(w.settings(), []byte("provider_installation {\n  filesystem_mirror {\n    path = \""+
		filepath.Join(w.home, "mirror")+"\"\n  }\n  direct {\n    exclude = [\"*/*/*\"]\n  }\n}\ndisable_checkpoint = true\n"))
}

func (w *Workspace) settings() string { return filepath.Join(w.home, "tofu.rc") }

// Put writes a file of the tree anew; without content it is removed.
func (w *Workspace) Put(path string, content []byte) {
	w.t.Helper()
	full := filepath.Join(w.Dir, filepath.FromSlash(path))
	if content != nil {
		w.write(full, content)
	} else if err := os.Remove(full); err != nil {
		w.t.Fatal(err)
	}
}

// Environ is what OpenTofu is run with, for who runs it otherwise: nothing of the
// machine's own AWS or Terraform settings, the provider and the world of here.
func (w *Workspace) Environ() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "TF_") && !strings.HasPrefix(kv, "TOFU_") {
			env = append(env, kv)
		}
	}
	env = append(env, "TF_CLI_CONFIG_FILE="+w.settings(), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
		"AWS_EC2_METADATA_DISABLED=true", "GODWIT_SCHEMA_PROVIDER_WORLD="+w.world(),
		"GODWIT_SCHEMA_PROVIDER_TYPES="+strings.Join(w.types(), ","))
	return append(env, w.extra...)
}

// Setenv adds a variable to what the commands of this workspace are run with.
func (w *Workspace) Setenv(name, value string) { w.extra = append(w.extra, name+"="+value) }

func (w *Workspace) write(path string, content []byte) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
}
