package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"godwit/internal/confine"
	"godwit/internal/site/local/network"
)

// ShimName is the argument under which this program is the shim.
const ShimName = "instance-shim"

// shimConfigured is what the shim says once its network is there.
const shimConfigured = "+"

// shimDone is what the shim says just before it becomes the program. A failed
// exec after it is appended to it, so that nothing but a success equals it.
const shimDone = "ok"

const (
	specFD  = 3
	failFD  = 4
	treesFD = 5
)

// Shim builds the world of an instance around the calling process and becomes
// its program. It returns only when that failed.
func Shim() int {
	// Namespaces, capabilities and seccomp are properties of a thread; the one
	// that calls exec is the one that counts.
	goruntime.LockOSThread()
	fail := os.NewFile(failFD, "fail")
	err := become(fail)
	fmt.Fprint(fail, err)
	return 127
}

func become(fail *os.File) error {
	var s Spec
	spec := os.NewFile(specFD, "spec")
	if err := json.NewDecoder(spec).Decode(&s); err != nil {
		return fmt.Errorf("read the spec: %w", err)
	}
	if err := network.ConfigureInstance(s.Address, s.Router); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if _, err := fail.WriteString(shimConfigured); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
		return fmt.Errorf("hostname: %w", err)
	}
	if err := limitNamespaces(); err != nil {
		return err
	}
	if err := buildRoot(s); err != nil {
		return err
	}
	program, err := find(s)
	if err != nil {
		return err
	}
	if err := enter(s.WorkDir); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	if err := limitResources(s); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, spec); err != nil { // until the way to here is open
		return fmt.Errorf("wait for the network: %w", err)
	}
	if err := unix.CloseRange(specFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close files: %w", err)
	}
	if err := holdLock(s.Lock); err != nil {
		return err
	}
	if err := confine.DropCapabilities(); err != nil {
		return err
	}
	if err := confine.Files(s.files()); err != nil {
		return err
	}
	if err := confine.Syscalls(); err != nil {
		return err
	}
	if _, err := fail.WriteString(shimDone); err != nil {
		return err
	}
	err = syscall.Exec(program, s.Command, s.Env)
	return fmt.Errorf(": run %s: %w", program, err)
}

// files is what a program may do with files: use its own root and change nothing but
// what is below its own places. Mounts are read-only anyway; this takes /proc away
// too, through which a program could change how it is treated: leave the queue of
// those who go first when memory runs out.
func (s Spec) files() []confine.Rule {
	rules := []confine.Rule{{Path: "/", Rights: confine.Use}, {Path: "/dev", Rights: confine.Fill}}
	for _, path := range s.writable() {
		rules = append(rules, confine.Rule{Path: path, Rights: confine.Fill | confine.Arrange})
	}
	return rules
}

// writable are the places below which a program may make and change files.
func (s Spec) writable() []string {
	places := []string{"/tmp", "/run", "/dev/shm"}
	for _, b := range s.Binds {
		if b.Writable {
			places = append(places, b.Target)
		}
	}
	return places
}

// enter makes a directory the working directory, unless it lies outside the own
// root: links in /proc lead to what the shim still has open.
func enter(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	at := make([]byte, unix.PathMax)
	if n, err := unix.Getcwd(at); err != nil || n == 0 || at[0] != '/' {
		return errors.Join(err, fmt.Errorf("%s leads out of the image", dir))
	}
	return nil
}

// find looks the program up inside, along the PATH of its own environment.
func find(s Spec) (string, error) {
	name := s.Command[0]
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(s.WorkDir, name)
		}
		return name, nil
	}
	path := "/usr/local/bin:/usr/bin:/bin"
	for _, e := range s.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
		}
	}
	for _, dir := range filepath.SplitList(path) {
		if p := filepath.Join(dir, name); executable(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("%w: %s is not in %s of the image", exec.ErrNotFound, name, path)
}

// lockPatience bounds the wait for those who hold the lock: they are being killed.
const lockPatience = 10 * time.Second

// holdLock takes a lock with a descriptor that stays open in the program.
func holdLock(path string) error {
	if path == "" {
		return nil
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if time.Since(began) > lockPatience {
			return fmt.Errorf("lock %s: another instance still works on this data", path)
		}
	}
}

// limitNamespaces: no further namespace may ever be made inside, whatever a
// later kernel permits.
func limitNamespaces() error {
	for _, kind := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"} {
		err := os.WriteFile("/proc/sys/user/max_"+kind+"_namespaces", []byte("0"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("forbid %s namespaces: %w", kind, err)
		}
	}
	return nil
}

// volunteer: when memory runs out, an instance goes before what keeps everything
// running. Nobody may take back what it inherited.
func volunteer(score int) error {
	const path = "/proc/self/oom_score_adj"
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || now >= score {
		return err
	}
	return os.WriteFile(path, []byte(strconv.Itoa(score)), 0)
}

// limitResources bounds open files and processes. Processes are counted within
// the instance's own user namespace, so one instance can't starve another.
func limitResources(s Spec) error {
	if err := volunteer(s.OOMScore); err != nil {
		return fmt.Errorf("set oom_score_adj to %d: %w", s.OOMScore, err)
	}
	limits := []struct {
		name     string
		resource int
		value    uint64
	}{
		{"open files", unix.RLIMIT_NOFILE, s.NoFile},
		{"processes", unix.RLIMIT_NPROC, s.Processes},
		{"core size", unix.RLIMIT_CORE, 0},
	}
	for _, l := range limits {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.resource, &now); err != nil {
			return fmt.Errorf("limit of %s: %w", l.name, err)
		}
		v := min(l.value, now.Max)
		// Not unix.Setrlimit alone: Go would put the old soft limit of open files back at exec.
		if err := syscall.Setrlimit(l.resource, &syscall.Rlimit{Cur: v, Max: v}); err != nil {
			return fmt.Errorf("limit of %s: %w", l.name, err)
		}
	}
	return nil
}
