//go:build unix

package sockets

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// bounded is a server with room for so many of each user, at a socket that all may
// open. A request for /wait is answered when free is closed.
func boundedServer(t *testing.T, room int) (socket string, free chan struct{}) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bounded")
	must(t, dir, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, 0, os.Chmod(dir, 0o755))
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	must(t, ln, err)
	must(t, 0, os.Chmod(ln.Addr().String(), 0o666))
	free = make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, err := Admit(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusTooManyRequests)
			return
		}
		defer leave()
		if r.URL.Path == "/wait" {
			<-free
		}
		fmt.Fprint(w, "served")
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(Bounded(ln, server, room)) }()
	t.Cleanup(func() { server.Close(); <-ended })
	return ln.Addr().String(), free
}

func request(t *testing.T, c net.Conn, path string) {
	t.Helper()
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	must(t, 0, err)
}

func served(t *testing.T, c net.Conn) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, res, err)
	if b, _ := io.ReadAll(res.Body); string(b) != "served" {
		t.Errorf("%d %q", res.StatusCode, b)
	}
}

// TestCrowd: more connections without a whole request than there is room for keep
// nobody out, and end none whose request is whole.
func TestCrowd(t *testing.T) {
	t.Parallel()
	const room = 8
	socket, free := boundedServer(t, room)
	dial := func() net.Conn {
		c := must2(t)(net.Dial("unix", socket))
		t.Cleanup(func() { c.Close() })
		return c
	}
	waits, idle := dial(), dial()
	request(t, waits, "/wait")
	request(t, idle, "/")
	served(t, idle)
	var half []net.Conn
	for n := range 10 * room {
		c := dial()
		if n%2 == 0 {
			_, _ = fmt.Fprint(c, "GET / HTTP/1.1\r\nHo") // some are ended before
		}
		half = append(half, c)
	}
	fresh := dial()
	request(t, fresh, "/")
	served(t, fresh)
	close(free)
	served(t, waits)
	for name, c := range map[string]net.Conn{"half a request": half[0], "nothing": half[1], "nothing more": idle} {
		c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the oldest that says %s was not ended: %v", name, err)
		}
	}
}

// hang is this program as another user: hundreds of connections, one half with
// requests that wait, one half with half a request. It says how many were refused
// of the first half.
func hang(socket string) {
	refused := make(chan bool)
	for range 300 {
		if c, err := net.Dial("unix", socket); err == nil {
			fmt.Fprint(c, "POST / HTTP/1.1\r\nHo")
			defer c.Close()
		}
		c, err := net.Dial("unix", socket)
		if err != nil {
			continue
		}
		defer c.Close()
		fmt.Fprint(c, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
		go func() {
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err == nil && res.StatusCode == http.StatusTooManyRequests {
				refused <- true
			}
		}()
	}
	<-refused
	fmt.Println("refused")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestOneUserOccupiesNothing: hundreds of hanging connections of one user, with and
// without a whole request, and another one's are answered.
func TestOneUserOccupiesNothing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can be several users")
	}
	socket, free := boundedServer(t, 32)
	defer close(free)
	cmd := exec.Command("/proc/self/exe", "hang", socket)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54323, Gid: 54323}}
	in, err := cmd.StdinPipe()
	must(t, in, err)
	out, err := cmd.StdoutPipe()
	must(t, out, err)
	must(t, 0, cmd.Start())
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "refused\n" {
		t.Fatalf("none of his requests was refused: %q, %v", line, err)
	}
	for range 40 { // more than there is room for one user at once
		c := must2(t)(net.Dial("unix", socket))
		request(t, c, "/")
		served(t, c)
		c.Close()
	}
}
