//go:build linux

package network_test

import (
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"godwit/internal/site/local/network"
)

// TestWithin: whoever goes into another network does so on a thread of its own,
// and the process stays where it is, whatever thread was taken first.
func TestWithin(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network and go into it from here")
	}
	there := exec.Command("sleep", "120")
	there.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err := there.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = there.Process.Kill(); _ = there.Wait() })
	here, away := networkOf(t, "/proc/self"), networkOf(t, "/proc/"+strconv.Itoa(there.Process.Pid))
	if here == away {
		t.Fatal("there is no other network: the test proves nothing")
	}
	for range 100 {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				err := network.Within(there.Process.Pid, func() error {
					if got := networkOf(t, "/proc/thread-self"); got != away {
						t.Errorf("in %s, want %s", got, away)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := networkOf(t, "/proc/self"); got != here {
			t.Fatalf("the process is in %s, and was in %s", got, here)
		}
	}
	if err := network.Within(0, func() error { return nil }); err == nil {
		t.Error("entered the network of nobody")
	}
}

func networkOf(t *testing.T, process string) string {
	t.Helper()
	name, err := os.Readlink(process + "/ns/net")
	if err != nil {
		t.Error(err)
	}
	return name
}
