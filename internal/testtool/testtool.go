// Package testtool finds the programs that tests need and `make tools`
// installs, writes small ones, and lets processes hang. Only tests import it.
package testtool

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// Find is the path of a program: in $GODWIT_TOOLS, in the repository's bin/tools,
// or in PATH. Without it the test fails: a skip would hide that nothing was tested.
func Find(t testing.TB, name string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	for _, dir := range []string{os.Getenv("GODWIT_TOOLS"), filepath.Join(filepath.Dir(here), "../../bin/tools")} {
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

// Write writes a program that is to be run at once. Nothing is started meanwhile:
// a process that began while the file was open would keep it open until it has
// become another program, and what is open for writing cannot be run ("text file
// busy", https://go.dev/issue/22315).
func Write(t testing.TB, path, program string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
}
