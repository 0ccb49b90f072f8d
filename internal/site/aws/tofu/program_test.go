package tofu

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/site/aws/awstest"
	"godwit/internal/testtool"
)

// saying is a program that says a version, whatever it is asked.
func saying(t *testing.T, name, version string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	testtool.Write(t, path, "#!/bin/sh\necho '{\"terraform_version\": \""+version+"\"}'\n")
	return path
}

func TestFind(t *testing.T) {
	real := awstest.Tool(t, "tofu")
	p, err := Find(t.Context(), real)
	if err != nil || p.Name != "tofu" || p.Locking() != nil {
		t.Errorf("%+v, %v", p, err)
	}
	t.Setenv("GODWIT_TOFU", real)
	if p, err := Find(t.Context(), ""); err != nil || p.Path == "" {
		t.Errorf("by GODWIT_TOFU: %+v, %v", p, err)
	}
	t.Setenv("GODWIT_TOFU", "")
	both := saying(t, "terraform", "1.9.8")
	t.Setenv("PATH", filepath.Dir(both)+":/usr/bin:/bin")
	if p, err = Find(t.Context(), ""); err != nil || p.Name != "terraform" || p.Version != "1.9.8" {
		t.Errorf("terraform alone: %+v, %v", p, err)
	}
	if err := p.Locking(); !errors.Is(err, ErrProgram) || !strings.Contains(err.Error(), "1.10.0") {
		t.Errorf("locking of 1.9.8: %v", err)
	}
	t.Setenv("PATH", filepath.Dir(saying(t, "tofu", "1.11.0-rc1"))+":"+os.Getenv("PATH"))
	if p, err = Find(t.Context(), ""); err != nil || p.Name != "tofu" || p.Version != "1.11.0" {
		t.Errorf("tofu comes first: %+v, %v", p, err)
	}
	for name, path := range map[string]string{"too old": saying(t, "tofu", "1.5.7"), "no version": saying(t, "tofu", "x"), "not there": "/no/such/tofu"} {
		if _, err := Find(t.Context(), path); !errors.Is(err, ErrProgram) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Find(t.Context(), ""); !errors.Is(err, ErrProgram) || !strings.Contains(err.Error(), "install") {
		t.Errorf("neither: %v", err)
	}
}
