package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestItRecoversFromTooManyFiles: without file descriptors it can serve nobody
// new, and serves again as soon as there are some.
func TestItRecoversFromTooManyFiles(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	admin := filepath.Join(dir, "admin")
	p := startProcess(t, "127.0.0.1:0", admin, filepath.Join(dir, "table.json"))
	pool, _ := json.Marshal(one(newBackend(t, says("here")).endpoint("a", 1)))
	adminCall(t, admin, "PUT", "/pools/p", string(pool))
	adminCall(t, admin, "PUT", "/routes", `{"`+host+`":"p"}`)
	if err := unix.Prlimit(p.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 40, Max: 40}, nil); err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for range 80 {
		c, err := net.Dial("tcp", p.Listen)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	full := 0 // looks in a row: one may see the administrator's connection, which is about to go
	until(t, "it has no descriptor left", func() bool {
		open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.Process.Pid))
		if full++; len(open) < 40 {
			full = 0
		}
		return full == 20
	})
	io.WriteString(conns[0], "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	for _, c := range conns[1:] {
		c.Close()
	}
	if all, _ := io.ReadAll(conns[0]); !strings.HasPrefix(string(all), "HTTP/1.1 200") {
		t.Errorf("until there is a descriptor for the instance its request waits: %q", all)
	}
	conns[0].Close()
	client := newHTTPClient(p.Listen)
	defer client.CloseIdleConnections()
	until(t, "it serves again", func() bool {
		req, _ := http.NewRequest("POST", "http://"+host, nil)
		return fetch(client, req).body == "here"
	})
}
