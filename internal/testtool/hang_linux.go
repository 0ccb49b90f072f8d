package testtool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Hang stops a process and returns when it has stopped. SIGSTOP takes hold only when
// the thread that was chosen for it runs: until then the others go on answering.
func Hang(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stopped, err := hangs(pid)
		if err != nil {
			t.Fatal(err)
		}
		if stopped {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d runs 10 s after SIGSTOP", pid)
		}
	}
}

// hangs: each thread of a process is stopped or has ended.
func hangs(pid int) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false, err
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		switch {
		case errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH):
			continue
		case err != nil:
			return false, err
		}
		// The state follows the name, which may hold any byte: proc_pid_stat(5).
		state := stat[bytes.LastIndexByte(stat, ')')+2]
		if state != 'T' && state != 't' && state != 'Z' && state != 'X' {
			return false, nil
		}
	}
	return true, nil
}
