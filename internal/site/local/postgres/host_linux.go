package postgres

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithParent has the kernel end the child when the thread that started it
// ends. SIGQUIT is Postgres's immediate shutdown: it waits for no client.
func dieWithParent(a *syscall.SysProcAttr) *syscall.SysProcAttr {
	a.Pdeathsig = syscall.SIGQUIT
	return a
}

// syncTree makes all that was written below dir durable: one call for a thousand files.
func syncTree(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
