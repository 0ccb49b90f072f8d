//go:build unix

package door

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"godwit/internal/sockets"
)

// request sends one line and returns the socket that came back.
func request(ctx context.Context, socket, line string) (*os.File, error) {
	if len(line) > maxRequest {
		return nil, fmt.Errorf("door %s: address too long", socket)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("door %s: %w", socket, err)
	}
	conn := c.(*net.UnixConn)
	defer conn.Close()
	// A context that ends wakes the read below.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write([]byte(line)); err != nil {
		return nil, fmt.Errorf("door %s: %w", socket, because(ctx, err))
	}
	answer, oob := make([]byte, maxAnswer), make([]byte, unix.CmsgSpace(4*8))
	n, oobn, _, _, err := conn.ReadMsgUnix(answer, oob)
	if err != nil {
		return nil, fmt.Errorf("door %s: %w", socket, because(ctx, err))
	}
	return received(socket, answer[:n], oob[:oobn])
}

func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func received(socket string, answer, oob []byte) (*os.File, error) {
	fds := sockets.Descriptors(oob)
	if len(answer) > 0 && answer[0] == statusOK && len(fds) == 1 {
		return os.NewFile(uintptr(fds[0]), "door"), nil
	}
	for _, fd := range fds {
		unix.Close(fd)
	}
	if len(answer) > 1 && answer[0] == statusRefused {
		return nil, fmt.Errorf("%w: %s", ErrRefused, answer[1:])
	}
	return nil, fmt.Errorf("door %s: closed without an answer; its environment may be ending", socket)
}
