package probe

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"godwit/internal/landscape"
)

// tills is a probe with two reads for each write.
func tills() landscape.Probe {
	return landscape.Probe{Name: "tills", Requests: []landscape.ProbeRequest{
		{Name: "order", Method: "POST", Path: "/orders", Body: `{"key":"{{key}}"}`, Weight: 1, Ledger: "orders"},
		{Name: "menu", Method: "GET", Path: "/menu", Weight: 2},
	}}
}

// wire is a network in memory, for tests in a synctest bubble.
type wire struct {
	incoming chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.incoming:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error   { w.once.Do(func() { close(w.closed) }); return nil }
func (w *wire) Addr() net.Addr { return &net.TCPAddr{} }

func (w *wire) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case w.incoming <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve answers on a wire until the test ends; call the returned function
// inside the bubble to end it.
func serve(t *testing.T, handler http.HandlerFunc) (dial func(context.Context, string, string) (net.Conn, error), stop func()) {
	t.Helper()
	w := &wire{incoming: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // from then on the server notices a client that leaves
		handler(w, r)
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(w) }()
	return w.Dial, func() { _ = server.Close(); <-done }
}
