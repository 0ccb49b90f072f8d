package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answering is an instance that answers each request with the same bytes, and
// keeps the connection unless it is told to close it.
func answering(t *testing.T, text string, close bool) Endpoint {
	return rawBackend(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			if io.WriteString(c, text); close {
				return
			}
		}
	})
}

// settled waits until the gateway counts nothing in flight any more, anywhere.
func (r *running) settled(t *testing.T) {
	t.Helper()
	until(t, "nothing in flight", func() bool {
		s := r.control.Stats()
		for _, p := range s.Pools {
			for _, n := range p.InFlight {
				if n != 0 {
					return false
				}
			}
		}
		return s.Hosts[host] == 0
	})
	if err := r.control.pools["production/till"].state.Load().releases[1].inflight.wait(deadline(t, time.Second)); err != nil {
		t.Errorf("the release is never idle: %v", err)
	}
}

// TestAnswersThatAreNone: an instance that does not keep to HTTP is a bad
// gateway's 502, and leaves nothing behind.
func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	informal := strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInformational+1)
	for name, text := range map[string]string{
		"status 099":           "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
		"status 000":           "HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n",
		"status +20":           "HTTP/1.1 +20 Odd\r\nContent-Length: 0\r\n\r\n",
		"status 20":            "HTTP/1.1 20 Odd\r\nContent-Length: 0\r\n\r\n",
		"unasked switch":       "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"flood of hints":       informal + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"two lengths":          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"negative length":      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"unknown coding":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"no HTTP":              "SSH-2.0-OpenSSH\r\n\r\n",
		"body without a head":  "<html></html>",
		"header without colon": "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := serving(t, one(answering(t, text, true)))
			for _, method := range []string{"GET", "POST"} {
				r.do(method, "/", "").want(t, 502, "*")
			}
			r.settled(t)
		})
	}
}

// TestCutAtEveryByte: wherever an answer breaks off, the client gets the whole
// or knows that it did not; and what must not be sent twice is sent once.
func TestCutAtEveryByte(t *testing.T) { overBoth(t, testCutAtEveryByte) }

func testCutAtEveryByte(t *testing.T, l line) {
	for name, whole := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nX: 1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var cut, seen atomic.Int64
			r := serving(t, one(l.raw(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					return
				}
				seen.Add(1)
				io.WriteString(c, whole[:cut.Load()])
				if cut.Load()%2 == 1 { // every other one by a reset
					socket(c).SetLinger(0)
				}
			})))
			for n := range len(whole) {
				cut.Store(int64(n))
				before := seen.Load()
				got := r.do("POST", "/", "order")
				if got.err == nil && got.status < 500 {
					t.Errorf("cut after %d bytes it is %d %q", n, got.status, got.body)
				}
				if sent := seen.Load() - before; sent != 1 {
					t.Errorf("cut after %d bytes it was sent %d times", n, sent)
				}
			}
			r.settled(t)
		})
	}
}

// TestAHeadIsPassedOnBeforeItsBody: and each part of a body before the next,
// however the body is framed.
func TestAHeadIsPassedOnBeforeItsBody(t *testing.T) { overBoth(t, testAHeadIsPassedOnBeforeItsBody) }

func testAHeadIsPassedOnBeforeItsBody(t *testing.T, l line) {
	for name, parts := range map[string][]string{
		"length":            {"Content-Length: 4\r\n\r\n", "ab", "cd"},
		"chunked":           {"Transfer-Encoding: chunked\r\n\r\n", "2\r\nab\r\n", "2\r\ncd\r\n0\r\n\r\n"},
		"chunk size early":  {"Transfer-Encoding: chunked\r\n\r\n2\r\n", "ab\r\n2", "\r\ncd\r\n0\r\n\r\n"},
		"chunk size in two": {"Transfer-Encoding: chunked\r\n\r\n2;x=y", "\r\nab\r\n2", "\r\ncd\r\n0\r\n\r\n"},
		"until it closes":   {"Content-Type: text/event-stream\r\n\r\n", "ab", "cd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := make(chan struct{})
			r := serving(t, one(l.raw(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					return
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\n")
				for _, part := range parts {
					io.WriteString(c, part)
					met(t, next)
				}
			})))
			c, br := r.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
			c.SetDeadline(time.Now().Add(5 * time.Second))
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				close(next)
				t.Fatalf("the head waits for the body: %v", err)
			}
			for _, want := range []string{"ab", "cd"} {
				next <- struct{}{}
				got := make([]byte, 2)
				if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != want {
					close(next)
					t.Fatalf("%q %v, want %q", got, err, want)
				}
			}
			close(next)
			if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
				t.Errorf("%q %v", rest, err)
			}
		})
	}
}

// TestAnInstanceThatDoesNotRead: it gets ResponseTimeout for every part, not
// for ever, whether the client stays or goes.
func TestAnInstanceThatDoesNotRead(t *testing.T) { overBoth(t, testAnInstanceThatDoesNotRead) }

func testAnInstanceThatDoesNotRead(t *testing.T, l line) {
	for name, stays := range map[string]bool{"client stays": true, "client goes": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			over := make(chan struct{})
			r := serving(t, one(l.raw(t, func(net.Conn) { <-over })), func(c *Config) { c.ResponseTimeout = 300 * time.Millisecond })
			defer close(over)
			c, br := r.raw("POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1000000000\r\n\r\n")
			sending := make(chan struct{})
			go func() {
				defer close(sending)
				for part := make([]byte, 1<<20); ; {
					if _, err := c.Write(part); err != nil {
						return
					}
				}
			}()
			until(t, "it is in", func() bool { return r.control.Stats().Hosts[host] == 1 })
			if stays {
				if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != http.StatusGatewayTimeout {
					t.Errorf("%v %v", res, err)
				}
			}
			c.Close()
			<-sending
			r.settled(t)
		})
	}
}

// TestWhatAnInstanceSaysUnaskedIsNoAnswer: bytes that come between two requests
// on a kept connection answer neither.
func TestWhatAnInstanceSaysUnaskedIsNoAnswer(t *testing.T) {
	overBoth(t, testWhatAnInstanceSaysUnaskedIsNoAnswer)
}

func testWhatAnInstanceSaysUnaskedIsNoAnswer(t *testing.T, l line) {
	stray, said := make(chan struct{}), make(chan struct{})
	r := serving(t, one(l.raw(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.RequestURI), req.RequestURI)
			if !met(t, stray) {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray")
			said <- struct{}{}
		}
	})))
	for i := range 20 {
		path := fmt.Sprintf("/%d", i)
		r.do("POST", path, "").want(t, 200, path)
		r.settled(t) // the connection is back in its pool
		stray <- struct{}{}
		<-said
	}
}

// TestAConnectionClosedJustNowCostsNoRequest: an instance that closes after each
// answer without saying so is noticed before the next request is sent.
func TestAConnectionClosedJustNowCostsNoRequest(t *testing.T) {
	overBoth(t, testAConnectionClosedJustNowCostsNoRequest)
}

func testAConnectionClosedJustNowCostsNoRequest(t *testing.T, l line) {
	closed := make(chan struct{}, 1)
	r := serving(t, one(l.raw(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		c.Close()
		closed <- struct{}{}
	})))
	for range 50 {
		r.do("POST", "/", "order").want(t, 200, "ok")
		<-closed
	}
}

// TestHTTP10ClientsGetNoHints: HTTP/1.0 knows one answer only.
func TestHTTP10ClientsGetNoHints(t *testing.T) {
	t.Parallel()
	r := serving(t, one(answering(t, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false)))
	_, br := r.raw("GET / HTTP/1.0\r\nHost: " + host + "\r\n\r\n")
	if all, _ := io.ReadAll(br); !strings.HasPrefix(string(all), "HTTP/1.0 200") || strings.Contains(string(all), "Link") {
		t.Errorf("%q", all)
	}
}

// TestConnectionsToAnEndpointThatLeftAreForgotten: also by the request that was
// under way when it left.
func TestConnectionsToAnEndpointThatLeftAreForgotten(t *testing.T) {
	overBoth(t, testConnectionsToAnEndpointThatLeftAreForgotten)
}

func testConnectionsToAnEndpointThatLeftAreForgotten(t *testing.T, l line) {
	in, finish := make(chan struct{}), make(chan struct{})
	b := l.backend(t, func(w http.ResponseWriter, _ *http.Request) {
		in <- struct{}{}
		met(t, finish)
	})
	r := serving(t, one(b.endpoint("a", 1)))
	got := make(chan result, 1)
	go func() { got <- r.do("GET", "/", "") }()
	<-in
	r.pool("production/till", Pool{})
	f := r.cfg.Forward.(*http1)
	f.pool(b.endpoint("a", 1)) // as a request does that chose it just before
	close(finish)
	(<-got).want(t, 200, "")
	until(t, "it is forgotten", func() bool {
		f.mu.RLock()
		defer f.mu.RUnlock()
		return len(f.pools) == 0
	})
}
