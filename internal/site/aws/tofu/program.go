package tofu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/terraform-exec/tfexec"
)

// Program is the executable that does the work.
type Program struct {
	Path    string
	Name    string // "tofu" or "terraform", as it is called
	Version string // "1.12.6"
}

// ErrProgram: there is no program that will do.
var ErrProgram = errors.New("no usable tofu or terraform")

const (
	oldest        = "1.6.0"
	oldestLocking = "1.10.0" // the first that locks a state in S3 without a table beside it
)

// Find looks for the program: the path given, else what GODWIT_TOFU names, else
// tofu on the PATH, else terraform.
func Find(ctx context.Context, path string) (Program, error) {
	if path == "" {
		path = os.Getenv("GODWIT_TOFU")
	}
	if path == "" {
		for _, name := range []string{"tofu", "terraform"} {
			if found, err := exec.LookPath(name); err == nil {
				path = found
				break
			}
		}
	}
	if path == "" {
		return Program{}, fmt.Errorf("%w: neither is on the PATH: install OpenTofu (or Terraform) %s or later, or name it in GODWIT_TOFU", ErrProgram, oldestLocking)
	}
	found, err := exec.LookPath(path)
	if err != nil {
		return Program{}, fmt.Errorf("%w: %s cannot be run (%w): name another in GODWIT_TOFU", ErrProgram, path, err)
	}
	if found, err = filepath.Abs(found); err != nil {
		return Program{}, err
	}
	return examine(ctx, found)
}

func examine(ctx context.Context, path string) (Program, error) {
	tf, err := tfexec.NewTerraform(filepath.Dir(path), path)
	if err != nil {
		return Program{}, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	if err := tf.SetEnv(inherited(nil)); err != nil {
		return Program{}, err
	}
	found, _, err := tf.Version(ctx, true)
	if err != nil {
		if ctx.Err() != nil {
			return Program{}, ctx.Err()
		}
		return Program{}, fmt.Errorf("%w: %s does not say its version (%s): name another in GODWIT_TOFU", ErrProgram, path, firstLine(err.Error()))
	}
	p := Program{Path: path, Name: strings.TrimSuffix(filepath.Base(path), ".exe"), Version: found.Core().String()}
	if !p.atLeast(oldest) {
		return p, fmt.Errorf("%w: %s is version %s, and what godwit renders needs %s: install a later one", ErrProgram, path, p.Version, oldest)
	}
	return p, nil
}

// Locking says whether the program can lock a state in S3 by itself.
func (p Program) Locking() error {
	if p.atLeast(oldestLocking) {
		return nil
	}
	return fmt.Errorf("%w: %s is version %s; locking the state in S3 needs %s, and without a lock two people could apply at once: install a later one, or name one in GODWIT_TOFU",
		ErrProgram, p.Path, p.Version, oldestLocking)
}

func (p Program) atLeast(least string) bool {
	have, err := version.NewVersion(p.Version)
	return err == nil && have.GreaterThanOrEqual(version.Must(version.NewVersion(least)))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
