package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// site is one side of a move: an instance that serves all that slow clients ask
// for, and writes down the orders it has carried out.
type site struct {
	*backend
	mu     sync.Mutex
	orders map[string]int
}

func newSite(t *testing.T) *site {
	s := &site{orders: map[string]int{}}
	big := strings.Repeat("x", 32<<20)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /upload", says("thanks"))
	mux.HandleFunc("GET /poll", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("GET /big", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, big) })
	mux.HandleFunc("GET /events", serveEvents)
	mux.HandleFunc("GET /socket", serveSocket)
	mux.HandleFunc("POST /order", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(time.Duration(rand.IntN(60)) * time.Millisecond):
		case <-t.Context().Done():
		}
		s.mu.Lock()
		s.orders[r.URL.Query().Get("id")]++
		s.mu.Unlock()
		io.WriteString(w, "done")
	})
	s.backend = newBackend(t, mux.ServeHTTP)
	return s
}

func serveEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		fmt.Fprint(w, "data: tick\n\n")
		http.NewResponseController(w).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// serveSocket switches and then takes frames until it is told to close.
func serveSocket(w http.ResponseWriter, r *http.Request) {
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi")
	io.Copy(io.Discard, rw)
}

// slowClient connects and keeps a gateway busy until it is cut off, or ctx ends.
// It returns how it was treated, or "" when it was ctx.
type slowClient func(ctx context.Context, c net.Conn) string

var slowClients = map[string]slowClient{
	"small upload": func(ctx context.Context, c net.Conn) string { return trickle(ctx, c, 60_000) },
	"large upload": func(ctx context.Context, c net.Conn) string { return trickle(ctx, c, 1_000_000) },
	"half a head": func(ctx context.Context, c net.Conn) string {
		io.WriteString(c, "GET /half HTTP/1.1\r\nHost: "+host)
		return answerTo(ctx, c)
	},
	"long poll": func(ctx context.Context, c net.Conn) string {
		io.WriteString(c, "GET /poll HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		return answerTo(ctx, c)
	},
	"slow reader": func(ctx context.Context, c net.Conn) string {
		c.(*net.TCPConn).SetReadBuffer(4096)
		io.WriteString(c, "GET /big HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return "no head"
		}
		buf := make([]byte, 64<<10)
		for ctx.Err() == nil {
			if _, err := res.Body.Read(buf); err != nil {
				return "cut"
			}
			pause(ctx, 300*time.Millisecond)
		}
		return ""
	},
	"events": func(ctx context.Context, c net.Conn) string {
		io.WriteString(c, "GET /events HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return "no head"
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return "cut"
		}
		return "ended"
	},
	"socket": func(ctx context.Context, c net.Conn) string {
		io.WriteString(c, "GET /socket HTTP/1.1\r\nHost: "+host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		br := bufio.NewReader(c)
		if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 101 {
			return "not switched"
		}
		all, _ := io.ReadAll(br)
		return fmt.Sprintf("%q", all)
	},
}

// proper is how each may be treated, but for being left alone.
var proper = map[string]string{
	"large upload": "503", "slow reader": "cut", "events": "ended",
	"socket": fmt.Sprintf("%q", "\x81\x02hi"+string(closeToClient)),
	// The rest was not seen by an instance, or can be sent again.
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// trickle announces a body and sends a byte of it now and then.
func trickle(ctx context.Context, c net.Conn, size int) string {
	fmt.Fprintf(c, "POST /upload HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", host, size)
	answer := make(chan string, 1)
	go func() { answer <- answerTo(ctx, c) }()
	for {
		if _, err := io.WriteString(c, "x"); err != nil {
			return <-answer
		}
		select {
		case got := <-answer:
			return got
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func answerTo(ctx context.Context, c net.Conn) string {
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if ctx.Err() != nil {
		return ""
	}
	if err != nil {
		return "cut"
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Sprint(res.StatusCode)
	}
	all, err := io.ReadAll(res.Body)
	return fmt.Sprintf("200 %q %v", all, err)
}

// crowd is many slow clients of each kind, that come again whenever they are cut off.
type crowd struct {
	wg     sync.WaitGroup
	cancel context.CancelFunc
	cut    sync.Map // kind -> *atomic.Int64
}

func newCrowd(t *testing.T, addr string, each int) *crowd {
	ctx, cancel := context.WithCancel(context.Background())
	c := &crowd{cancel: cancel}
	for kind, client := range slowClients {
		cut := &atomic.Int64{}
		c.cut.Store(kind, cut)
		for range each {
			c.wg.Go(func() {
				for ctx.Err() == nil {
					if got := meet(ctx, addr, client); got != "" && got != proper[kind] && ctx.Err() == nil {
						t.Errorf("%s: %s, want %q", kind, got, proper[kind])
						return
					}
					cut.Add(1)
				}
			})
		}
	}
	return c
}

// meet lets a client connect once.
func meet(ctx context.Context, addr string, client slowClient) string {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	return client(ctx, c)
}

func (c *crowd) leave() {
	c.cancel()
	c.wg.Wait()
}

// tills send orders without pause, each once, and count what was acknowledged.
type tills struct {
	wg     sync.WaitGroup
	stop   chan struct{}
	orders atomic.Int64
}

func newTills(t *testing.T, r *running, n int) *tills {
	s := &tills{stop: make(chan struct{})}
	for range n {
		s.wg.Go(func() {
			for {
				select {
				case <-s.stop:
					return
				default:
				}
				id := s.orders.Add(1)
				if got := r.do("POST", fmt.Sprintf("/order?id=%d", id), "order"); got.err != nil || got.status != 200 {
					t.Errorf("order %d: %d %q %v", id, got.status, got.body, got.err)
					return
				}
			}
		})
	}
	return s
}

func (s *tills) close() {
	close(s.stop)
	s.wg.Wait()
}
