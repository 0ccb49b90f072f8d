package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// record is a backend that keeps the very bytes it gets and answers each
// request it can read.
type record struct {
	Endpoint
	mu    sync.Mutex
	bytes bytes.Buffer
	paths []string
	whole []string // those whose body came to its end
}

func newRecord(t *testing.T) *record {
	r := &record{}
	r.Endpoint = rawBackend(t, func(c net.Conn) {
		br := bufio.NewReader(io.TeeReader(c, lockedWriter{&r.mu, &r.bytes}))
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			r.mu.Lock()
			r.paths = append(r.paths, fmt.Sprintf("%s %s %q", req.Method, req.RequestURI, body))
			if err == nil {
				r.whole = append(r.whole, r.paths[len(r.paths)-1])
			}
			r.mu.Unlock()
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	return r
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// TestSmuggling: whatever a client sends, the instance gets either nothing or
// one request as the gateway understood it, framed in one way only.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	const inner = "GET /smuggled HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
	h := "Host: " + host + "\r\n"
	cases := map[string]string{
		"CL and TE":             "POST / HTTP/1.1\r\n" + h + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"CL.TE":                 "POST / HTTP/1.1\r\n" + h + fmt.Sprintf("Content-Length: %d\r\n", len(inner)+5) + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two CL":                "POST / HTTP/1.1\r\n" + h + "Content-Length: 0\r\nContent-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
		"CL list":               "POST / HTTP/1.1\r\n" + h + "Content-Length: 0, " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
		"CL plus":               "POST / HTTP/1.1\r\n" + h + "Content-Length: +0\r\n\r\n" + inner,
		"TE unknown":            "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: xchunked\r\n\r\n" + inner,
		"TE twice":              "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + inner,
		"TE space":              "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + inner,
		"bad chunk size":        "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
		"negative chunk":        "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
		"huge chunk":            "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
		"chunk without end":     "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
		"chunked, keyed, bad":   "POST / HTTP/1.1\r\n" + h + "Idempotency-Key: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
		"no host":               "GET / HTTP/1.1\r\n\r\n",
		"two hosts":             "GET / HTTP/1.1\r\n" + h + "Host: other\r\n\r\n",
		"space in header name":  "GET / HTTP/1.1\r\n" + h + "X Y: 1\r\n\r\n",
		"NUL in header":         "GET / HTTP/1.1\r\n" + h + "X: a\x00b\r\n\r\n",
		"bare CR in header":     "GET / HTTP/1.1\r\n" + h + "X: a\rGET /smuggled HTTP/1.1\r\n\r\n",
		"obs-fold":              "GET / HTTP/1.1\r\n" + h + "X: a\r\n  Transfer-Encoding: chunked\r\n\r\n",
		"control in path":       "GET /\x01 HTTP/1.1\r\n" + h + "\r\n",
		"CONNECT":               "CONNECT evil:80 HTTP/1.1\r\nHost: evil:80\r\n\r\n",
		"head too large":        "GET / HTTP/1.1\r\n" + h + "X: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"many headers":          "GET / HTTP/1.1\r\n" + h + strings.Repeat("X: 1\r\n", 100_000) + "\r\n",
		"HTTP/0.9":              "GET /\r\n\r\n",
		"HTTP/2 preface":        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"TE chunked, HTTP/1.0":  "POST / HTTP/1.0\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		"HTTP/2 preface, host":  "PRI * HTTP/2.0\r\n" + h + "\r\n",
		"star":                  "GET * HTTP/1.1\r\n" + h + "\r\n",
		"opaque target":         "GET x:smuggled HTTP/1.1\r\n" + h + "\r\n",
		"scheme, no host":       "GET http:///smuggled HTTP/1.1\r\n" + h + "\r\n",
		"port that is none":     "GET /smuggled HTTP/1.1\r\nHost: " + host + ":80@evil.example\r\n\r\n",
		"trailing CR":           "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-T: a\rb\r\n\r\n",
		"trailing length":       "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
		"chunk extensions":      "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n1;a=\"\r\nx\r\n0\r\n\r\n",
		"bare LF chunks":        "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
		"TE vertical tab":       "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" + inner,
		"TE list":               "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + inner,
		"GET with a body":       "GET / HTTP/1.1\r\n" + h + "Content-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
		"absolute form, spoofs": "GET http://" + host + "/abs HTTP/1.1\r\nHost: other\r\n\r\n",
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRecord(t)
			r := serving(t, one(b.Endpoint), func(c *Config) { c.ReadHeaderTimeout, c.KeepAlive = 200*time.Millisecond, 200*time.Millisecond })
			c, br := r.raw("")
			go func() { // the gateway may stop reading
				io.WriteString(c, text)
			}()
			io.Copy(io.Discard, br)
			r.end()
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, p := range b.paths {
				if method, rest, _ := strings.Cut(p, " "); strings.HasPrefix(rest, "/smuggled") || !strings.HasPrefix(rest, "/") || method == "PRI" {
					t.Errorf("the instance was given %s", p)
				}
			}
			for head := range strings.SplitSeq(b.bytes.String(), "\r\n\r\n") {
				lower := strings.ToLower(head)
				if strings.Contains(lower, "content-length:") && strings.Contains(lower, "transfer-encoding:") {
					t.Errorf("framed twice: %q", head)
				}
				if strings.Contains(strings.ReplaceAll(lower, "\r\n", ""), "\r") || strings.Contains(head, "\r\n ") || strings.Contains(head, "\x00") {
					t.Errorf("passed on as it came: %q", head)
				}
			}
		})
	}
}

// TestCutBodyIsNeverWhole: an instance must not take a body that broke off for
// a whole one.
func TestCutBodyIsNeverWhole(t *testing.T) { overBoth(t, testCutBodyIsNeverWhole) }

func testCutBodyIsNeverWhole(t *testing.T, l line) {
	for name, head := range map[string]string{
		"small":          "Content-Length: 10\r\n\r\nabc",
		"large":          "Content-Length: 1000000\r\n\r\nabc",
		"chunked":        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"chunked, keyed": "Idempotency-Key: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := make(chan bool, 1)
			b := l.backend(t, func(w http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				whole <- err == nil
			})
			r := serving(t, one(b.endpoint("a", 1)))
			c, br := r.raw("POST / HTTP/1.1\r\nHost: " + host + "\r\n" + head)
			c.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, br)
			until(t, "it is over", func() bool { return r.control.Stats().Hosts[host] == 0 })
			r.end()
			if b.hits.Load() > 0 && <-whole {
				t.Error("the instance took the part for the whole")
			}
		})
	}
}

// TestResponsesStayApart: an instance that sends more than it was asked for
// does not answer the next client with it.
func TestResponsesStayApart(t *testing.T) {
	t.Parallel()
	r := serving(t, one(rawBackend(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray", len(req.RequestURI), req.RequestURI)
		}
	})))
	for i := range 50 {
		path := fmt.Sprintf("/%d", i)
		r.do("GET", path, "").want(t, 200, path)
	}
}

func TestHugeResponseHeadIsRefused(t *testing.T) {
	t.Parallel()
	r := serving(t, one(rawBackend(t, func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 2*maxResponseHead)+"\r\n\r\n")
	})))
	r.do("GET", "/", "").want(t, 502, "*")
}
