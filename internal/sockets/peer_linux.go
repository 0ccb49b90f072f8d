package sockets

import (
	"net"

	"golang.org/x/sys/unix"
)

// peer is the user at the other end of a unix socket; -1 of one that is none.
func peer(conn net.Conn) int {
	local, ok := conn.(*net.UnixConn)
	if !ok {
		return -1
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return -1
	}
	id := -1
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			id = int(cred.Uid)
		}
	})
	return id
}
