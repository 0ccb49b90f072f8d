package stand

import (
	"runtime"
	"syscall"
)

func withParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

func (p *processes) serve() {
	runtime.LockOSThread()
	for start := range p.requests {
		start()
	}
}
