package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"godwit/internal/confine"
)

// namePort is where servers of names answer, over TCP where an answer is long.
const namePort = 53

// confineSelf opens what only this user may open, then executes this program once
// more without any rights. It returns only when that fails, never with nil.
func confineSelf(cfg Config) error {
	if os.Geteuid() == 0 && cfg.ID == 0 {
		return errors.New("id is missing: a relay that root starts has a uid of its own")
	}
	_, name, err := net.SplitHostPort(cfg.Source)
	if err != nil {
		return err
	}
	port, err := net.DefaultResolver.LookupPort(context.Background(), "tcp", name)
	if err != nil {
		return err
	}
	host, err := listenHost(cfg.ListenHost)
	if err != nil {
		return fmt.Errorf("listen on the host: %w", err)
	}
	defer host.Close()
	fd, err := inheritable(host.(syscall.Conn))
	if err != nil {
		return err
	}
	if err := sayAgain(cfg); err != nil {
		return fmt.Errorf("pass the configuration on: %w", err)
	}
	return confine.Relay(cfg.ID, []uint16{uint16(port), namePort}, []string{"godwit", "relay", "--listener", strconv.Itoa(fd)})
}

// inheritable is a descriptor of a socket that stays open in what is executed next.
func inheritable(socket syscall.Conn) (fd int, err error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(own uintptr) { fd, failed = unix.FcntlInt(own, unix.F_DUPFD, 3) })
	return fd, errors.Join(err, failed)
}

// inherited is the socket that a relay has opened before it was confined.
func inherited(fd int) (net.Listener, error) {
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	return net.FileListener(f)
}

// sayAgain has the configuration on standard input once more.
func sayAgain(cfg Config) error {
	fd, err := unix.MemfdCreate("configuration", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "configuration")
	defer f.Close()
	if err := json.NewEncoder(f).Encode(cfg); err != nil {
		return err
	}
	if _, err := f.Seek(0, 0); err != nil {
		return err
	}
	return unix.Dup3(fd, 0, 0)
}
