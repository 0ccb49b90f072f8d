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
