package relay

import (
	"net"
	"testing"
	"time"
)

// TestPortTakenForAMoment: the port of a relay that died may be somebody's
// outgoing connection for a moment.
func TestPortTakenForAMoment(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = taken.Close() })
	l, err := listenHost(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if l.Addr().String() != taken.Addr().String() {
		t.Errorf("it listens at %v", l.Addr())
	}
	_ = l.Close()
}

// TestPortTakenForGood: another one is taken, and said.
func TestPortTakenForGood(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := config(t)
	cfg.ListenHost = taken.Addr().String()
	openDoor(t, cfg.Door)
	r := start(t, cfg)
	<-r.Ready()
	if r.HostAddr() == cfg.ListenHost {
		t.Fatal("it says that it has the port that somebody else has")
	}
	exchange(t, r.HostAddr(), "target")
}
