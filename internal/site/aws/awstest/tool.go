// Package awstest lends tests what stands in for AWS: moto, an emulator of its
// wire formats, and other programs that the real thing is used with. Only tests
// import it.
package awstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Tool finds a program that `make tools` installs. Without it the test fails:
// a skip would hide that nothing was tested.
func Tool(t testing.TB, name string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	dirs := []string{os.Getenv("GODWIT_TOOLS"), filepath.Join(filepath.Dir(here), "../../../../bin/tools")}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: run `make tools`", name)
	}
	return path
}
