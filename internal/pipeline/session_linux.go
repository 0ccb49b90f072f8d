package pipeline

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// leads makes a worker the first of a session: it outlives whoever started it,
// and all that it starts can be found.
func leads() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// follows makes a command the first of a group, and lets it not outlive its worker.
func follows() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// boot tells one boot of the machine from another.
func boot() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // "" is as good as any
	return strings.TrimSpace(string(id))
}

// sweeping bounds the wait for the end of what was killed: what hangs in the
// kernel does no work.
const sweeping = time.Second

// sweep kills what is left in a session, but for this process, and waits until it
// is gone, or ctx ends. With a mark it kills only what carries it, for the number
// may be another session's by now.
func sweep(ctx context.Context, session int, mark string) {
	ctx, cancel := context.WithTimeout(ctx, sweeping)
	defer cancel()
	for {
		left := members(session, mark)
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
		if len(left) == 0 || ctx.Err() != nil {
			return
		}
		pause(ctx, 10*time.Millisecond)
	}
}

func members(session int, mark string) (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*") // the pattern is sound
	for _, dir := range names {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil || pid == os.Getpid() {
			continue
		}
		// After the name in brackets: state, parent, group, session.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 4 || fields[3] != strconv.Itoa(session) || fields[0] == "Z" {
			continue
		}
		if environment, _ := os.ReadFile(dir + "/environ"); mark != "" && !marked(environment, mark) {
			continue
		}
		pids = append(pids, pid)
	}
	return pids
}

func marked(environment []byte, mark string) bool {
	for v := range bytes.SplitSeq(environment, []byte{0}) {
		if string(v) == unitMark+"="+mark {
			return true
		}
	}
	return false
}
