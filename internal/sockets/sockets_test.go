//go:build unix

package sockets

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestMain is also a child that says from where somebody connected to what it was given.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "hang" {
		hang(os.Args[2])
		os.Exit(0)
	}
	list, child := os.LookupEnv("SOCKETS_TEST_INHERITS")
	if !child {
		os.Exit(m.Run())
	}
	set, lock, err := Inherit(list)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	ln, err := set.Listener(Clients)
	if err != nil || ln == nil || lock == nil {
		fmt.Println(ln, lock, err)
		os.Exit(1)
	}
	conn, err := ln.Accept()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Fprintln(conn, "served by the child")
	os.Exit(0)
}

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// kept is a set with a socket for clients, whose listener is closed.
func kept(t *testing.T) (*Set, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, ln, err)
	set := &Set{}
	t.Cleanup(set.Close)
	must(t, 0, set.Keep(Clients, ln.(syscall.Conn)))
	address := ln.Addr().String()
	must(t, 0, ln.Close())
	return set, address
}

// TestQueue: while nobody serves, connections wait; the child that inherits the
// socket serves them.
func TestQueue(t *testing.T) {
	t.Parallel()
	set, address := kept(t)
	waiting := must2(t)(net.Dial("tcp", address))
	defer waiting.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	must(t, file, err)
	defer file.Close()
	child := exec.Command("/proc/self/exe")
	list, done, err := set.Give(child, file, func(string) bool { return true })
	must(t, list, err)
	child.Env = []string{"SOCKETS_TEST_INHERITS=" + list}
	child.Stdout = os.Stderr
	must(t, 0, child.Start())
	done()
	said, err := bufio.NewReader(waiting).ReadString('\n')
	if said != "served by the child\n" {
		t.Errorf("%q, %v", said, err)
	}
	must(t, 0, child.Wait())
	set.Drop(Clients)
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("it listens when the last has let go")
	}
}

func must2(t *testing.T) func(net.Conn, error) net.Conn {
	return func(c net.Conn, err error) net.Conn { t.Helper(); return must(t, c, err) }
}

// pair is both ends of a connection that keeps the borders of messages.
func pair(t *testing.T) (*net.UnixConn, *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	must(t, fds, err)
	var conns []*net.UnixConn
	for _, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		must(t, c, err)
		f.Close()
		t.Cleanup(func() { c.Close() })
		conns = append(conns, c.(*net.UnixConn))
	}
	return conns[0], conns[1]
}

// TestSent: a set that was sent holds the same sockets, under their names.
func TestSent(t *testing.T) {
	t.Parallel()
	set, address := kept(t)
	other, _ := kept(t)
	ln, err := other.Listener(Clients)
	must(t, ln, err)
	must(t, 0, set.Keep(API, ln.(syscall.Conn)))
	ln.Close()
	a, b := pair(t)
	must(t, 0, Send(a, "all of them", set))
	var said string
	got, err := Receive(b, &said)
	must(t, got, err)
	defer got.Close()
	if said != "all of them" || !maps.Equal(got.Identities(), set.Identities()) || !slices.Equal(got.Names(), []string{API, Clients}) {
		t.Errorf("%q: %v, not %v", said, got.Identities(), set.Identities())
	}
	before := set.Identities()
	set.Become(got)
	if !maps.Equal(before, set.Identities()) || len(got.Names()) != 0 || set.Address(Clients) != address {
		t.Errorf("it became %v, and left %v", set.Identities(), got.Names())
	}
	must(t, 0, Send(a, "nothing", nil))
	if got, err := Receive(b, &said); err != nil || len(got.Names()) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	a.Close()
	if _, err := Receive(b, &said); err == nil {
		t.Error("no error from a closed connection")
	}
}

func TestInheritRefuses(t *testing.T) {
	t.Parallel()
	if set, lock, err := Inherit(""); err != nil || lock != nil || len(set.Names()) != 0 {
		t.Errorf("of nothing: %v, %v, %v", set, lock, err)
	}
	if _, _, err := Inherit("clients"); err == nil || !strings.Contains(err.Error(), "lock") {
		t.Errorf("without a lock: %v", err)
	}
}
