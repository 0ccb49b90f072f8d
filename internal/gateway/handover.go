package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"godwit/internal/fleet"
)

// The hand-over of the listener, on a unix socket beside the admin socket:
//
//	new: connects
//	old: freezes its table; sends one byte with the listening socket, then an
//	     estate as one line of JSON. Or 'N' and why not.
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

func handoverSocket(admin string) string { return admin + ".handover" }

// heir is the new gateway's side.
type heir struct {
	estate
	listener net.Listener
	conn     *net.UnixConn
	lines    *bufio.Reader
}

// takeOver asks a running gateway for its listener; nil when none runs.
func takeOver(ctx context.Context, admin string) (*heir, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", handoverSocket(admin))
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
	first, rights := make([]byte, 1), make([]byte, syscall.CmsgSpace(4))
	n, oobn, _, _, err := h.conn.ReadMsgUnix(first, rights)
	if err != nil || n != 1 {
		return errors.Join(errors.New("it did not answer"), err)
	}
	h.lines = bufio.NewReader(h.conn)
	if first[0] != handoverGives {
		why, _ := io.ReadAll(io.LimitReader(h.lines, 4096))
		return fmt.Errorf("it refuses: %s", why)
	}
	if h.listener, err = receivedListener(rights[:oobn]); err != nil {
		return err
	}
	line, err := h.lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, &h.estate)
}

func receivedListener(rights []byte) (net.Listener, error) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("no listener came with the answer"), err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("no listener came with the answer"), err)
	}
	syscall.CloseOnExec(fds[0])
	f := os.NewFile(uintptr(fds[0]), "listener")
	defer f.Close()
	return net.FileListener(f)
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
}

// serveHandover answers would-be heirs until one has taken over, whose
// connection it returns, or the listener is closed.
func (s *Server) serveHandover() *net.UnixConn {
	for {
		conn, err := s.handover.AcceptUnix()
		if err != nil {
			return nil
		}
		err = s.bequeath(conn)
		if err == nil {
			return conn
		}
		s.cfg.Log.Warn("hand-over did not happen", "error", err)
		conn.Close()
	}
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
	raw, err := s.listener.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Control(func(fd uintptr) {
		_, _, sendErr = conn.WriteMsgUnix([]byte{handoverGives}, syscall.UnixRights(int(fd)), nil)
	})
	if err = errors.Join(err, sendErr); err != nil {
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
