package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
	"golang.org/x/sys/unix"
)

// The kernel's states of a TCP socket.
const (
	established = 1
	listening   = 10
)

// userOf is whose socket it is that is bound to local and connected to remote, in
// the network of this process. One that nobody holds open any more is nobody's.
func userOf(local, remote netip.AddrPort) (int, error) {
	s, err := socketOf(local, remote)
	if err != nil {
		return 0, err
	}
	if s.state == listening || s.inode == 0 {
		return 0, errors.New("whoever connected has left")
	}
	return s.user, nil
}

// listenerAt is who listens at an address of this machine.
func listenerAt(at netip.AddrPort) (int, error) {
	nobody := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	if at.Addr().Is6() {
		nobody = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	}
	s, err := socketOf(at, nobody)
	if err == nil && s.state != listening {
		err = errors.New("nobody listens there")
	}
	return s.user, err
}

type socket struct {
	state byte
	user  int
	inode uint32
}

// socketOf asks the kernel for one socket (sock_diag(7)).
func socketOf(local, remote netip.AddrPort) (socket, error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return socket{}, err
	}
	defer conn.Close()
	const byFamily = 20 // SOCK_DIAG_BY_FAMILY
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: byFamily, Flags: netlink.Request},
		Data:   question(local, remote),
	})
	if err != nil {
		return socket{}, fmt.Errorf("look for the socket of %s: %w", local, err)
	}
	// struct inet_diag_msg: 4 bytes, the id, then expires, rqueue, wqueue, uid, inode.
	const state, user, inode = 1, 4 + 48 + 12, 4 + 48 + 16
	if len(answers) != 1 || len(answers[0].Data) < inode+4 {
		return socket{}, fmt.Errorf("look for the socket of %s: %d answers", local, len(answers))
	}
	data := answers[0].Data
	return socket{state: data[state], user: int(nlenc.Uint32(data[user : user+4])), inode: nlenc.Uint32(data[inode : inode+4])}, nil
}

// question is a struct inet_diag_req_v2 for exactly this socket.
func question(local, remote netip.AddrPort) []byte {
	family := byte(unix.AF_INET)
	if local.Addr().Is6() {
		family = unix.AF_INET6
	}
	q := append([]byte{family, unix.IPPROTO_TCP, 0, 0}, nlenc.Uint32Bytes(^uint32(0))...)
	q = binary.BigEndian.AppendUint16(q, local.Port())
	q = binary.BigEndian.AppendUint16(q, remote.Port())
	for _, a := range []netip.Addr{local.Addr(), remote.Addr()} {
		var field [16]byte
		copy(field[:], a.AsSlice())
		q = append(q, field[:]...)
	}
	q = append(q, nlenc.Uint32Bytes(0)...)                                                       // any interface
	return append(q, append(nlenc.Uint32Bytes(^uint32(0)), nlenc.Uint32Bytes(^uint32(0))...)...) // no cookie
}
