//go:build unix

package watch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

const (
	// ask is how often a process is asked whether it lives, and question how long
	// its answer may take.
	ask      = 500 * time.Millisecond
	question = 1500 * time.Millisecond
	// patience is how long a process that has answered may be silent, firstPatience
	// one that has not answered yet. Of one silence there are misses at least: a
	// machine that slept has not been silent for hours.
	patience      = 4 * time.Second
	firstPatience = 15 * time.Second
	misses        = 3
)

// silence is what is known of a process that may hang.
type silence struct {
	pid      int
	since    time.Time // of its last answer, or of when it was first seen
	answered bool
	missed   int
}

// note takes in how a question ended at an instant, and reports whether the
// process hangs.
func (s *silence) note(pid int, err error, now time.Time) bool {
	if pid != s.pid || err == nil {
		*s = silence{pid: pid, since: now, answered: err == nil && pid != 0}
		return false
	}
	s.missed++
	limit := firstPatience
	if s.answered {
		limit = patience
	}
	return s.missed >= misses && now.Sub(s.since) >= limit
}

// replaceHung kills a role's process that does not answer; keep starts another.
func (w *Watch) replaceHung(ctx context.Context, r Role) {
	tick := time.NewTicker(ask)
	defer tick.Stop()
	var s silence
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		pid := w.Pid(r)
		if pid == 0 {
			s = silence{}
			continue
		}
		err := w.answers(ctx, r)
		if ctx.Err() != nil || !s.note(pid, err, time.Now()) {
			continue
		}
		w.log.Warn("it hangs; it is killed and replaced", "role", r, "pid", pid, "error", err)
		// Another watcher may have replaced it meanwhile: its successor is not meant.
		if err := w.SignalTo(r, pid, syscall.SIGKILL); err != nil {
			w.log.Error("what hangs cannot be killed", "role", r, "error", err)
		}
	}
}

// answers asks a role's process whether it lives.
func (w *Watch) answers(ctx context.Context, r Role) error {
	ctx, cancel := context.WithTimeout(ctx, question)
	defer cancel()
	switch r {
	case Engine:
		return healthy(ctx, w.APISocket(), Liveness)
	case Gateway:
		return healthy(ctx, w.AdminSocket(), "/healthz")
	}
	_, err := w.ids(ctx, r)
	return err
}

// Liveness is the path at which an engine says that it lives, also while it settles
// what the last one left.
const Liveness = "/livez"

// healthy asks over HTTP; whatever is answered comes from somebody
// who lives.
func healthy(ctx context.Context, socket, path string) error {
	conn, err := dial(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET " + path + " HTTP/1.0\r\nHost: godwit\r\n\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 16)
	n, err := conn.Read(answer)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(answer[:n]), "HTTP/1.") {
		return fmt.Errorf("it answers %q", answer[:n])
	}
	return nil
}

// dial connects; what is said on the connection has the deadline of ctx.
func dial(ctx context.Context, network, socket string) (*net.UnixConn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, socket)
	if err != nil {
		return nil, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(question)
	}
	return conn.(*net.UnixConn), errors.Join(conn.SetDeadline(deadline))
}
