package relay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"godwit/internal/confine"
	"godwit/internal/door"
)

// TestMain also is the relay process of the test that needs one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "relay" {
		os.Exit(Main(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "other" {
		other(os.Args[2:])
	}
	os.Exit(m.Run())
}

// inside opens sockets on this machine's loopback, where the test's environment lives.
type inside struct{}

func (inside) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func (inside) Listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", address)
}

// openDoor serves a real door until the returned function is called.
func openDoor(t *testing.T, socket string) (closeDoor func()) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); door.Serve(ctx, ln, inside{}) }()
	var once sync.Once
	closeDoor = func() { once.Do(func() { cancel(); ln.Close(); <-done; os.Remove(socket) }) }
	t.Cleanup(closeDoor)
	return closeDoor
}

// server greets each connection, then answers line by line, and says how much
// it got when the client has half closed.
func server(t *testing.T, greeting string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				fmt.Fprintln(c, greeting)
				n, _ := io.Copy(io.Discard, c)
				fmt.Fprintln(c, n)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// addresses counts what freeAddr gave.
var addresses atomic.Uint32

// freeAddr is on an address of the loopback that nobody else uses: on the common
// one, somebody's outgoing connection may take the port before it is listened on.
func freeAddr(t *testing.T) string {
	host := fmt.Sprintf("127.81.%d.%d", os.Getpid()%250, addresses.Add(1))
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func config(t *testing.T) Config {
	dir, err := os.MkdirTemp("", "rl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return Config{
		Door: filepath.Join(dir, "door"), ListenInside: freeAddr(t), Source: server(t, "source"),
		ListenHost: "127.0.0.1:0", Target: server(t, "target"),
	}
}

func start(t *testing.T, cfg Config) *Relay {
	t.Helper()
	r, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the relay does not end; something of it is left")
		}
		if n := len(r.inward.slots) + len(r.outward.slots); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
	return r
}

func dial(t *testing.T, address string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(15 * time.Second))
	return c.(*net.TCPConn), bufio.NewReader(c)
}

func exchange(t *testing.T, address, greeting string) {
	t.Helper()
	c, br := dial(t, address)
	if line, err := br.ReadString('\n'); err != nil || line != greeting+"\n" {
		t.Fatalf("greeting %q, %v", line, err)
	}
	big := bytes.Repeat([]byte("x"), 4<<20)
	if _, err := c.Write(big); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite() // the answer comes after this: a half-closed connection must stay half open
	if line, err := br.ReadString('\n'); err != nil || line != fmt.Sprintln(len(big)) {
		t.Fatalf("answer %q, %v", line, err)
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Fatalf("the end did not come: %v", err)
	}
}

func TestBothWays(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	openDoor(t, cfg.Door)
	r := start(t, cfg)
	<-r.Ready()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { exchange(t, cfg.ListenInside, "source") })
		wg.Go(func() { exchange(t, r.HostAddr(), "target") })
	}
	wg.Wait()
}

func TestUnreachableSideClosesTheConnection(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Source, cfg.Target = freeAddr(t), freeAddr(t)
	openDoor(t, cfg.Door)
	r := start(t, cfg)
	<-r.Ready()
	for _, address := range []string{cfg.ListenInside, r.HostAddr()} {
		_, br := dial(t, address)
		if _, err := br.ReadByte(); err == nil {
			t.Error("something answered")
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.MaxConns = 2
	openDoor(t, cfg.Door)
	r := start(t, cfg)
	<-r.Ready()
	first, br1 := dial(t, r.HostAddr())
	br1.ReadString('\n')
	_, br2 := dial(t, r.HostAddr())
	br2.ReadString('\n')
	third, br3 := dial(t, r.HostAddr())
	exchange(t, cfg.ListenInside, "source") // the other way has its own
	third.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if line, err := br3.ReadString('\n'); err == nil {
		t.Fatalf("a third connection was served: %q", line)
	}
	first.Close()
	third.SetReadDeadline(time.Now().Add(10 * time.Second))
	if line, err := br3.ReadString('\n'); err != nil || line != "target\n" {
		t.Fatalf("it was not served when there was room: %q %v", line, err)
	}
}

func TestALostDoorIsFoundAgain(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	r := start(t, cfg) // the door is not there yet
	closeDoor := openDoor(t, cfg.Door)
	<-r.Ready()
	_, in := dial(t, cfg.ListenInside)
	_, out := dial(t, r.HostAddr())
	in.ReadString('\n')
	out.ReadString('\n')
	closeDoor()
	for _, br := range []*bufio.Reader{in, out} { // nothing may keep the dead environment's network alive
		if b, err := br.ReadByte(); err == nil {
			t.Fatalf("the connection goes on: %q", b)
		}
	}
	openDoor(t, cfg.Door)
	until(t, "listens again", func() bool {
		// The old listener may still take one and drop it: only an answer counts.
		c, err := net.Dial("tcp", cfg.ListenInside)
		if err != nil {
			return false
		}
		defer c.Close()
		_, err = bufio.NewReader(c).ReadString('\n')
		return err == nil
	})
	exchange(t, cfg.ListenInside, "source")
	exchange(t, r.HostAddr(), "target")
}

// TestAnotherDoorInTheSamePlace: an environment that is back before the relay
// looks has a door that answers, and nobody who listens inside.
func TestAnotherDoorInTheSamePlace(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	closeDoor := openDoor(t, cfg.Door)
	r := start(t, cfg)
	<-r.Ready()
	for range 5 {
		c, in := dial(t, cfg.ListenInside)
		in.ReadString('\n')
		c.Write([]byte("one that says something is not ended for silence"))
		closeDoor()
		closeDoor = openDoor(t, cfg.Door) // at once
		if b, err := in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a connection of the environment before goes on: %q, %v", b, err)
		}
		until(t, "listens in the new one", func() bool {
			c, err := net.Dial("tcp", cfg.ListenInside)
			if err != nil {
				return false
			}
			defer c.Close()
			_, err = bufio.NewReader(c).ReadString('\n')
			return err == nil
		})
	}
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("it never %s", what)
		}
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	openDoor(t, cfg.Door)
	if os.Geteuid() == 0 {
		cfg.ID = confine.RelayID(cfg.Door)
		if err := errors.Join(os.Chmod(filepath.Dir(cfg.Door), 0o711), os.Chown(cfg.Door, -1, cfg.ID), os.Chmod(cfg.Door, 0o660)); err != nil {
			t.Fatal(err)
		}
	}
	in, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "relay")
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var ready Ready
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	exchange(t, ready.HostListen, "target")
	exchange(t, cfg.ListenInside, "source")
	_, open := dial(t, ready.HostListen)
	open.ReadString('\n')
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("it did not end well: %v", err)
	}
	if _, err := open.ReadByte(); err == nil {
		t.Error("a connection outlived the relay")
	}
}

func TestConfigurationIsStrict(t *testing.T) {
	t.Parallel()
	good := `{"door":"/d","listen_inside":"a:1","source":"b:2","listen_host":"c:0","target":"d:3"`
	if _, err := readConfig(strings.NewReader(good + "}")); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", "null", "{}", good, good + `,"more":1}`, good + `}{}`, good + `,"max_conns":-1}`,
		strings.Replace(good, "b:2", "b", 1) + "}", strings.Replace(good, "/d", "", 1) + "}", strings.Repeat(" ", maxConfig) + good + "}",
	} {
		if _, err := readConfig(strings.NewReader(bad)); err == nil {
			t.Errorf("accepted: %.80s", bad)
		}
	}
}
