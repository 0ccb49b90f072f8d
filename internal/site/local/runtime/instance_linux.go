package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Namespaces are what an instance, and an environment, has of its own.
const Namespaces = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID |
	syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS

// Port is the link of an instance.
type Port interface {
	Connect(pid int) error // the waiting shim's network, so that it can configure its end
	Open() error           // others find the way to it
}

// Instance is a program that was started.
type Instance struct {
	Pid  int
	spec Spec
	cmd  *exec.Cmd
	log  *logFile
	done chan struct{}
	exit string // valid once done is closed
}

// Start starts an instance and returns when its program runs. shim is the file of
// this program that it begins as: where an instance reaches it, as /proc/self/exe,
// it must not be able to change it, so its mount is read-only.
func Start(ctx context.Context, shim string, spec Spec, port Port) (*Instance, error) {
	spec.fill()
	if len(spec.Command) == 0 {
		return nil, fmt.Errorf("%w: %s has no command: give its image an entrypoint", ErrStart, spec.ID)
	}
	log, err := openLog(spec.LogFile, logSize)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrStart, spec.ID, err)
	}
	i := &Instance{spec: spec, log: log, done: make(chan struct{})}
	if spec.Plain {
		err = i.startPlain()
	} else {
		err = i.startContained(ctx, shim, port)
	}
	if err != nil {
		log.Close()
		return nil, fmt.Errorf("%w: %s: %w", ErrStart, spec.ID, err)
	}
	return i, nil
}

// startPlain runs the program without any isolation.
func (i *Instance) startPlain() error {
	s := i.spec
	program := s.Command[0]
	if inside := filepath.Join(s.Rootfs, program); s.Rootfs != "" && executable(inside) {
		program = inside
	}
	i.cmd = exec.Command(program, s.Command[1:]...)
	i.cmd.Env = s.Env
	i.cmd.Dir = filepath.Join(s.Rootfs, s.WorkDir)
	i.cmd.Stdout, i.cmd.Stderr = i.log, i.log
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if s.UID != 0 {
		i.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.UID), Gid: uint32(s.GID), Groups: []uint32{}}
	}
	return i.run(nil)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// startContained clones the shim into new namespaces and feeds it.
func (i *Instance) startContained(ctx context.Context, shim string, port Port) error {
	trees, err := openTrees(i.spec)
	defer closeAll(trees)
	if err != nil {
		return err
	}
	specR, specW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer specW.Close()
	failR, failW, err := os.Pipe()
	if err != nil {
		specR.Close()
		return err
	}
	defer failR.Close()

	i.cmd = exec.Command(shim, ShimName)
	i.cmd.Args[0] = "godwit"
	i.cmd.Env = []string{}
	i.cmd.Stdout, i.cmd.Stderr = i.log, i.log
	i.cmd.ExtraFiles = append([]*os.File{specR, failW}, trees...)
	i.cmd.SysProcAttr = contained(i.spec.HostID)
	err = i.run(func() { specR.Close(); failW.Close() })
	if err != nil {
		return fmt.Errorf("clone into namespaces: %w", err)
	}
	if err := i.feed(ctx, port, specW, failR); err != nil {
		i.Kill()
		return err
	}
	return nil
}

// feed gives the waiting shim its network and its spec, and waits until it has
// become the program. It does not before the spec's pipe is closed: its way is
// open in both directions by then.
func (i *Instance) feed(ctx context.Context, port Port, specW, failR *os.File) error {
	stop := context.AfterFunc(ctx, func() { i.cmd.Process.Kill() })
	defer stop()
	if err := port.Connect(i.Pid); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := json.NewEncoder(specW).Encode(i.spec); err != nil {
		return fmt.Errorf("hand over the spec: %w", err)
	}
	configured := make([]byte, len(shimConfigured))
	if _, err := io.ReadFull(failR, configured); err == nil && string(configured) == shimConfigured {
		if err := port.Open(); err != nil {
			return fmt.Errorf("network: %w", err)
		}
		configured = nil
	}
	specW.Close()
	failure, err := io.ReadAll(io.LimitReader(failR, 4096))
	failure = append(bytes.TrimRight(configured, "\x00"), failure...)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case len(failure) == 0:
		return errors.New("ended before its program ran; see its log")
	case string(failure) != shimDone:
		return errors.New(strings.TrimPrefix(string(failure), shimDone+": "))
	}
	return nil
}

// contained: new namespaces with one id, which is the ordinary user InsideID
// there. The capabilities are over these namespaces only; the shim needs them
// to build its world and drops them.
func contained(hostID int) *syscall.SysProcAttr {
	deny, err := os.ReadFile("/proc/self/setgroups")
	groups := err == nil && string(deny) == "allow\n"
	return &syscall.SysProcAttr{
		Cloneflags:                 Namespaces,
		Setsid:                     true,
		UidMappings:                []syscall.SysProcIDMap{{ContainerID: InsideID, HostID: hostID, Size: 1}},
		GidMappings:                []syscall.SysProcIDMap{{ContainerID: InsideID, HostID: hostID, Size: 1}},
		GidMappingsEnableSetgroups: groups,
		Credential:                 &syscall.Credential{Uid: InsideID, Gid: InsideID, NoSetGroups: !groups},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETPCAP,
			unix.CAP_SYS_RESOURCE},
	}
}

// run starts the command and the goroutine that waits for its end.
func (i *Instance) run(started func()) error {
	err := i.cmd.Start()
	if started != nil {
		started()
	}
	if err != nil {
		return err
	}
	i.Pid = i.cmd.Process.Pid
	// Should anything outside the pid namespace hold the output open, it is not waited for.
	i.cmd.WaitDelay = 2 * time.Second
	go func() {
		defer close(i.done)
		err := i.cmd.Wait()
		i.exit = i.cmd.ProcessState.String()
		if err != nil && i.cmd.ProcessState.Success() {
			i.exit = err.Error()
		}
		i.log.Close()
	}()
	return nil
}

// Done is closed when the program has ended.
func (i *Instance) Done() <-chan struct{} { return i.done }

// Exit says how the program ended; valid once Done is closed.
func (i *Instance) Exit() string { return i.exit }

// Kill ends the program at once and waits for its end.
func (i *Instance) Kill() {
	i.cmd.Process.Kill()
	<-i.done
}

// Stop ends the program: its stop signal, its grace, then kill. It returns when
// the program has ended; a context that ends cuts the grace short.
func (i *Instance) Stop(ctx context.Context) {
	i.cmd.Process.Signal(syscall.Signal(i.spec.StopSignal))
	grace := time.NewTimer(i.spec.Grace)
	defer grace.Stop()
	select {
	case <-i.done:
	case <-grace.C:
		i.Kill()
	case <-ctx.Done():
		i.Kill()
	}
}

// openTrees opens what the shim will mount, as detached mounts, in the order
// root file system, binds. The shim could not walk to them itself: it has
// another user id than the directories on the way.
func openTrees(s Spec) ([]*os.File, error) {
	var trees []*os.File
	if s.Rootfs != "" {
		f, err := OpenTree(s.Rootfs, false)
		if err != nil {
			return trees, fmt.Errorf("root file system: %w", err)
		}
		trees = append(trees, f)
	}
	for _, b := range s.Binds {
		f, err := OpenTree(b.Source, b.Writable)
		if err != nil {
			return trees, fmt.Errorf("bind for %s: %w", b.Target, err)
		}
		trees = append(trees, f)
	}
	return trees, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// OpenTree returns a detached mount of a file or directory: no device files, no
// set-user-id, and read-only unless writable. It needs CAP_SYS_ADMIN over the
// caller's mount namespace.
func OpenTree(path string, writable bool) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if !writable {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr)
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "mount_setattr", Path: path, Err: err}
	}
	return f, nil
}

// Attach mounts a detached mount at a path, which must exist.
func Attach(tree *os.File, at string) error {
	err := unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return &os.PathError{Op: "move_mount", Path: at, Err: err}
	}
	return nil
}
