//go:build !linux

package tofu

import (
	"os"
	"os/exec"
	"syscall"
)

// Elsewhere a program is not detached, and only told apart by its number.
func detach(*exec.Cmd) {}

func present(pid int) bool {
	p, err := os.FindProcess(pid)
	return err == nil && alive(p)
}

func born(int) string { return "" }

func alive(p *os.Process) bool { return p.Signal(syscall.Signal(0)) == nil }

func killAll(p *os.Process) {
	if p != nil {
		_ = p.Kill()
	}
}
