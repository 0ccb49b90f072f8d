package gateway

import (
	"net"
	"testing"
)

// TestThirdWaitsForTheSecond: when the old gateway has let go and the new one's
// sockets are not in place yet, nobody seems to run. Another one waits then, and
// takes over from the new one.
func TestThirdWaitsForTheSecond(t *testing.T) {
	t.Parallel()
	first := start(t)
	cfg := first.cfg
	cfg.Listen = first.Addr()
	second, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer second.closeSockets()
	if err := second.heir.ready(); err != nil {
		t.Fatal(err)
	}
	for conn, err := net.Dial("unix", cfg.handoverSocket()); err == nil; conn, err = net.Dial("unix", cfg.handoverSocket()) {
		conn.Close() // until nobody listens there
	}
	third := make(chan *Server)
	began := make(chan struct{})
	go func() {
		close(began)
		s, err := New(cfg)
		if err != nil {
			t.Error(err)
		}
		third <- s
	}()
	<-began
	select {
	case <-third:
		t.Fatal("it did not wait")
	default:
	}
	if err := second.settle(); err != nil {
		t.Fatal(err)
	}
	heir := make(chan *net.UnixConn)
	go func() { heir <- second.serveHandover() }()
	s := <-third
	if s == nil || s.heir == nil {
		t.Fatal("it took over from nobody")
	}
	if err := s.heir.ready(); err != nil {
		t.Error(err)
	}
	(<-heir).Close()
	s.closeSockets()
}
