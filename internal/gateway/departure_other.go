//go:build !linux

package gateway

import (
	"net"
	"syscall"
)

// departure notices that a client has gone while its request's body is still
// unread. Here nothing tells; the hold's lease bounds the wait.
type departure struct {
	conn net.Conn
}

func (d departure) watch() (<-chan struct{}, func()) { return nil, func() {} }

// waitHungUp: here nothing tells a client that has gone from one that has only
// finished sending; it is taken for gone.
func waitHungUp(syscall.Conn) error { return nil }
