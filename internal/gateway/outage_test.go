package gateway

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// mortal is an instance that is killed and brought back at the same address.
type mortal struct {
	t       *testing.T
	address string
	handler http.HandlerFunc
	server  *backend
}

func newMortal(t *testing.T, handler http.HandlerFunc) *mortal {
	m := &mortal{t: t, address: "127.0.0.1:0", handler: handler}
	m.revive()
	return m
}

func (m *mortal) revive() {
	m.t.Helper()
	ln, err := net.Listen("tcp", m.address)
	if err != nil {
		m.t.Fatal(err)
	}
	m.address = ln.Addr().String()
	m.server = unstartedBackend(m.t, m.handler)
	m.server.Listener.Close()
	m.server.Listener = ln
	m.server.Start()
}

func (m *mortal) kill() {
	m.server.Listener.Close()
	m.server.CloseClientConnections()
}

func (m *mortal) endpoint(id string) Endpoint {
	return Endpoint{ID: id, Address: m.address, Release: 1}
}

// TestRequestsWaitForWhoIsBroughtBack: an environment is killed and comes back; of
// the requests that come meanwhile none fails, and each is sent once.
func TestRequestsWaitForWhoIsBroughtBack(t *testing.T) {
	t.Parallel()
	a, b := newMortal(t, says("back")), newMortal(t, says("back"))
	r := serving(t, one(a.endpoint("a"), b.endpoint("b")))
	for range 4 { // connections that lie idle when it is killed
		r.do("POST", "/", "order").want(t, 200, "back")
	}
	a.kill()
	b.kill()
	const n = 50
	got := make(chan result, n)
	for range n {
		go func() { got <- r.do("POST", "/", "order") }()
	}
	until(t, "all wait", func() bool { return r.control.Stats().Waiting == n })
	if flying := r.control.Stats().Hosts[host]; flying != 0 {
		t.Errorf("%d requests that wait are in flight: a drain would wait for them", flying)
	}
	a.revive()
	for range n {
		(<-got).want(t, 200, "back")
	}
	if hits := a.server.hits.Load(); hits != n {
		t.Errorf("%d requests were sent %d times", n, hits)
	}
}

// TestWaitingForWhoIsGoneIsBounded: in time and in number; whoever comes after that
// is told at once, and when to come again.
func TestWaitingForWhoIsGoneIsBounded(t *testing.T) {
	t.Parallel()
	m := newMortal(t, says("back"))
	m.kill()
	const room = 3
	r := serving(t, one(m.endpoint("a")), func(c *Config) { c.EndpointWait, c.MaxWaiting = 3*time.Second, room })
	got := make(chan result, room+1)
	for range room + 1 {
		go func() { got <- r.do("POST", "/", "order") }()
	}
	texts := map[string]int{}
	for range room + 1 {
		one := <-got
		one.want(t, 503, "*")
		texts[one.body]++
		if one.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if texts["too many requests are waiting\n"] != 1 || texts["no instance can be reached\n"] != room {
		t.Errorf("answers: %v", texts)
	}
	r.do("POST", "/", "order").want(t, 503, "no instance can be reached\n") // nobody waits for what is long gone
	m.revive()
	until(t, "it is found again", func() bool { return r.do("POST", "/", "order").status == 200 })
}

// TestSwitchBesideAnOutage: who waits for a dead environment is held by a switch like
// everybody, keeps no drain waiting, and goes where the switch leads.
func TestSwitchBesideAnOutage(t *testing.T) {
	t.Parallel()
	dead, target := newMortal(t, says("dead")), newBackend(t, says("target"))
	dead.kill()
	r := serving(t, one(dead.endpoint("a")))
	r.pool("target", one(target.endpoint("t", 1)))
	const n = 10
	got := make(chan result, n)
	for range n {
		go func() { got <- r.do("POST", "/", "order") }()
	}
	until(t, "all wait", func() bool { return r.control.Stats().Waiting == n })
	r.hold("switch", time.Minute)
	until(t, "the switch holds them", func() bool { return r.waiting("switch") == n })
	if err := r.control.Drained(deadline(t, time.Minute), "switch", r.cfg.HoldGrace); err != nil {
		t.Fatal(err)
	}
	r.route(host, "target")
	if _, err := r.control.Release("switch"); err != nil {
		t.Fatal(err)
	}
	for range n {
		(<-got).want(t, 200, "target")
	}
}

// TestRouteLeadsAwayFromAnOutage: a changed table is looked at at once.
func TestRouteLeadsAwayFromAnOutage(t *testing.T) {
	t.Parallel()
	dead, other := newMortal(t, says("dead")), newBackend(t, says("other"))
	dead.kill()
	r := serving(t, one(dead.endpoint("a")), func(c *Config) { c.EndpointWait = time.Hour })
	r.pool("other", one(other.endpoint("o", 1)))
	got := make(chan result, 1)
	go func() { got <- r.do("POST", "/", "order") }()
	until(t, "it waits", func() bool { return r.control.Stats().Waiting == 1 })
	r.route(host, "other")
	(<-got).want(t, 200, "other")
}

// TestKilledWithRequestsInFlight: what may be sent again is, once the instance is
// back; what may not is told that nobody knows.
func TestKilledWithRequestsInFlight(t *testing.T) {
	t.Parallel()
	var lives atomic.Bool
	arrived := make(chan struct{}, 2)
	dying := make(chan struct{})
	m := newMortal(t, func(w http.ResponseWriter, r *http.Request) {
		if lives.Load() {
			io.WriteString(w, "back")
			return
		}
		arrived <- struct{}{}
		<-dying
		panic(http.ErrAbortHandler)
	})
	r := serving(t, one(m.endpoint("a")))
	named, nameless := make(chan result, 1), make(chan result, 1)
	go func() { named <- r.do("POST", "/", "order", "Idempotency-Key", "1") }()
	go func() { nameless <- r.do("POST", "/", "order") }()
	<-arrived
	<-arrived
	m.server.Listener.Close()
	close(dying)
	m.server.CloseClientConnections()
	(<-nameless).want(t, 502, "*")
	until(t, "the other waits", func() bool { return r.control.Stats().Waiting == 1 })
	lives.Store(true)
	m.revive()
	(<-named).want(t, 200, "back")
}

// TestStoppedDuringAnOutage: a gateway that ends keeps nobody waiting.
func TestStoppedDuringAnOutage(t *testing.T) {
	t.Parallel()
	dead := newMortal(t, says("dead"))
	dead.kill()
	r := serving(t, one(dead.endpoint("a")), func(c *Config) { c.EndpointWait = time.Hour })
	got := make(chan result, 1)
	go func() { got <- r.do("POST", "/", "order") }()
	until(t, "it waits", func() bool { return r.control.Stats().Waiting == 1 })
	r.end()
	(<-got).want(t, 503, "*")
}
