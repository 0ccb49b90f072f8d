//go:build linux

package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// other is this program as another user: it listens and says where, or holds
// connections to an address, and says how many of them were answered.
func other(args []string) {
	defer os.Exit(0)
	if args[0] == "listen" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			os.Exit(1)
		}
		fmt.Println(ln.Addr())
		io.Copy(io.Discard, os.Stdin)
		return
	}
	count, _ := strconv.Atoi(args[1])
	answered := 0
	for range count {
		c, err := net.Dial("tcp", args[0])
		if err != nil {
			continue
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
			answered++
		}
		defer c.Close() // held until the end
	}
	fmt.Println(answered)
	io.Copy(io.Discard, os.Stdin)
}

// as runs other as a user, until the test ends, and returns what it says.
func as(t *testing.T, user int, args ...string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{"other"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// TestOnlyTheSourceComesIn: an ordinary user's two hundred connections get
// nothing and keep nobody out; the user of whom the source is comes in.
func TestOnlyTheSourceComesIn(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can be several users")
	}
	const source, stranger = 54321, 54322
	cfg := config(t)
	cfg.Source = as(t, source, "listen")
	openDoor(t, cfg.Door)
	r := start(t, cfg)
	<-r.Ready()
	if n := as(t, stranger, r.HostAddr(), "200"); n != "0" {
		t.Errorf("%s of a stranger's connections were answered", n)
	}
	if n := as(t, source, r.HostAddr(), "8"); n != "8" {
		t.Errorf("%s of 8 connections of the source's user were answered", n)
	}
	exchange(t, r.HostAddr(), "target") // root's own
}

// TestSilentConnections: who connects and says nothing loses his place.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.MaxConns = 4
	openDoor(t, cfg.Door)
	r := start(t, cfg)
	<-r.Ready()
	for range 4 {
		_, br := dial(t, r.HostAddr())
		br.ReadString('\n')
	}
	c, br := dial(t, r.HostAddr())
	c.SetDeadline(time.Now().Add(time.Minute))
	if line, err := br.ReadString('\n'); err != nil || line != "target\n" {
		t.Errorf("one more was not served: %q %v", line, err)
	}
}
