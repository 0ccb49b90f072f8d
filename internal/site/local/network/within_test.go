//go:build linux

package network_test

import (
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
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
	there := elsewhere(t)
	here, away := networkOf(t, "/proc/self"), networkOf(t, "/proc/"+strconv.Itoa(there))
	if here == away {
		t.Fatal("there is no other network: the test proves nothing")
	}
	for range 100 {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				err := network.Within(there, func() error {
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

// TestProbeOfSelf: where nobody listens, nobody answers, not even the probe's own
// socket when the kernel happens to give it the very port that it asks.
func TestProbeOfSelf(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network with hardly any ports")
	}
	err := network.Within(elsewhere(t), func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40003"), 0); err != nil {
			return err
		}
		for _, how := range []string{"udp", "tcp"} {
			for range 100 {
				got := network.Probe(t.Context(), how, netip.MustParseAddrPort("127.0.0.1:40000"), time.Second)
				if got != network.Refused {
					t.Errorf("%s: %s, and nobody is there", how, got)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// elsewhere is a process with a network of its own.
func elsewhere(t *testing.T) (pid int) {
	t.Helper()
	there := exec.Command("sleep", "120")
	there.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err := there.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = there.Process.Kill(); _ = there.Wait() })
	return there.Process.Pid
}

func networkOf(t *testing.T, process string) string {
	t.Helper()
	name, err := os.Readlink(process + "/ns/net")
	if err != nil {
		t.Error(err)
	}
	return name
}
