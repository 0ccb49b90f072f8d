package gateway

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/sockets"
)

// The hand-over of the listener, on a unix socket beside the admin socket:
//
//	new: connects; says "heir\n"
//	old: freezes its table; sends one byte with the clients' listening socket,
//	     and behind it, if it was given them, the admin API's and the lock of its
//	     role; then an estate as one line of JSON. Or 'N' and why not.
//	new: serves; sends "ready\n"
//	old: "yours\n"; accepts nothing more, finishes its requests, exits
//
// If the new one goes away before "ready", the old one goes on as if nothing
// had been. The connection stays open until the old one has finished: its end
// tells the new one that nothing is in flight elsewhere.

// estate is what a gateway passes on beside its listener.
type estate struct {
	Listen  string                           `json:"listen"`
	Table   Table                            `json:"table"`
	Traffic map[string]map[int]fleet.Traffic `json:"traffic"`
}

const (
	handoverGives   = 'F'
	handoverRefuses = 'N'
	// handoverPatience bounds how long a table stays frozen.
	handoverPatience = 5 * time.Second
)

// maxHeirs is how many may be connected without having said anything.
const maxHeirs = 256

func (c Config) handoverSocket() string { return cmp.Or(c.Handover, c.Admin+".handover") }

// heir is the new gateway's side.
type heir struct {
	estate
	listener net.Listener
	admin    *net.UnixListener // nil when the old gateway has made it itself
	lock     *os.File          // of the gateway's role; nil when nobody watches it
	conn     *net.UnixConn
	lines    *bufio.Reader
}

// takeOver asks a running gateway for its listener; nil when none runs.
func takeOver(ctx context.Context, socket string) (*heir, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("take over from the running gateway: %w", err)
	}
	h := &heir{conn: c.(*net.UnixConn)}
	if err := h.receive(); err != nil {
		h.close()
		return nil, fmt.Errorf("take over from the running gateway: %w", err)
	}
	return h, nil
}

func (h *heir) receive() error {
	if err := h.conn.SetDeadline(time.Now().Add(handoverPatience)); err != nil {
		return err
	}
	if _, err := io.WriteString(h.conn, "heir\n"); err != nil {
		return err
	}
	first, rights := make([]byte, 1), make([]byte, sockets.RightsSpace())
	n, oobn, _, _, err := h.conn.ReadMsgUnix(first, rights)
	if err != nil || n != 1 {
		return errors.Join(errors.New("it did not answer"), err)
	}
	h.lines = bufio.NewReader(h.conn)
	if first[0] != handoverGives {
		why, _ := io.ReadAll(io.LimitReader(h.lines, 4096))
		return fmt.Errorf("it refuses: %s", why)
	}
	if err := h.take(rights[:oobn]); err != nil {
		return err
	}
	line, err := h.lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, &h.estate)
}

// inherited are the names of what comes with the answer, by how much it is.
func inherited(came int) []string {
	all := []string{sockets.Admin, sockets.Clients, lockName}
	switch came {
	case 1:
		return all[1:2]
	case len(all):
		return all
	}
	return nil
}

// take takes what came with the answer.
func (h *heir) take(rights []byte) error {
	set, err := sockets.FromRights(rights, inherited)
	if err != nil {
		return fmt.Errorf("no listener came with the answer: %w", err)
	}
	defer set.Close()
	if h.listener, err = set.Listener(sockets.Clients); err != nil {
		return err
	}
	if h.admin, err = adminOf(set); err != nil {
		return err
	}
	h.lock, err = set.File(lockName)
	return err
}

// adminOf is the admin API's listener of a set; nil when there is none.
func adminOf(set *sockets.Set) (*net.UnixListener, error) {
	ln, err := set.Listener(sockets.Admin)
	if err != nil || ln == nil {
		return nil, err
	}
	admin, ok := ln.(*net.UnixListener)
	if !ok {
		ln.Close()
		return nil, errors.New("what should be the admin API's socket is none of the kind")
	}
	return admin, nil
}

// ready tells the old gateway that this one serves, and waits until it knows.
func (h *heir) ready() error {
	if _, err := io.WriteString(h.conn, "ready\n"); err != nil {
		return fmt.Errorf("tell the old gateway: %w", err)
	}
	if line, err := h.lines.ReadString('\n'); err != nil || line != "yours\n" {
		return fmt.Errorf("the old gateway did not let go: %q, %w", line, err)
	}
	return h.conn.SetDeadline(time.Time{})
}

// gone returns once the old gateway has finished, or the heir is closed.
func (h *heir) gone() { _, _ = io.Copy(io.Discard, h.lines) }

func (h *heir) close() {
	h.conn.Close()
	if h.listener != nil {
		h.listener.Close()
	}
	if h.admin != nil {
		h.admin.Close()
	}
}

// serveHandover answers would-be heirs until one has taken over, whose connection
// it returns, or the listener is closed. One that says nothing keeps nobody waiting.
func (s *Server) serveHandover() *net.UnixConn {
	var talks sync.WaitGroup
	defer talks.Wait()
	succeeded := make(chan *net.UnixConn, 1)
	crowd := sockets.NewCrowd(maxHeirs)
	for {
		conn, err := s.handover.AcceptUnix()
		if err != nil {
			if !crowd.Failed(err) {
				continue
			}
			select {
			case heir := <-succeeded:
				return heir
			default:
				return nil
			}
		}
		spoke := crowd.Enter(conn)
		talks.Go(func() {
			asked := asksForAll(conn)
			spoke()
			if !asked {
				conn.Close()
				return
			}
			if err := s.bequeath(conn); err != nil {
				s.cfg.Log.Warn("hand-over did not happen", "error", err)
				conn.Close()
				return
			}
			succeeded <- conn // once: the table is given away once
			s.handover.Close()
		})
	}
}

// asksForAll reads what an heir says first, byte by byte: the rest is for others.
func asksForAll(conn *net.UnixConn) bool {
	if err := conn.SetDeadline(time.Now().Add(handoverPatience)); err != nil {
		return false
	}
	said := make([]byte, len("heir\n"))
	_, err := io.ReadFull(conn, said)
	return err == nil && string(said) == "heir\n"
}

func (s *Server) bequeath(conn *net.UnixConn) error {
	if err := conn.SetDeadline(time.Now().Add(handoverPatience)); err != nil {
		return err
	}
	err := s.control.handOver(func(t Table, traffic map[string]map[int]fleet.Traffic) error {
		return s.giveListener(conn, estate{Listen: s.Addr(), Table: t, Traffic: traffic})
	})
	if err != nil {
		_, _ = conn.Write(append([]byte{handoverRefuses}, err.Error()...)) // useless but harmless after 'F'
		return err
	}
	// From here on the heir owns the table, whether or not it hears of it.
	_, _ = io.WriteString(conn, "yours\n")
	return nil
}

func (s *Server) giveListener(conn *net.UnixConn, e estate) error {
	will, err := json.Marshal(e)
	if err != nil {
		return err
	}
	all, err := s.possessions()
	if err != nil {
		return err
	}
	defer all.Close()
	rights, _, sent, err := all.Rights()
	if err != nil {
		return err
	}
	defer sent()
	if _, _, err := conn.WriteMsgUnix([]byte{handoverGives}, rights, nil); err != nil {
		return err
	}
	if _, err := conn.Write(append(will, '\n')); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || line != "ready\n" {
		return fmt.Errorf("the new gateway did not get ready: %q, %w", line, err)
	}
	return nil
}

// lockName is what the lock of the gateway's role is called among what it passes on.
const lockName = "lock"

// possessions are what an heir gets.
func (s *Server) possessions() (*sockets.Set, error) {
	all := &sockets.Set{}
	err := all.Keep(sockets.Clients, s.listener.(syscall.Conn))
	if err == nil && s.given {
		err = errors.Join(all.Keep(sockets.Admin, s.admin), all.Keep(lockName, s.lock))
	}
	if err != nil {
		all.Close()
	}
	return all, err
}
