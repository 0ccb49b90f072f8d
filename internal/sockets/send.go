//go:build unix

package sockets

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

const (
	// most is how many sockets are sent at once.
	most = 16
	// longestMessage is what Receive reads.
	longestMessage = 4096
)

// message is one datagram: what is said, and the names of the sockets with it.
type message struct {
	Text  json.RawMessage `json:"text"`
	Names []string        `json:"names,omitempty"`
}

// Send says something and sends sockets with it; nil for none. The connection
// keeps the borders of messages (SOCK_SEQPACKET).
func Send(conn *net.UnixConn, say any, with *Set) error {
	text, err := json.Marshal(say)
	if err != nil {
		return err
	}
	m := message{Text: text}
	var rights []byte
	if with != nil {
		var done func()
		if rights, m.Names, done, err = with.Rights(); err != nil {
			return err
		}
		defer done()
	}
	bytes, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, _, err = conn.WriteMsgUnix(bytes, rights, nil)
	return err
}

// Rights are the sockets of a set as the kernel passes them on, in the order of
// their names; done is called once they are sent.
func (s *Set) Rights() (rights []byte, names []string, done func(), err error) {
	copies, err := s.only(func(string) bool { return true })
	if err != nil {
		return nil, nil, nil, err
	}
	names = copies.Names()
	if len(names) > most {
		copies.Close()
		return nil, nil, nil, fmt.Errorf("%d sockets at once; at most %d can be sent", len(names), most)
	}
	if len(names) == 0 {
		return nil, nil, copies.Close, nil
	}
	var fds []int
	for _, name := range names {
		fds = append(fds, int(copies.files[name].Fd())) // adopt has seen to its mode
	}
	return unix.UnixRights(fds...), names, copies.Close, nil
}

// RightsSpace is what Rights take at most.
func RightsSpace() int { return unix.CmsgSpace(4 * most) }

// FromRights is the set that came as rights. name tells, by how many came, what
// each of them is; nil when that cannot be.
func FromRights(rights []byte, name func(came int) []string) (*Set, error) {
	fds := Descriptors(rights)
	names := name(len(fds))
	if len(names) != len(fds) {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("%d sockets came", len(fds))
	}
	set := &Set{}
	for i, fd := range fds {
		f, err := adopt(fd, names[i])
		if err != nil {
			for _, rest := range fds[i+1:] {
				unix.Close(rest)
			}
			set.Close()
			return nil, err
		}
		set.put(names[i], f)
	}
	return set, nil
}

// Receive is the other side of Send.
func Receive(conn *net.UnixConn, say any) (*Set, error) {
	bytes, rights := make([]byte, longestMessage), make([]byte, RightsSpace())
	n, oobn, flags, _, err := conn.ReadMsgUnix(bytes, rights)
	if err != nil {
		return nil, err
	}
	var m message
	if n > 0 {
		err = json.Unmarshal(bytes[:n], &m)
	}
	set, failed := FromRights(rights[:oobn], func(int) []string { return m.Names })
	switch {
	case n == 0:
		err = errors.New("it closed the connection")
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		err = errors.New("what it sends is too long")
	case err == nil && failed != nil:
		err = failed
	case err == nil:
		err = json.Unmarshal(m.Text, say)
	}
	if err != nil {
		if set != nil {
			set.Close()
		}
		return nil, err
	}
	return set, nil
}

// Descriptors are those in a control message, closed in programs that this one
// executes. The caller closes them.
func Descriptors(oob []byte) []int {
	var fds []int
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if rights, err := unix.ParseUnixRights(&m); err == nil {
			fds = append(fds, rights...)
		}
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	return fds
}
