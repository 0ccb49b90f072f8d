//go:build !linux

package stand

import "syscall"

func withParent() *syscall.SysProcAttr { return nil }

func (p *processes) serve() {
	for start := range p.requests {
		start()
	}
}
