package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// logged is what a gateway has written to its log.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) take(c *Config) { c.Log = slog.New(slog.NewTextHandler(l, nil)) }

// TestTLSConnectionsAreKept: one handshake serves many requests, and what the
// load balancer sees is what a client of it would show.
func TestTLSConnectionsAreKept(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections sync.Map
			b := newTLSBackend(t, func(w http.ResponseWriter, r *http.Request) {
				connections.Store(r.RemoteAddr, true)
				io.Copy(io.Discard, r.Body)
				fmt.Fprint(w, r.TLS.ServerName, " ", r.TLS.NegotiatedProtocol, " ", r.TLS.Version == version, " ", r.Host, " ", r.Header.Get("X-Forwarded-Proto"))
			}, func(c *tls.Config) { c.MaxVersion = version })
			r := serving(t, one(b.endpoint("a", 1)))
			for range 25 {
				for _, method := range []string{"GET", "POST"} {
					r.do(method, "/", "order").want(t, 200, lbName+" http/1.1 true "+host+" http")
				}
			}
			n := 0
			for range connections.Range {
				n++
			}
			if n != 1 {
				t.Errorf("50 requests took %d connections", n)
			}
		})
	}
}

func TestTLSSessionsAreResumed(t *testing.T) {
	t.Parallel()
	b := newTLSBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, r.TLS.DidResume)
	})
	r := serving(t, one(b.endpoint("a", 1)))
	r.do("GET", "/", "").want(t, 200, "false")
	for range 3 {
		r.do("GET", "/", "").want(t, 200, "true")
	}
}

// TestEndpointsThatAreNotWhoTheyShouldBe get nothing of a request, so that even
// an order goes to another; the log says what is wrong and how to mend it.
func TestEndpointsThatAreNotWhoTheyShouldBe(t *testing.T) {
	t.Parallel()
	with := func(edit func(*x509.Certificate)) func(*tls.Config) {
		return func(c *tls.Config) { c.Certificates = []tls.Certificate{testAuthority().issue(edit)} }
	}
	for name, c := range map[string]struct {
		edit func(*tls.Config)
		log  []string
	}{
		"wrong name": {with(func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} }),
			[]string{"valid for other.example, not " + lbName, "set the endpoint's tls to a name its certificate is for"}},
		"unknown authority": {func(c *tls.Config) { c.Certificates = []tls.Certificate{newAuthority().issue()} },
			[]string{"unknown authority", "SSL_CERT_FILE"}},
		"expired": {with(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
			[]string{"has expired", "renew its certificate"}},
		"of a client": {with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
			[]string{"incompatible key usage", "meant for servers"}},
		"too old":        {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, []string{"protocol version", "TLS 1.2 or newer"}},
		"other protocol": {func(c *tls.Config) { c.NextProtos = []string{"dot"} }, []string{"no application protocol", "HTTP/1.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got atomic.Int64
			bad := rawBackend(t, func(conn net.Conn) {
				n, _ := tls.Server(conn, serverTLS(c.edit)).Read(make([]byte, 1))
				got.Add(int64(n))
			})
			bad.TLS = lbName
			refused(t, bad, append(c.log, bad.Address)...)
			if got.Load() > 0 {
				t.Error("it got a request")
			}
		})
	}
	t.Run("plain HTTP", func(t *testing.T) {
		t.Parallel()
		bad := newBackend(t, says("bad"))
		e := bad.endpoint("bad", 1)
		e.TLS = lbName
		refused(t, e, "does not speak TLS", "leave the endpoint's tls empty")
		if bad.hits.Load() > 0 {
			t.Error("it got a request")
		}
	})
}

// TestHandshakesThatBreakOff: wherever, nothing of a request was sent.
func TestHandshakesThatBreakOff(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]func(net.Conn){
		"at once":           func(net.Conn) {},
		"after a byte":      func(c net.Conn) { io.ReadFull(c, make([]byte, 1)) },
		"by a reset":        func(c net.Conn) { io.ReadFull(c, make([]byte, 1)); socket(c).SetLinger(0) },
		"after half of its": func(c net.Conn) { tls.Server(cutShort{c}, serverTLS()).Handshake() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := rawBackend(t, handle)
			e.TLS = lbName
			refused(t, e, "TLS with "+e.Address, "amid the handshake")
		})
	}
}

// cutShort breaks off within the first write.
type cutShort struct{ net.Conn }

func (c cutShort) Write(b []byte) (int, error) {
	n, _ := c.Conn.Write(b[:len(b)/2])
	c.Close()
	return n, io.ErrShortWrite
}

// refused: requests for a bad endpoint get a 502 and a word in the log; beside a
// good one, nobody notices it.
func refused(t *testing.T, bad Endpoint, words ...string) {
	t.Helper()
	var log logged
	r := serving(t, one(bad), log.take)
	for _, method := range []string{"GET", "POST"} {
		r.do(method, "/", "").want(t, 502, "*")
	}
	for _, word := range words {
		if !strings.Contains(log.String(), word) {
			t.Errorf("the log lacks %q:\n%s", word, log.String())
		}
	}
	good := newTLSBackend(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	both := serving(t, one(good.endpoint("good", 1), bad))
	for range 20 {
		both.do("POST", "/", "order").want(t, 200, "order")
	}
	if good.hits.Load() != 20 {
		t.Errorf("20 orders were served %d times", good.hits.Load())
	}
}

// TestASlowHandshake takes no longer than a connection may.
func TestASlowHandshake(t *testing.T) {
	t.Parallel()
	slow := func(t *testing.T) Endpoint {
		e := rawBackend(t, func(c net.Conn) { io.Copy(io.Discard, c) })
		e.TLS = lbName
		return e
	}
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		var log logged
		r := serving(t, one(slow(t)), log.take, func(c *Config) { c.DialTimeout = 200 * time.Millisecond })
		r.do("POST", "/", "order").want(t, 504, "*")
		if !strings.Contains(log.String(), "did not answer in time") {
			t.Errorf("the log says %s", log.String())
		}
	})
	t.Run("beside another", func(t *testing.T) {
		t.Parallel()
		good := newTLSBackend(t, says("ok"))
		r := serving(t, one(good.endpoint("good", 1), slow(t)), func(c *Config) { c.DialTimeout = time.Second })
		for range 5 {
			r.do("POST", "/", "order").want(t, 200, "ok")
		}
	})
	t.Run("the client goes", func(t *testing.T) {
		t.Parallel()
		r := serving(t, one(slow(t)), func(c *Config) { c.DialTimeout = time.Hour })
		c, _ := r.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		until(t, "it is in", func() bool { return r.control.Stats().Hosts[host] == 1 })
		reset(c)
		r.settled(t)
	})
}

// TestAnOrderIsNotSentIntoAnEndedConnection: however a load balancer ends an
// idle connection, the next order takes another, and only once.
func TestAnOrderIsNotSentIntoAnEndedConnection(t *testing.T) {
	t.Parallel()
	for version, name := range map[uint16]string{tls.VersionTLS12: "TLS 1.2", tls.VersionTLS13: "TLS 1.3"} {
		for how, end := range map[string]func(*tls.Conn){
			"closed":                   func(c *tls.Conn) { c.Close() },
			"said, not done":           func(c *tls.Conn) { c.CloseWrite() },
			"done, not said":           func(c *tls.Conn) { c.NetConn().Close() },
			"half closed without word": func(c *tls.Conn) { socket(c).CloseWrite() },
			"reset":                    func(c *tls.Conn) { socket(c).SetLinger(0); c.NetConn().Close() },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				var served atomic.Int64
				now, ended := make(chan struct{}), make(chan struct{}, 1)
				e := rawBackend(t, func(c net.Conn) {
					s := tls.Server(c, serverTLS(func(c *tls.Config) { c.MaxVersion = version }))
					req, err := http.ReadRequest(bufio.NewReader(s))
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					served.Add(1)
					io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					if !met(t, now) {
						return
					}
					end(s)
					ended <- struct{}{}
					io.Copy(io.Discard, c) // until the gateway closes, too
				})
				e.TLS = lbName
				r := serving(t, one(e))
				for range 10 {
					r.do("POST", "/", "order").want(t, 200, "ok")
					r.settled(t) // the connection is back in its pool
					now <- struct{}{}
					<-ended
				}
				if served.Load() != 10 {
					t.Errorf("10 orders were served %d times", served.Load())
				}
			})
		}
	}
}

// TestOrdersWhileConnectionsAreClosed: an endpoint serves four orders on each
// connection and closes it in place of the last answer. Each order
// is served once if its client is told so, and never twice; one with a key
// is always served.
func TestOrdersWhileConnectionsAreClosed(t *testing.T) {
	overBoth(t, testOrdersWhileConnectionsAreClosed)
}

func testOrdersWhileConnectionsAreClosed(t *testing.T, l line) {
	var served sync.Map // by order: *atomic.Int64
	r := serving(t, one(l.raw(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		for n := range 4 {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			order, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			times, _ := served.LoadOrStore(string(order), new(atomic.Int64))
			times.(*atomic.Int64).Add(1)
			if n == 3 {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(order), order)
		}
	})))
	var accepted atomic.Int64
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for j := range 50 {
				order := fmt.Sprintf("order %d of client %d", j, i)
				got := r.do("POST", "/", order)
				n, seen := served.Load(order)
				switch {
				case got.status == 200 && got.body == order && seen && n.(*atomic.Int64).Load() == 1:
					accepted.Add(1)
				case got.status == 502 && (!seen || n.(*atomic.Int64).Load() == 1):
				default:
					t.Errorf("%s: %+v, served: %v", order, got, n)
				}
				if got := r.do("POST", "/", order+" with key", "Idempotency-Key", order); got.status != 200 || got.body != order+" with key" {
					t.Errorf("%s with key: %+v", order, got)
				}
			}
		})
	}
	clients.Wait()
	if n := accepted.Load(); n < 100 {
		t.Errorf("only %d of 400 orders were accepted; the test shows nothing", n)
	}
}

// TestAnOrderTakesNoConnectionThatLayIdleForLong: its endpoint may be about to
// close it; here it does so on the next request.
func TestAnOrderTakesNoConnectionThatLayIdleForLong(t *testing.T) {
	overBoth(t, testAnOrderTakesNoConnectionThatLayIdleForLong)
}

func testAnOrderTakesNoConnectionThatLayIdleForLong(t *testing.T, l line) {
	e := l.raw(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		if req, err := http.ReadRequest(br); err == nil {
			io.Copy(io.Discard, req.Body)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			br.ReadByte()
		}
	})
	r := serving(t, one(e))
	for range 5 {
		r.do("POST", "/", "order").want(t, 200, "ok")
		r.settled(t)
		p := r.cfg.Forward.(*http1).pool(e)
		p.mu.Lock()
		for _, c := range p.idle {
			c.idleSince = c.idleSince.Add(-2 * time.Second)
		}
		p.mu.Unlock()
	}
}
