//go:build unix

package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sys/unix"

	"godwit/internal/sockets"
)

// What a watchdog is asked on its socket, which keeps the borders of messages:
//
//	look: which sockets it keeps
//	keep: to keep the sockets that come with it, and no others
//	take: to send what it keeps
const (
	opLook = "look"
	opKeep = "keep"
	opTake = "take"
)

type request struct {
	Op string `json:"op"`
}

type reply struct {
	Sockets map[string]uint64 `json:"sockets"` // their identities
	Error   string            `json:"error,omitempty"`
}

// watchdogs are the roles that keep sockets for others.
var watchdogs = []Role{First, Second}

// Share has the watchdogs that run keep what this process keeps.
func (w *Watch) Share(ctx context.Context) {
	for _, r := range watchdogs {
		if w.Pid(r) == 0 {
			continue // whoever starts it gives it everything
		}
		if err := w.shareWith(ctx, r); err != nil && ctx.Err() == nil {
			w.log.Warn("a watchdog does not keep the sockets yet", "watchdog", r, "error", err)
		}
	}
}

// agreement bounds how long Agree waits for the watchdogs.
const agreement = 10 * time.Second

// Agree is Share that fails as long as a watchdog keeps something else: it could
// start what nobody wants any more.
func (w *Watch) Agree(ctx context.Context) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		w.Share(ctx)
		for _, r := range watchdogs {
			if !w.Running(r) {
				continue
			}
			ids, err := w.ids(ctx, r)
			if err == nil && !maps.Equal(ids, w.Sockets.Identities()) {
				err = errors.New("it keeps other sockets")
			}
			if err != nil {
				return struct{}{}, fmt.Errorf("watchdog %s: %w", r, err)
			}
		}
		return struct{}{}, nil
	}, backoff.WithBackOff(backoff.NewConstantBackOff(20*time.Millisecond)), backoff.WithMaxElapsedTime(agreement))
	return err
}

// End is the end of everything: nothing is wanted, and nothing is kept. The
// process that calls it ends next, and the watchdogs with it.
func (w *Watch) End(ctx context.Context) error {
	err := w.Unwant()
	w.Sockets.Close()
	err = errors.Join(err, w.Agree(ctx))
	for _, path := range []string{w.watchdog(First), w.watchdog(Second), w.APISocket()} {
		if failed := os.Remove(path); failed != nil && !errors.Is(failed, fs.ErrNotExist) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// KeepShared shares again and again until ctx ends: a watchdog may have been
// started by the other one from what was kept a moment ago.
func (w *Watch) KeepShared(ctx context.Context) {
	for ctx.Err() == nil {
		w.Share(ctx)
		sleep(ctx, ask)
	}
}

func (w *Watch) shareWith(ctx context.Context, r Role) error {
	ids, err := w.ids(ctx, r)
	if err != nil || maps.Equal(ids, w.Sockets.Identities()) {
		return err
	}
	_, err = w.call(ctx, r, opKeep, w.Sockets, nil)
	return err
}

// ids are the identities of what a watchdog keeps.
func (w *Watch) ids(ctx context.Context, r Role) (map[string]uint64, error) {
	return w.call(ctx, r, opLook, nil, nil)
}

// Take gets the sockets that a watchdog keeps, for an engine that nobody gave
// them; none when no watchdog runs.
func (w *Watch) Take(ctx context.Context) {
	for _, r := range watchdogs {
		if w.Pid(r) == 0 {
			continue
		}
		got := &sockets.Set{}
		if _, err := w.call(ctx, r, opTake, nil, got); err != nil {
			w.log.Warn("a watchdog does not give its sockets", "watchdog", r, "error", err)
			continue
		}
		w.Sockets.Become(got)
		return
	}
}

func (w *Watch) call(ctx context.Context, r Role, op string, with, into *sockets.Set) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, question)
	defer cancel()
	conn, err := dial(ctx, "unixpacket", w.watchdog(r))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := sockets.Send(conn, request{op}, with); err != nil {
		return nil, err
	}
	var answer reply
	got, err := sockets.Receive(conn, &answer)
	if err != nil {
		return nil, fmt.Errorf("%s of watchdog %s: %w", op, r, err)
	}
	if into == nil {
		got.Close()
	} else {
		into.Become(got)
	}
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return answer.Sockets, nil
}

// Open opens the sockets of the watchdogs, unless they are kept already.
func (w *Watch) Open() error {
	for _, r := range watchdogs {
		if w.Sockets.Has(string(r)) {
			continue
		}
		if err := w.Listen("unixpacket", string(r), w.watchdog(r)); err != nil {
			return err
		}
	}
	return nil
}

// Listen listens at a unix socket that only this user may open, in place of what
// a dead process left, and keeps it.
func (w *Watch) Listen(network, name, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The mode of the socket becomes that of the file; the mask would be everybody's.
	private := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.Fchmod(int(fd), 0o600) })
	}}
	ln, err := private.Listen(context.Background(), network, path)
	if err != nil {
		return err
	}
	defer ln.Close()
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	return w.Sockets.Keep(name, ln.(*net.UnixListener))
}

// serve answers at a watchdog's socket until it is closed.
func (w *Watch) serve(ln net.Listener) {
	var talks sync.WaitGroup
	defer talks.Wait()
	room := make(chan struct{}, 64)
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, most likely
			w.log.Warn("the watchdog's socket", "error", err)
			sleep(context.Background(), look)
			continue
		}
		room <- struct{}{}
		talks.Go(func() {
			defer func() { <-room }()
			defer conn.Close()
			if err := w.talk(conn.(*net.UnixConn)); err != nil {
				w.log.Warn("the watchdog's socket", "error", err)
			}
		})
	}
}

func (w *Watch) talk(conn *net.UnixConn) error {
	if err := conn.SetDeadline(time.Now().Add(question)); err != nil {
		return err
	}
	var asked request
	got, err := sockets.Receive(conn, &asked)
	if err != nil {
		return err
	}
	defer got.Close()
	var answer reply
	var with *sockets.Set
	switch asked.Op {
	case opLook:
	case opKeep:
		w.Sockets.Become(got)
	case opTake:
		with = w.Sockets
	default:
		answer.Error = fmt.Sprintf("a watchdog knows no %q", asked.Op)
	}
	answer.Sockets = w.Sockets.Identities()
	return sockets.Send(conn, answer, with)
}
