//go:build linux

package network_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"godwit/internal/site/local/network"
)

// TestResetLeavesTheListener: a connection is ended at its end; where it has gone
// already, whoever listens at that address goes on listening, and there is no error.
func TestResetLeavesTheListener(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may end a socket of this network")
	}
	for name, multipath := range map[string]bool{"TCP": false, "multipath TCP": true} {
		var lc net.ListenConfig
		lc.SetMultipathTCP(multipath)
		ln, err := lc.Listen(context.Background(), "tcp4", "127.83.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		at := ln.Addr().(*net.TCPAddr).AddrPort()
		if err := network.ResetSocket(at, netip.MustParseAddrPort("127.83.0.9:9")); err != nil {
			t.Errorf("%s: a connection that is not there: %v", name, err)
		}
		client, err := net.Dial("tcp4", at.String())
		if err != nil {
			t.Fatalf("%s: nobody listens any more: %v", name, err)
		}
		defer client.Close()
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if err := network.ResetSocket(client.LocalAddr().(*net.TCPAddr).AddrPort(), at); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		client.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNABORTED) {
			t.Errorf("%s: the end was not ended: %v", name, err)
		}
	}
}
