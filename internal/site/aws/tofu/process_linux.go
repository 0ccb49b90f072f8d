package tofu

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// detach puts a program into a session of its own: neither a key pressed at the
// terminal nor its end reaches it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

func present(pid int) bool {
	state, ok := stat(pid)
	return ok && state[0] != "Z" && state[0] != "X"
}

// born is when a process began, in ticks since the machine did.
func born(pid int) string {
	fields, ok := stat(pid)
	if !ok || len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// stat are the fields of a process after its name, from the state on.
func stat(pid int) ([]string, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, false
	}
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return nil, false
	}
	var fields []string
	for _, f := range bytes.Fields(b[i+1:]) {
		fields = append(fields, string(f))
	}
	return fields, len(fields) > 0
}

// killAll ends a program and the providers that it started.
func killAll(p *os.Process) {
	if p != nil {
		_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	}
}
