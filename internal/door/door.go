// Package door passes sockets through the wall around an environment. The
// process that owns the environment serves a unix socket; whoever may open that
// socket asks for a connection to, or a listener at, an address inside and
// receives the socket itself. What may be asked for is the Opener's decision,
// so a gateway needs no privilege and reaches nothing that was not declared.
//
// Wire format: the client sends one line, "dial NETWORK ADDRESS" or
// "listen ADDRESS"; the answer is one status byte with the socket attached
// (ok), or the status byte and a text (refused). One request per connection.
//
// It imports only sockets of godwit and may be imported by gateway, relay, the local
// site and the engine.
package door

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// ErrRefused means that the door answered and said no: the address is not
// reachable, or not allowed. The text says why.
var ErrRefused = errors.New("refused by the door")

// Opener opens sockets inside. Its errors travel to the client as text.
type Opener interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	Listen(ctx context.Context, address string) (net.Listener, error)
}

const (
	statusOK      = 0
	statusRefused = 1

	maxRequest = 512
	maxAnswer  = 1024
	// openTimeout bounds what one request may take inside when its client
	// sets no deadline of its own.
	openTimeout = 10 * time.Second
)

// Dial connects to an address inside through the door at socket. network is
// "tcp". Errors: ErrRefused when the door said no; otherwise the door itself
// could not be reached.
func Dial(ctx context.Context, socket, network, address string) (net.Conn, error) {
	f, err := request(ctx, socket, fmt.Sprintf("dial %s %s\n", network, address))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("door %s: received socket for %s: %w", socket, address, err)
	}
	return conn, nil
}

// Listen returns a TCP listener at an address inside. The listener belongs to
// the caller and outlives the door's process only as long as its network does.
func Listen(ctx context.Context, socket, address string) (net.Listener, error) {
	f, err := request(ctx, socket, fmt.Sprintf("listen %s\n", address))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("door %s: received listener for %s: %w", socket, address, err)
	}
	return ln, nil
}
