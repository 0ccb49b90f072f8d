package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestUnreadAnswersAreGivenUp: a client that asks and asks and takes no answer
// keeps neither a request in flight nor its connection.
func TestUnreadAnswersAreGivenUp(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 900, "medium": 20 << 10, "refused": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := host
			if name == "refused" {
				to = "unknown.example"
			}
			text := strings.Repeat("x", size)
			r := serving(t, one(newBackend(t, says(text)).endpoint("a", 1)), func(c *Config) { c.WriteIdleTimeout = 300 * time.Millisecond })
			c, _ := r.raw("")
			c.SetDeadline(time.Now().Add(time.Minute))
			ask := strings.Repeat("GET / HTTP/1.1\r\nHost: "+to+"\r\n\r\n", 100)
			var err error
			for err == nil {
				_, err = io.WriteString(c, ask)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("still connected")
				c.Close()
			}
			r.settled(t)
			until(t, "its connection is closed", func() bool { return r.conns.Load() == 0 })
		})
	}
}

// TestManyHopByHopHeaders: the work grows with what a client sends, not with its
// square, which would be sixteen times as much for four times as many.
func TestManyHopByHopHeaders(t *testing.T) {
	few, many := timeOfMany(t, 15_000), timeOfMany(t, 60_000)
	if times := float64(many) / float64(few); times > 11 {
		t.Errorf("four times as many headers take %.1f times as long", times)
	}
}

// timeOfMany is the shortest time, of five, in which n headers are written of which two
// are named by Connection.
func timeOfMany(t *testing.T, n int) time.Duration {
	t.Helper()
	h := http.Header{}
	var listed strings.Builder
	for i := range n {
		h[fmt.Sprintf("A%07d", i)] = []string{"x"}
		fmt.Fprintf(&listed, "b%07d,", i)
	}
	h.Set("Connection", listed.String()+" a0000001 ,\tA0000002,,close, keep-alive")
	least := time.Duration(math.MaxInt64)
	for range 5 {
		began := time.Now()
		var out strings.Builder
		w := bufio.NewWriter(&out)
		writeRequestHeader(w, h)
		w.Flush()
		least = min(least, time.Since(began))
		if passed := strings.Count(out.String(), "\r\n"); passed != n-2 {
			t.Errorf("%d headers of %d are passed on", passed, n-2)
		}
	}
	return least
}

// TestAKeyThatTheInstanceDoesNotSeeIsNone: Connection can have the key taken
// away on its way; then nobody would notice a second time.
func TestAKeyThatTheInstanceDoesNotSeeIsNone(t *testing.T) {
	t.Parallel()
	failing := newBackend(t, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	r := serving(t, one(failing.endpoint("a", 1), failing.endpoint("b", 1)))
	_, br := r.raw("POST / HTTP/1.1\r\nHost: " + host + "\r\nIdempotency-Key: 1\r\nConnection: idempotency-key\r\nContent-Length: 5\r\n\r\norder")
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 502 {
		t.Errorf("%v %v", res, err)
	}
	if n := failing.hits.Load(); n != 1 {
		t.Errorf("sent %d times", n)
	}
}

// TestDisguisedHeaders: with an underscore some servers take them for the real ones.
func TestDisguisedHeaders(t *testing.T) {
	t.Parallel()
	b := newRecord(t)
	r := serving(t, one(b.Endpoint))
	_, br := r.raw("POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\ncontent_length: 5\r\nTransfer_Encoding: chunked\r\n" +
		"x_forwarded_for: 1.2.3.4\r\nX_Real_IP: 1.2.3.4\r\nmy_own: kept\r\nConnection: close\r\n\r\n")
	io.Copy(io.Discard, br)
	b.mu.Lock()
	defer b.mu.Unlock()
	got := strings.ToLower(b.bytes.String())
	for _, bad := range []string{"content_length", "transfer_encoding", "1.2.3.4"} {
		if strings.Contains(got, bad) {
			t.Errorf("%s was passed on: %q", bad, got)
		}
	}
	if !strings.Contains(got, "my_own: kept") {
		t.Errorf("another header was lost: %q", got)
	}
}

// TestUpgradesThatAreNotMade: the request is passed on as an ordinary one.
func TestUpgradesThatAreNotMade(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"to HTTP/2":   "GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
		"with a body": "POST / HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi",
		"HTTP/1.0":    "GET / HTTP/1.0\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRecord(t)
			r := serving(t, one(b.Endpoint))
			_, br := r.raw(text)
			if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 200 {
				t.Errorf("%v %v", res, err)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if got := strings.ToLower(b.bytes.String()); strings.Contains(got, "upgrade") || strings.Contains(got, "http2-settings") {
				t.Errorf("the instance was asked to switch: %q", got)
			}
		})
	}
}

// TestBodiesAreKeptWithinBounds: what does not fit is streamed, once, and the
// room is given back.
func TestBodiesAreKeptWithinBounds(t *testing.T) {
	t.Parallel()
	b := newBackend(t, says("ok"))
	r := serving(t, one(b.endpoint("a", 1)), func(c *Config) { c.MaxKept = 100 })
	for _, size := range []int{10, 100, 101, 5000, 2 << 20} {
		for _, key := range []string{"1", ""} {
			r.do("POST", "/", strings.Repeat("x", size), "Idempotency-Key", key).want(t, 200, "ok")
		}
	}
	head := "POST / HTTP/1.1\r\nHost: " + host + "\r\nIdempotency-Key: 1\r\nContent-Length: 60\r\n\r\n"
	first, _ := r.raw(head)
	until(t, "the first is kept", func() bool { return r.proxy.kept.used.Load() == 60 })
	before := b.hits.Load()
	r.raw(head)
	until(t, "the second is streamed", func() bool { return b.hits.Load() == before+1 })
	first.Close()
	until(t, "the room is free", func() bool { return r.proxy.kept.used.Load() == 0 })
}
