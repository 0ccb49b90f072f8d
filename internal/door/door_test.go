//go:build unix

package door

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type policy struct{ allowed string }

func (p policy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address != p.allowed {
		return nil, errors.New(address + " is not declared")
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func (p policy) Listen(ctx context.Context, address string) (net.Listener, error) {
	return net.Listen("tcp", address)
}

func serve(t *testing.T, o Opener) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "door.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- Serve(ctx, ln, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}

func echo(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go echoOn(ln)
	return ln
}

func echoOn(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() { io.Copy(c, c); c.Close() }()
	}
}

func roundTrip(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte("till")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "till" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestDialPassesAWorkingConnection(t *testing.T) {
	t.Parallel()
	address := echo(t).Addr().String()
	socket := serve(t, policy{allowed: address})
	c, err := Dial(t.Context(), socket, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.(*net.TCPConn); !ok {
		t.Errorf("a %T cannot be spliced; want *net.TCPConn", c)
	}
	roundTrip(t, c)
}

func TestWhatIsNotDeclaredIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	socket := serve(t, policy{allowed: "127.0.0.1:1"})
	_, err := Dial(t.Context(), socket, "tcp", "127.0.0.1:2")
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "127.0.0.1:2 is not declared") {
		t.Fatalf("got %v", err)
	}
}

func TestListenPassesAWorkingListener(t *testing.T) {
	t.Parallel()
	socket := serve(t, policy{})
	ln, err := Listen(t.Context(), socket, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go echoOn(ln)
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c)
}

func TestHostileRequestsAreAnsweredAndTheDoorStaysOpen(t *testing.T) {
	t.Parallel()
	address := echo(t).Addr().String()
	socket := serve(t, policy{allowed: address})
	for _, line := range []string{"", "\n", "dial\n", "open sesame now\n", strings.Repeat("x", 10_000) + "\n", "\x00\xff\n"} {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte(line))
		c.(*net.UnixConn).CloseWrite()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		io.ReadAll(c)
		c.Close()
	}
	c, err := Dial(t.Context(), socket, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c)
}

func TestADeadDoorIsAnErrorAndContextsAreKept(t *testing.T) {
	t.Parallel()
	if _, err := Dial(t.Context(), filepath.Join(t.TempDir(), "none.sock"), "tcp", "127.0.0.1:1"); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
	silent := filepath.Join(t.TempDir(), "silent.sock")
	ln, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, silent, "tcp", "127.0.0.1:1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestSilentClients: thousands that connect and say nothing keep nobody waiting.
func TestSilentClients(t *testing.T) {
	t.Parallel()
	ln := echo(t)
	socket := serve(t, policy{ln.Addr().String()})
	var silent []net.Conn
	defer func() {
		for _, c := range silent {
			c.Close()
		}
	}()
	for range 2000 {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	c, err := Dial(t.Context(), socket, "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := silent[0].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the one that was silent for longest is there still: %v", err)
	}
}
