//go:build unix

package probe

import (
	"errors"
	"net"
	"syscall"
)

// alive says whether an idle connection can still be used: the other side has
// neither closed it nor sent anything. It looks without waiting and without
// reading; a connection that can't be looked at counts as alive.
func alive(conn net.Conn) bool {
	looked, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := looked.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && quiet
}
