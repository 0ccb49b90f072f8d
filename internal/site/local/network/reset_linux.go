package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// stateListen is the kernel's number for a socket that listens.
const stateListen = 10

// ResetSocket ends a connection at the end that is in the calling thread's
// network namespace. No error when it is not open, nor when the kernel cannot do
// that: then that end learns it from the reset that answers its next packet.
//
// The kernel takes the listener at that address for the connection when that has
// gone, and would end it in its place: so the connection is looked for first, and
// what is ended is that very socket.
func ResetSocket(local, remote netip.AddrPort) error {
	state, cookie, err := look(local, remote)
	if err == nil && state != stateListen {
		request := nl.NewNetlinkRequest(nl.SOCK_DESTROY, unix.NLM_F_ACK)
		request.AddRawData(oneSocket(local, remote, cookie))
		_, err = request.Execute(unix.NETLINK_INET_DIAG, 0)
	}
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return fmt.Errorf("end the connection of %s with %s: %w", local, remote, err)
}

// look asks for a socket's state, and for what names it for good.
func look(local, remote netip.AddrPort) (state byte, cookie []byte, err error) {
	request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, 0)
	request.AddRawData(oneSocket(local, remote, anyCookie))
	answers, err := request.Execute(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY)
	if err != nil {
		return 0, nil, err
	}
	// struct inet_diag_msg: family, state, two bytes, the ports, two addresses, the link.
	const stateAt, cookieAt, cookieEnd = 1, 4 + 4 + 32 + 4, 4 + 4 + 32 + 4 + 8
	if len(answers) != 1 || len(answers[0]) < cookieEnd {
		return 0, nil, fmt.Errorf("%d answers to one question", len(answers))
	}
	return answers[0][stateAt], answers[0][cookieAt:cookieEnd], nil
}

// anyCookie is for a socket that is not known yet.
var anyCookie = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// oneSocket is the kernel's struct inet_diag_req_v2 for a socket of IPv4.
func oneSocket(local, remote netip.AddrPort, cookie []byte) []byte {
	q := []byte{unix.AF_INET, unix.IPPROTO_TCP, 0, 0}
	q = binary.NativeEndian.AppendUint32(q, ^uint32(0)) // in any state
	q = binary.BigEndian.AppendUint16(q, local.Port())
	q = binary.BigEndian.AppendUint16(q, remote.Port())
	for _, a := range []netip.Addr{local.Addr(), remote.Addr()} {
		var field [16]byte
		copy(field[:], a.AsSlice())
		q = append(q, field[:]...)
	}
	q = binary.NativeEndian.AppendUint32(q, 0) // over any link
	return append(q, cookie...)
}
