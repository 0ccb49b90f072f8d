package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// tunnel is an upgraded connection: bytes both ways until one side ends.
type tunnel struct {
	lane    *lane
	pool    *pool
	release int
	client  net.Conn
	server  net.Conn
}

func (t *tunnel) close() {
	t.client.Close()
	t.server.Close()
}

// tunnels are those that exist now, and what is said of those to come.
type tunnels struct {
	mu      sync.Mutex
	all     map[*tunnel]struct{}
	curfews map[*curfew]struct{}
}

// curfew, from when it begins, allows no matching tunnel.
type curfew struct {
	match func(*tunnel) bool
	begun bool
}

// add notes a tunnel; one that comes after its curfew is closed at once.
func (ts *tunnels) add(t *tunnel) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.all == nil {
		ts.all = map[*tunnel]struct{}{}
	}
	ts.all[t] = struct{}{}
	for c := range ts.curfews {
		if c.begun && c.match(t) {
			t.close()
		}
	}
}

func (ts *tunnels) remove(t *tunnel) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.all, t)
}

// closeAfter closes the matching tunnels after grace, also those that come later,
// until lifted.
func (ts *tunnels) closeAfter(grace time.Duration, match func(*tunnel) bool) (lift func()) {
	c := &curfew{match: match}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.curfews == nil {
		ts.curfews = map[*curfew]struct{}{}
	}
	ts.curfews[c] = struct{}{}
	timer := time.AfterFunc(grace, func() { ts.begin(c) })
	return func() {
		timer.Stop()
		ts.mu.Lock()
		defer ts.mu.Unlock()
		delete(ts.curfews, c)
	}
}

func (ts *tunnels) begin(c *curfew) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	c.begun = true
	for t := range ts.all {
		if c.match(t) {
			t.close()
		}
	}
}

// tunnel passes an upgraded connection through until it ends.
func (p *proxy) tunnel(w http.ResponseWriter, pass passage, release int, res *http.Response) error {
	up, ok := res.Body.(*upgraded)
	if !ok {
		return errors.New("the instance switched protocols, but its connection cannot be passed on")
	}
	defer up.Close()
	client, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("take over the client's connection: %w", err)
	}
	defer client.Close()
	if err := client.SetDeadline(time.Time{}); err != nil {
		return err
	}
	t := &tunnel{lane: pass.lane, pool: pass.pool, release: release, client: client, server: up.conn}
	p.control.tunnels.add(t)
	defer p.control.tunnels.remove(t)
	if err := writeSwitching(rw.Writer, res); err != nil {
		return err
	}
	joinConns(t, rw.Reader, up.reader)
	return nil
}

func writeSwitching(w *bufio.Writer, res *http.Response) error {
	fmt.Fprintf(w, "HTTP/1.1 101 Switching Protocols\r\n")
	h := http.Header{}
	copyResponseHeader(h, res.Header)
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", res.Header.Get("Upgrade"))
	if err := h.Write(w); err != nil {
		return err
	}
	w.WriteString("\r\n")
	return w.Flush()
}

// joinConns copies both ways, passes each end of stream on, and returns when
// both directions have ended.
func joinConns(t *tunnel, fromClient, fromServer *bufio.Reader) {
	var up sync.WaitGroup
	up.Go(func() { pour(t.server, t.client, fromClient) })
	pour(t.client, t.server, fromServer)
	up.Wait()
}

// pour copies what is buffered and then straight from socket to socket, so that
// the kernel may splice. An error ends both directions.
func pour(to, from net.Conn, buffered *bufio.Reader) {
	var err error
	if n := buffered.Buffered(); n > 0 {
		_, err = io.CopyN(to, buffered, int64(n))
	}
	if err == nil {
		_, err = io.Copy(to, from)
	}
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		to.Close()
		from.Close()
	}
}
