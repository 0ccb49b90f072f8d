package network

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Within does something in the network of a process, on a thread that ends with
// it: it is not to serve anybody else from there. do has to return; a test must
// not call Fatal in it.
func Within(pid int, do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, and others take its network for the
			// process's. While it is kept busy here, another one goes.
			defer runtime.UnlockOSThread()
			result <- Within(pid, do)
			return
		}
		err := enter(pid)
		if err == nil {
			err = do()
		}
		result <- err // never unlocked: so the thread ends
	}()
	return <-result
}

func enter(pid int) error {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return fmt.Errorf("network of process %d: %w", pid, err)
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network of process %d: %w", pid, err)
	}
	return nil
}
