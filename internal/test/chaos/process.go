package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"godwit/internal/site/local/warden"
)

// process is one that runs on the stage. Its start time tells it from a later
// one with the same number.
type process struct {
	pid     int
	started string
}

// alive: it is there and no zombie. The first thread of a process may be one while
// others, which keep its connections open, still end.
func (p process) alive() bool {
	state, started, _, err := stat(p.pid)
	if err != nil || started != p.started {
		return false
	}
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid))
	return state != "Z" && state != "X" || len(threads) > 1
}

func (p process) signal(s syscall.Signal) error {
	if !p.alive() {
		return os.ErrProcessDone
	}
	return syscall.Kill(p.pid, s)
}

// stat reads /proc/PID/stat: state, start time, parent.
func stat(pid int) (state, started string, parent int, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", "", 0, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return "", "", 0, errors.New("short /proc/PID/stat")
	}
	parent, err = strconv.Atoi(fields[1])
	return fields[0], fields[19], parent, err
}

func processOf(pid int) (process, error) {
	_, started, _, err := stat(pid)
	return process{pid, started}, err
}

// all are the numbers of all processes of the machine.
func all() []int {
	names, _ := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

func arguments(pid int) []string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
}

// role finds the process of the stage that runs godwit under a hidden argument:
// engine, gateway, watch.
func (s *stage) role(name string) (process, error) {
	for _, pid := range all() {
		args := arguments(pid)
		if len(args) > 2 && args[1] == name && slices.ContainsFunc(args[2:], func(a string) bool { return strings.HasPrefix(a, s.state()) }) {
			return processOf(pid)
		}
	}
	return process{}, fmt.Errorf("no %s runs", name)
}

// supervisor of an environment.
func (s *stage) supervisor(environment string) (process, error) {
	pid, err := warden.Pid(filepath.Join(s.state(), "env", "w", environment))
	if err != nil {
		return process{}, err
	}
	return processOf(pid)
}

// children of a supervisor that run a program, those of its own started first.
func (s *stage) children(environment, program string) ([]process, error) {
	owner, err := s.supervisor(environment)
	if err != nil {
		return nil, err
	}
	var found []process
	for _, pid := range all() {
		_, started, parent, err := stat(pid)
		if args := arguments(pid); err == nil && parent == owner.pid && filepath.Base(args[0]) == program {
			found = append(found, process{pid, started})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no %s runs in %s", program, environment)
	}
	return found, nil
}

// relays are those that the site's record of an environment names.
func (s *stage) relays(environment string) ([]process, error) {
	text, err := os.ReadFile(filepath.Join(s.state(), "env", "records", environment+".json"))
	if err != nil {
		return nil, err
	}
	var record struct {
		Relays map[string]struct {
			Pid int `json:"pid"`
		} `json:"relays"`
	}
	if err := json.Unmarshal(text, &record); err != nil {
		return nil, err
	}
	var found []process
	for _, r := range record.Relays {
		if p, err := processOf(r.Pid); err == nil && slices.Contains(arguments(r.Pid), "relay") {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no relay runs")
	}
	return found, nil
}

// endProcesses ends what down has left, so that nothing of the stage lives on. Each of
// the first starts the others again: they are ended until none is left.
func (s *stage) endProcesses() {
	for left := true; left; time.Sleep(50 * time.Millisecond) {
		left = false
		for _, name := range []string{"watch", "engine", "gateway"} {
			if p, err := s.role(name); err == nil {
				left = true
				p.signal(syscall.SIGKILL)
			}
		}
	}
	for _, e := range []string{"test", "stage", environment} {
		relays, _ := s.relays(e)
		for _, p := range relays {
			p.signal(syscall.SIGKILL)
		}
		if p, err := s.supervisor(e); err == nil {
			p.signal(syscall.SIGKILL)
		}
	}
}

// gone waits until a process has ended; false when it lives on.
func (p process) gone(within time.Duration) (time.Time, bool) {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if !p.alive() {
			return time.Now(), true
		}
	}
	return time.Time{}, false
}
