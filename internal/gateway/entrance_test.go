package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTheControlSideIsHeardWhateverClientsDo: 420 half-sent heads at 400
// descriptors; a hold is answered, and another gateway can take over.
func TestTheControlSideIsHeardWhateverClientsDo(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	admin, state := filepath.Join(dir, "admin"), filepath.Join(dir, "table.json")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	limited := []string{"sh", "-c", `ulimit -n 400 && exec "$0" "$@"`, self}
	p := startCommand(t, append(limited, "gateway", "--listen", "127.0.0.1:0", "--admin", admin, "--state", state))
	pool, _ := json.Marshal(one(newBackend(t, says("here")).endpoint("a", 1)))
	adminCall(t, admin, "PUT", "/pools/p", string(pool))
	adminCall(t, admin, "PUT", "/routes", `{"`+host+`":"p"}`)
	turned := 0
	for range 420 {
		c, err := net.Dial("tcp", p.Listen)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: till")
	}
	until(t, "those are turned away for whom there is no room", func() bool {
		_, stats := adminCall(t, admin, "GET", "/stats", "")
		var s Stats
		if err := json.Unmarshal([]byte(stats), &s); err != nil {
			t.Fatal(err)
		}
		turned = int(s.Disturbed.TurnedAway)
		return turned > 0
	})
	if status, body := adminCall(t, admin, "PUT", "/holds/h", `{"hosts":["`+host+`"],"lease_ms":60000}`); status != 200 {
		t.Errorf("hold: %d %s", status, body)
	}
	if status, body := adminCall(t, admin, "GET", "/holds/h/drained", ""); status != 200 {
		t.Errorf("drained: %d %s", status, body)
	}
	if status, body := adminCall(t, admin, "DELETE", "/holds/h", ""); status != 200 {
		t.Errorf("release: %d %s", status, body)
	}
	next := startProcess(t, p.Listen, admin, state)
	client := newHTTPClient(next.Listen)
	defer client.CloseIdleConnections()
	until(t, "the next serves", func() bool {
		req, _ := http.NewRequest("GET", "http://"+host, nil)
		return fetch(client, req).body == "here"
	})
}

// TestOneAddressDoesNotTakeAll.
func TestOneAddressDoesNotTakeAll(t *testing.T) {
	t.Parallel()
	r := serving(t, one(newBackend(t, says("ok")).endpoint("a", 1)), func(c *Config) { c.MaxConnections, c.MaxPerAddress = 4, 2 })
	from := func(address string) (net.Conn, int) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		c, err := d.DialContext(context.Background(), "tcp", r.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return c, 0 // reset before it could read
		}
		return c, res.StatusCode
	}
	var first net.Conn
	for i, c := range []struct {
		from string
		in   bool
	}{{"127.0.0.1", true}, {"127.0.0.1", true}, {"127.0.0.1", false}, {"127.0.0.2", true}, {"127.0.0.3", true}, {"127.0.0.4", false}} {
		conn, status := from(c.from)
		if (status == 200) != c.in || !c.in && status != 503 && status != 0 {
			t.Fatalf("connection %d, from %s: %d", i, c.from, status)
		}
		if i == 0 {
			first = conn
		}
	}
	if n := r.control.Stats().Disturbed.TurnedAway; n != 2 {
		t.Errorf("%d turned away are counted, want 2", n)
	}
	first.Close()
	until(t, "there is room again", func() bool { _, status := from("127.0.0.1"); return status == 200 })
}

// TestClientsKeepAPace: one byte now and then is not enough, in either direction.
func TestClientsKeepAPace(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 64<<20)
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.Method == "GET" {
			io.WriteString(w, big)
		}
	})
	r := serving(t, one(b.endpoint("a", 1)), func(c *Config) { c.MinRate, c.RateLead = 100_000, 200*time.Millisecond })
	for name, length := range map[string]int{"small": 60_000, "large": 1_000_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := r.raw("")
			if got := trickle(t.Context(), c, length); got != "408" {
				t.Errorf("a body that trickles got %s", got)
			}
		})
	}
	t.Run("reader", func(t *testing.T) {
		t.Parallel()
		c, br := r.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		gone := func() bool { return r.control.Stats().Hosts[host] == 0 }
		buf := make([]byte, 1<<10)
		until(t, "it was given up", func() bool {
			io.ReadFull(res.Body, buf)
			pause(t.Context(), 50*time.Millisecond)
			return gone()
		})
		c.Close()
	})
}

// TestIdleConnectionsMakeRoom: those to one instance do not keep others from being reached.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	a, b := newBackend(t, says("a")), newBackend(t, says("b"))
	r := serving(t, one(a.endpoint("a", 1)), func(c *Config) { c.MaxConnections, c.MaxPerAddress = 8, 8 })
	together := func(want string) {
		got := make(chan result, 6)
		for range cap(got) {
			go func() { got <- r.do("POST", "/", "x") }()
		}
		for range cap(got) {
			(<-got).want(t, 200, want)
		}
	}
	together("a")
	r.pool("b", one(b.endpoint("b", 1)))
	r.route(host, "b")
	together("b")
	forward := r.cfg.Forward.(*http1)
	if n := forward.open.Load(); n > 8 {
		t.Errorf("%d connections to instances are open, at most 8 fit", n)
	}
	forward.Close()
	until(t, "all are counted off", func() bool { return forward.open.Load() == 0 })
}
