//go:build unix

package door

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"godwit/internal/sockets"
)

// maxSilent is how many clients may be connected that have not asked yet. One more
// takes the place of the one that has been silent for longest.
const maxSilent = 256

// Serve answers requests on ln until ctx ends or ln is closed, then waits for
// the requests under way. It closes ln. Whatever clients do, the door goes on: an
// environment ends with it.
func Serve(ctx context.Context, ln *net.UnixListener, o Opener) error {
	ctx, cancel := context.WithCancel(ctx)
	var requests sync.WaitGroup
	defer requests.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	crowd := sockets.NewCrowd(maxSilent)
	for {
		conn, err := ln.AcceptUnix()
		if err != nil {
			if crowd.Failed(err) {
				return nil
			}
			continue
		}
		spoke := crowd.Enter(conn)
		requests.Go(func() {
			defer conn.Close()
			answer(ctx, conn, o, spoke)
		})
	}
}

func answer(ctx context.Context, conn *net.UnixConn, o Opener, spoke func()) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	// The client says nothing more: the end of its stream means that it left.
	line, err := bufio.NewReader(io.LimitReader(conn, maxRequest)).ReadString('\n')
	spoke()
	if err != nil {
		return
	}
	f, err := open(ctx, o, strings.Fields(line))
	if err != nil {
		text := err.Error()
		conn.Write(append([]byte{statusRefused}, text[:min(len(text), maxAnswer-1)]...))
		return
	}
	defer f.Close()
	conn.SetWriteDeadline(time.Now().Add(openTimeout))
	conn.WriteMsgUnix([]byte{statusOK}, unix.UnixRights(int(f.Fd())), nil)
}

// open returns a descriptor of its own for the socket that was asked for; the
// socket that Go's poller knew is closed.
func open(ctx context.Context, o Opener, words []string) (*os.File, error) {
	switch {
	case len(words) == 3 && words[0] == "dial":
		c, err := o.Dial(ctx, words[1], words[2])
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return duplicate(c)
	case len(words) == 2 && words[0] == "listen":
		ln, err := o.Listen(ctx, words[1])
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		return duplicate(ln)
	}
	return nil, errors.New("a request is: dial tcp ADDRESS, or: listen ADDRESS")
}

// duplicate takes a descriptor without (*os.File).Fd's side effect of setting
// the shared open file description to blocking.
func duplicate(s any) (*os.File, error) {
	sc, ok := s.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%T cannot be passed on", s)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var dup int
	var duperr error
	if err := raw.Control(func(fd uintptr) {
		dup, duperr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if duperr != nil {
		return nil, duperr
	}
	return os.NewFile(uintptr(dup), "door"), nil
}
