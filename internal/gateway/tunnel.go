package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// tunnel is an upgraded connection: bytes both ways until one side ends, or until
// it is ended. Then a WebSocket's sides get a close frame where a frame may stand.
type tunnel struct {
	client    net.Conn
	server    net.Conn
	websocket bool
	ending    atomic.Bool
}

const (
	// farewellTime bounds the rest of a frame, and the close frame behind it.
	farewellTime = 250 * time.Millisecond
	// lingerTime and lingerBytes are what a client gets to see what it was told last.
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// Close frames: to the client 1012, "service restart", after which it connects
// again; to the instance 1001, "going away", masked, as all that clients send.
var (
	closeToClient = []byte{0x88, 2, 1012 >> 8, 1012 & 0xff}
	closeToServer = []byte{0x88, 0x80 | 2, 0, 0, 0, 0, 1001 >> 8, 1001 & 0xff}
)

// end makes both directions stop. It does not wait.
func (t *tunnel) end() {
	if t.ending.Swap(true) {
		return
	}
	past, soon := time.Unix(1, 0), time.Now().Add(farewellTime)
	for _, c := range []net.Conn{t.client, t.server} {
		c.SetWriteDeadline(soon)
		c.SetReadDeadline(past)
	}
}

// tunnel passes an upgraded connection through until it ends.
func (p *proxy) tunnel(w http.ResponseWriter, f *flight, res *http.Response) error {
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
	if f.conn != nil {
		f.conn.upgraded()
	}
	if err := client.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if err := writeSwitching(rw.Writer, res); err != nil {
		return nil // the client has gone
	}
	t := &tunnel{client: client, server: up.conn, websocket: strings.EqualFold(res.Header.Get("Upgrade"), "websocket")}
	if !f.enterTunnel(t) {
		t.end()
	}
	t.join(f, rw.Reader, up.reader)
	if t.ending.Load() {
		up.Close()
		f.leave() // nothing reaches the instance any more
		client.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.Copy(io.Discard, struct{ io.Reader }{client})
	}
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

// join copies both ways, passes each end of stream on, and returns when both
// directions have ended.
func (t *tunnel) join(f *flight, fromClient, fromServer *bufio.Reader) {
	up := pour{tunnel: t, to: t.server, from: t.client, count: &f.up, farewell: closeToServer}
	down := pour{tunnel: t, to: t.client, from: t.server, count: &f.down, farewell: closeToClient}
	var both sync.WaitGroup
	both.Go(func() { up.run(fromClient) })
	down.run(fromServer)
	both.Wait()
}

// pour is one direction.
type pour struct {
	*tunnel
	to, from net.Conn
	count    *atomic.Int64
	farewell []byte
	frames   frames
}

var errPassOn = errors.New("pass on")

// pourBuffers are small: an idle tunnel keeps two.
var pourBuffers = sync.Pool{New: func() any { b := make([]byte, 8<<10); return &b }}

func (p *pour) run(buffered *bufio.Reader) {
	buf := pourBuffers.Get().(*[]byte)
	defer pourBuffers.Put(buf)
	var err error
	if n := buffered.Buffered(); n > 0 {
		there, _ := buffered.Peek(n)
		err = p.pass(there)
	}
	for err == nil {
		err = p.step(*buf)
	}
	if p.ending.Load() {
		p.bid(*buf, !errors.Is(err, errPassOn)) // the instance may have ended first: its side was told already
		return
	}
	half, ok := p.to.(interface{ CloseWrite() error })
	if err != io.EOF || !ok || half.CloseWrite() != nil {
		p.to.Close()
		p.from.Close()
	}
}

func (p *pour) step(buf []byte) error {
	n, err := p.from.Read(buf)
	if werr := p.pass(buf[:n]); werr != nil {
		return werr
	}
	return err
}

func (p *pour) pass(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if p.websocket {
		p.frames.pass(b)
	}
	p.count.Add(int64(len(b)))
	_, err := p.to.Write(b)
	if err != nil {
		return fmt.Errorf("%w: %w", errPassOn, err) // whatever it is, not the end of a stream
	}
	return nil
}

// bid lets a frame that has begun end, and says farewell behind it, if all that
// was read has been passed on.
func (p *pour) bid(buf []byte, whole bool) {
	if p.websocket && whole {
		p.to.SetWriteDeadline(time.Now().Add(farewellTime))
		p.from.SetReadDeadline(time.Now().Add(farewellTime))
		for whole && !p.frames.between() {
			whole = p.step(buf[:min(uint64(len(buf)), p.frames.want())]) == nil
		}
		if whole {
			_, _ = p.to.Write(p.farewell)
		}
	}
	if half, ok := p.to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// frames follows where the frames of a WebSocket begin and end: a head of 2 to
// 14 bytes, which says how much comes behind it.
type frames struct {
	head [14]byte
	have int    // bytes of head
	left uint64 // bytes of the rest that are still to come
}

// size of the head, as far as it is known; at least 2.
func (f *frames) size() int {
	n := 2
	if f.have < n {
		return n
	}
	switch f.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.head[1]&0x80 != 0 {
		n += 4
	}
	return n
}

func (f *frames) length() uint64 {
	var digits []byte
	switch n := f.head[1] & 0x7f; n {
	case 126:
		digits = f.head[2:4]
	case 127:
		digits = f.head[2:10]
	default:
		return uint64(n)
	}
	var length uint64
	for _, d := range digits {
		length = length<<8 | uint64(d)
	}
	return length
}

func (f *frames) pass(b []byte) {
	for len(b) > 0 {
		if f.left > 0 {
			n := min(f.left, uint64(len(b)))
			f.left, b = f.left-n, b[n:]
			continue
		}
		n := copy(f.head[f.have:f.size()], b)
		f.have, b = f.have+n, b[n:]
		if f.have == f.size() {
			f.left, f.have = f.length(), 0
		}
	}
}

// between: all that came are whole frames.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 }

// want is how many bytes certainly belong to the frame that has begun.
func (f *frames) want() uint64 {
	if f.left > 0 {
		return f.left
	}
	return uint64(f.size() - f.have)
}
