package warden

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sys/unix"

	"godwit/internal/site/local/runtime"
)

// Range is how many ids an environment has when root runs it.
const Range = 65536

// HostID is the host's id for an id of the warden in dir. Root gives every
// environment ids of its own, the same each time, so that files keep their
// owners; an ordinary user has only itself to give.
func HostID(dir string, id int) int {
	if os.Geteuid() != 0 {
		return os.Getuid()
	}
	const first, environments = 0x40000000, 16000 // far above users, below what tools take for negative
	h := fnv.New32a()
	h.Write([]byte(dir))
	return first + int(h.Sum32()%environments)*Range + id
}

// InstanceID is the id, as the warden counts, of the n-th instance of an environment.
func InstanceID(n int) int {
	if os.Geteuid() != 0 {
		return 0
	}
	const first = 1000
	return first + n%(Range-first)
}

// Start starts a warden and returns when it is ready. ErrRunning when there is
// one already.
func Start(ctx context.Context, c Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	own, err := ownLibraries()
	if err != nil {
		return err
	}
	c.Trees = append(slices.Clone(c.Trees), own...)
	slices.Sort(c.Trees) // what lies in another comes after it
	c.Trees = slices.Compact(c.Trees)
	dir, lock, err := prepareDir(c)
	if err != nil {
		return err
	}
	defer dir.Close()
	defer lock.Close()
	if c.Program, err = program(c, dir); err != nil {
		return err
	}
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer readyR.Close()
	log, err := dir.OpenFile("warden.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		readyW.Close()
		return err
	}
	defer log.Close()
	cmd, trees, err := command(c, log)
	if err != nil {
		readyW.Close()
		return err
	}
	cmd.ExtraFiles = append([]*os.File{readyW, lock}, trees...)
	err = cmd.Start()
	readyW.Close()
	for _, t := range trees {
		t.Close()
	}
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w; an environment's own ids must be able to execute this program: chmod a+rx it", err)
	}
	if err != nil {
		return fmt.Errorf("start the warden of %s: %w", c.Environment, err)
	}
	go cmd.Wait() // takes its exit status whenever it ends, which may be after this process
	if err := awaitReady(ctx, c, cmd.Process, readyR); err != nil {
		return err
	}
	return openDoors(c, dir)
}

// openDoors lets the gateway and the relays, which have ids of their own, each
// through its door; the others stay closed to it.
func openDoors(c Config, dir *os.Root) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for socket, id := range map[string]int{DoorSocket(c.Dir): c.GatewayID, RelaySocket(c.Dir): c.RelayID} {
		if id == 0 {
			continue
		}
		door := filepath.Base(socket)
		if err := errors.Join(dir.Chmod(".", 0o711), dir.Lchown(door, -1, id), dir.Chmod(door, 0o660)); err != nil {
			return fmt.Errorf("open the door %s of %s: %w", door, c.Environment, err)
		}
	}
	return nil
}

// ownLibraries are the directories without which this program itself can't be
// executed in the warden's world: none when it is linked statically.
func ownLibraries() ([]string, error) {
	program, err := elf.Open("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("look at the own program: %w", err)
	}
	defer program.Close()
	isInterpreter := func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }
	if !slices.ContainsFunc(program.Progs, isInterpreter) {
		return nil, nil
	}
	var there []string
	for _, dir := range []string{"/lib", "/lib64"} {
		if _, err := os.Stat(dir); err == nil {
			there = append(there, dir)
		}
	}
	return there, nil
}

func awaitReady(ctx context.Context, c Config, process *os.Process, ready *os.File) error {
	stop := context.AfterFunc(ctx, func() { process.Kill() })
	defer stop()
	answer, err := io.ReadAll(io.LimitReader(ready, 4096))
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("start the warden of %s: %w", c.Environment, ctx.Err())
	case err != nil:
		return err
	case string(answer) == readyWord:
		return nil
	case len(answer) == 0:
		return fmt.Errorf("the warden of %s ended at once; see %s", c.Environment, filepath.Join(c.Dir, "warden.log"))
	}
	return fmt.Errorf("the warden of %s: %s", c.Environment, answer)
}

// prepareDir makes the state directory and takes its lock, which the warden
// inherits. The directory belongs to the warden, which nobody here trusts:
// files in it are opened through the Root, so that no link leads out of it.
func prepareDir(c Config) (dir *os.Root, lock *os.File, err error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, nil, err
	}
	if dir, err = os.OpenRoot(c.Dir); err != nil {
		return nil, nil, err
	}
	if lock, err = takeLock(c, dir); err != nil {
		dir.Close()
		return nil, nil, err
	}
	return dir, lock, nil
}

func takeLock(c Config, dir *os.Root) (*os.File, error) {
	lock, err := dir.OpenFile("lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil && os.Geteuid() == 0 && !c.Plain {
		id := HostID(c.Dir, 0)
		err = os.Chown(c.Dir, id, id)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w in %s", ErrRunning, c.Dir)
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// command is the warden's: this program, in namespaces of its own. When root
// starts it, its trees are opened for it, because the ids it will have can't
// walk to them.
func command(c Config, log *os.File) (*exec.Cmd, []*os.File, error) {
	root := os.Geteuid() == 0
	config, err := json.Marshal(settings{Config: c, TreesPassed: root && !c.Plain})
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command("/proc/self/exe", Name)
	cmd.Args[0] = "godwit"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(config), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if c.Plain {
		return cmd, nil, nil
	}
	cmd.Args = append(cmd.Args, isolated)
	size := 1
	if root {
		size = Range
	}
	id, gid := HostID(c.Dir, 0), HostID(c.Dir, 0)
	if !root {
		gid = os.Getgid()
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true, Cloneflags: runtime.Namespaces,
		UidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: size}},
		GidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: size}},
		GidMappingsEnableSetgroups: root,
		Credential:                 &syscall.Credential{NoSetGroups: !root},
	}
	if !root {
		return cmd, nil, nil
	}
	trees, err := openTrees(c)
	return cmd, trees, err
}

func openTrees(c Config) ([]*os.File, error) {
	var trees []*os.File
	for _, t := range c.trees() {
		f, err := runtime.OpenTree(t.path, t.writable)
		if err != nil {
			for _, opened := range trees {
				opened.Close()
			}
			return nil, err
		}
		trees = append(trees, f)
	}
	return trees, nil
}

// Wait waits until the warden in dir has ended. After a kill the kernel may
// still be ending what was in it, for an instant.
func Wait(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	lock, err := root.OpenFile("lock", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	poll := backoff.NewExponentialBackOff()
	poll.InitialInterval, poll.MaxInterval = 2*time.Millisecond, 50*time.Millisecond
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}, backoff.WithBackOff(poll), backoff.WithMaxElapsedTime(0))
	if err != nil {
		return fmt.Errorf("wait for the end of the warden in %s: %w", dir, err)
	}
	return nil
}

// Kill ends the warden in dir, and with it everything in its environment, at
// once. No error when there is none.
func Kill(ctx context.Context, dir string) error {
	pid, err := Pid(dir)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	process, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return Wait(ctx, dir)
	}
	if err != nil {
		return fmt.Errorf("kill the warden in %s: %w", dir, err)
	}
	defer unix.Close(process)
	// Still the same: then it was the warden that was opened, and not somebody
	// who got its pid in between.
	if again, err := Pid(dir); err != nil || again != pid {
		return Wait(ctx, dir)
	}
	if err := unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill the warden in %s: %w", dir, err)
	}
	return errors.Join(awaitEnd(ctx, process), Wait(ctx, dir))
}

// awaitEnd waits for the end of a process. That of a pid 1 comes after the end
// of everything in its pid namespace.
func awaitEnd(ctx context.Context, process int) error {
	const slice = 50 // milliseconds between looks at the context
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, slice)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return ctx.Err()
}

// Pid of the warden in dir, as the kernel knows it from its socket: no file can
// be out of date. ErrNotRunning when there is none.
func Pid(dir string) (int, error) {
	conn, err := net.Dial("unix", ControlSocket(dir))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return 0, fmt.Errorf("%w in %s", ErrNotRunning, dir)
	}
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var peerErr error
	if err := raw.Control(func(fd uintptr) {
		peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if peerErr != nil {
		return 0, peerErr
	}
	return int(peer.Pid), nil
}
