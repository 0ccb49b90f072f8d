package network

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// elementsAtOnce are what one message holds: a list of elements has at most 64 KiB.
	elementsAtOnce = 800
	// A batch is one transaction. The kernel answers each of its messages, and
	// has to have room for all answers at once; the batch itself has to fit into
	// the socket's send buffer, of which nobody can count on more than 200 KiB.
	messagesInBatch = 64
	elementsInBatch = 2 * elementsAtOnce
	answerBuffer    = 1 << 20
)

// writer collects changes and sends them in batches. A change that fits in one
// batch takes effect at one instant.
type writer struct {
	conn               *nftables.Conn
	messages, elements int // in the batch
	sent               int // elements of sets and rules in all
	err                error
}

// room makes sure that the next messages, which belong together, come into one batch.
func (w *writer) room(messages, elements int) {
	if w.messages+messages > messagesInBatch || w.elements+elements > elementsInBatch {
		w.flush()
	}
	w.messages, w.elements = w.messages+messages, w.elements+elements
	w.sent += max(1, elements)
}

func newWriter() (*writer, error) {
	conn, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		_ = c.SetReadBuffer(answerBuffer) // as much as this process may have: a batch fits without
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	return &writer{conn: conn}, nil
}

func (w *writer) flush() {
	if err := w.conn.Flush(); err != nil && w.err == nil {
		w.err = err
	}
	w.messages, w.elements = 0, 0
}

func (w *writer) note(err error) {
	if err != nil && w.err == nil {
		w.err = err
	}
}

func (w *writer) add(s *nftables.Set, elements []nftables.SetElement) {
	for chunk := range chunks(elements) {
		w.room(1, len(chunk))
		w.note(w.conn.SetAddElements(s, chunk))
	}
}

func (w *writer) remove(s *nftables.Set, elements []nftables.SetElement) {
	for chunk := range chunks(elements) {
		w.room(1, len(chunk))
		w.note(w.conn.SetDeleteElements(s, chunk))
	}
}

func chunks(all []nftables.SetElement) func(yield func([]nftables.SetElement) bool) {
	return func(yield func([]nftables.SetElement) bool) {
		for len(all) > 0 {
			n := min(len(all), elementsAtOnce)
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// generation is the number of the rules of the calling thread's network
// namespace: every change gives them another one, whoever makes it.
func generation() (uint32, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, fmt.Errorf("nftables: %w", err)
	}
	defer conn.Close()
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN, Flags: netlink.Request},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return 0, fmt.Errorf("nftables: generation of the rules: %w", err)
	}
	for _, a := range answers {
		attributes, err := netlink.NewAttributeDecoder(a.Data[4:])
		if err != nil {
			return 0, fmt.Errorf("nftables: generation of the rules: %w", err)
		}
		attributes.ByteOrder = binary.BigEndian
		for attributes.Next() {
			if attributes.Type() == unix.NFTA_GEN_ID {
				return attributes.Uint32(), nil
			}
		}
	}
	return 0, errors.New("nftables: the kernel does not say the generation of the rules")
}
