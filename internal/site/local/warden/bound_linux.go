package warden

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sys/unix"
)

// oomScore is the least that a program inside can have, whatever it does: it goes
// before the host's own when memory runs out.
const oomScore = 100

// Bound puts the warden in dir, and so all that it starts from now on, in control
// groups of the environment: when memory runs out there, one of its own programs
// ends. It is to be called before the first instance is put; again changes
// nothing but the numbers. ErrUnbound when that cannot be had here: it needs root.
func Bound(dir string, b Bounds) error {
	if b.Memory == 0 {
		var machine unix.Sysinfo_t
		if err := unix.Sysinfo(&machine); err != nil {
			return fmt.Errorf("memory of the machine: %w", err)
		}
		b.Memory = int64(machine.Totalram) / 4 * 3 * int64(machine.Unit)
	}
	if b.Processes == 0 {
		b.Processes = 16384
	}
	pid, err := Pid(dir)
	if err != nil {
		return err
	}
	groups, err := groupsOf(dir, pid)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnbound, err)
	}
	for _, g := range groups {
		if err := g.hold(pid, b); err != nil {
			return fmt.Errorf("%w: %w", ErrUnbound, err)
		}
	}
	// What root sets, nobody inside can lower.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(strconv.Itoa(oomScore)), 0); err != nil {
		return fmt.Errorf("%w: %w", ErrUnbound, err)
	}
	return nil
}

// Unbound says where the control groups of the warden in dir are, which only a
// living one knows for sure, and returns what removes them once it has ended.
func Unbound(dir string) (remove func(context.Context) error) {
	pid, err := Pid(dir)
	if err != nil {
		pid = os.Getpid() // where we would have made them
	}
	groups, err := groupsOf(dir, pid)
	if err != nil {
		groups = nil // without control groups there are none to remove
	}
	return func(ctx context.Context) error {
		for _, g := range groups {
			if err := g.remove(ctx); err != nil {
				return fmt.Errorf("remove the control group %s: %w", g.path, err)
			}
		}
		return nil
	}
}

// group is a control group with its controllers.
type group struct {
	path        string
	controllers []string
	unified     bool // version 2
}

// hold sets the bounds and puts a process in.
func (g group) hold(pid int, b Bounds) error {
	if err := os.Mkdir(g.path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	memory, processes := strconv.FormatInt(b.Memory, 10), strconv.Itoa(b.Processes)
	files := []struct{ controller, name, value string }{
		{"pids", "pids.max", processes},
		{"memory", "memory.limit_in_bytes", memory},
	}
	optional := []string{"memory.memsw.limit_in_bytes", memory} // with swap; kernels may lack it
	if g.unified {
		files[1].name = "memory.max"
		optional = []string{"memory.swap.max", "0"}
	}
	for _, f := range files {
		if slices.Contains(g.controllers, f.controller) {
			if err := os.WriteFile(filepath.Join(g.path, f.name), []byte(f.value), 0); err != nil {
				return err
			}
		}
	}
	_ = os.WriteFile(filepath.Join(g.path, optional[0]), []byte(optional[1]), 0)
	return os.WriteFile(filepath.Join(g.path, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// remove waits until the kernel has buried the last one in it.
func (g group) remove(ctx context.Context) error {
	poll := backoff.NewExponentialBackOff()
	poll.InitialInterval, poll.MaxInterval = 2*time.Millisecond, 50*time.Millisecond
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := unix.Rmdir(g.path)
		if err != nil && !errors.Is(err, unix.EBUSY) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(poll), backoff.WithMaxElapsedTime(5*time.Second))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// groupsOf says where the control groups of a warden, process pid, are or are to
// be: those that it is in; else with version 1 below our own group of each
// controller, which may be another one the next time; with version 2 at the top,
// because a group that has processes, as ours has, can give nothing to groups
// below it.
func groupsOf(dir string, pid int) ([]group, error) {
	const top = "/sys/fs/cgroup"
	if os.Geteuid() != 0 {
		return nil, errors.New("only root may make control groups")
	}
	h := fnv.New64a()
	h.Write([]byte(dir))
	name := fmt.Sprintf("godwit-%016x", h.Sum64())
	own, err := memberships(os.Getpid())
	if err != nil {
		return nil, err
	}
	its, err := memberships(pid)
	if err != nil {
		return nil, err
	}
	var groups []group
	missing := []string{}
	for _, controller := range []string{"memory", "pids"} {
		switch path, ok := own[controller]; {
		case filepath.Base(its[controller]) == name:
			groups = append(groups, group{filepath.Join(top, controller, its[controller]), []string{controller}, false})
		case ok:
			groups = append(groups, group{filepath.Join(top, controller, path, name), []string{controller}, false})
		default:
			missing = append(missing, controller)
		}
	}
	if len(missing) == 0 {
		return groups, nil
	}
	given, err := os.ReadFile(top + "/cgroup.subtree_control")
	if err != nil {
		return nil, fmt.Errorf("no control group for %s: %w", strings.Join(missing, ", "), err)
	}
	for _, m := range missing {
		if !slices.Contains(strings.Fields(string(given)), m) {
			return nil, fmt.Errorf("control groups at %s do not give %s", top, m)
		}
	}
	return append(groups, group{filepath.Join(top, name), missing, true}), nil
}

// memberships are the groups of a process by controllers, those of version 1.
func memberships(pid int) (map[string]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for line := range strings.Lines(string(text)) { // number:controllers:path
		if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); len(fields) == 3 && fields[1] != "" {
			paths[fields[1]] = fields[2]
		}
	}
	return paths, nil
}
