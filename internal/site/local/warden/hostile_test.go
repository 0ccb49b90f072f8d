//go:build linux

package warden_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"godwit/internal/site/local/network"
	"godwit/internal/site/local/warden"
)

// TestHostile: a program that looks for ways out finds none.
func TestHostile(t *testing.T) {
	w := newWorld(t, "10.91.1")
	w.open(network.Rules{})
	w.launch(w.instance(2))
	var found []string
	if err := json.Unmarshal([]byte(w.must(2, "/hostile")), &found); err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error("the program found:", f)
	}
}

// TestForkBomb: processes are counted by instance, also where all have the same
// id: one at its limit takes nothing from another.
func TestForkBomb(t *testing.T) {
	w := newWorld(t, "10.91.2")
	w.open(network.Rules{})
	for n := 2; n < 4; n++ {
		i := w.instance(n)
		i.Spec.Processes = 100
		w.launch(i)
	}
	results := make(chan int, 2)
	for n := 2; n < 4; n++ {
		go func() {
			var started int
			_ = json.Unmarshal([]byte(w.must(n, "/bomb")), &started)
			results <- started
		}()
	}
	for range 2 {
		// Each process of the guest has some threads, which count.
		if started := <-results; started < 5 || started > 100 {
			t.Errorf("%d processes could be started with a limit of 100", started)
		}
	}
}

// TestForged: nobody gets anything through in another's name, even with all
// rights over its own network.
func TestForged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can enter the network of an instance from here")
	}
	w := newWorld(t, "10.91.3")
	w.open(network.Rules{Edges: []network.Edge{edge(2, 3)}})
	w.launch(w.instance(2), w.instance(3), w.instance(4))
	arrived := w.watch(t, 3, w.addr(2))
	w.within(t, 4, func() {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		forged := &net.IPNet{IP: w.addr(2).AsSlice(), Mask: net.CIDRMask(32, 32)}
		if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: forged}); err != nil {
			t.Fatal(err)
		}
		dialer := net.Dialer{Timeout: 300 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: forged.IP, Port: 4712}}
		if conn, err := dialer.Dial("tcp", w.port(3).String()); err == nil {
			conn.Close()
			t.Error("connected in another's name")
		}
	})
	w.within(t, 2, func() { // the real one, so that the watch is known to see something
		conn, err := net.Dial("tcp", w.port(3).String())
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	})
	if port := <-arrived; port == 4712 {
		t.Error("a forged packet arrived")
	}
}

// within runs do on a thread in the network of instance n.
func (w *world) within(t *testing.T, n int, do func()) {
	t.Helper()
	pid, err := w.holder(n)
	if err == nil {
		err = network.Within(pid, func() error { do(); return nil })
	}
	if err != nil {
		t.Error(err)
	}
}

// holder is a process in the network of instance n, or of the router where n is 1.
func (w *world) holder(n int) (int, error) {
	pid, err := warden.Pid(w.dir)
	if err != nil || n == 1 {
		return pid, err
	}
	// Instances are the warden's children; theirs is the network with the address.
	for _, child := range inside(w.TB, pid)[1:] {
		if hosts, err := os.ReadFile("/proc/" + child + "/root/etc/hostname"); err == nil && string(hosts) == "i"+strconv.Itoa(n)+"\n" {
			return strconv.Atoi(child)
		}
	}
	return 0, fmt.Errorf("instance %d is not there", n)
}

// watch returns the source port of the first packet that instance n gets from an address.
func (w *world) watch(t *testing.T, n int, from netip.Addr) <-chan int {
	t.Helper()
	var socket int
	w.within(t, n, func() {
		var err error
		const allIPv4 = 0x0008 // ETH_P_IP as the network writes it
		if socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, allIPv4); err != nil {
			t.Error(err)
		}
	})
	if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		t.Fatal(err)
	}
	ports := make(chan int, 1)
	go func() {
		defer unix.Close(socket)
		packet := make([]byte, 1500)
		for {
			size, err := unix.Read(socket, packet)
			if err != nil {
				ports <- -1
				return
			}
			if size > 40 && packet[9] == unix.IPPROTO_TCP && netip.AddrFrom4([4]byte(packet[12:16])) == from {
				header := packet[4*int(packet[0]&15):]
				ports <- int(header[0])<<8 | int(header[1])
				return
			}
		}
	}()
	return ports
}
