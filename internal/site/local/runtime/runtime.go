// Package runtime runs one instance: a program in namespaces of its own (user,
// network, mount, pid, ipc, uts) on a read-only root file system, without a
// capability, with no_new_privs, Landlock where the kernel has it, and a seccomp
// filter, its output in a bounded log.
//
// An instance begins as this very program, re-executed as the shim (see Shim):
// it gets its Spec through an inherited pipe, never through argv or environment,
// builds its world, gives up every privilege and becomes the program.
//
// The program is pid 1 of its pid namespace: when it ends, all it started ends
// with it. The kernel delivers to a pid 1 only signals it has a handler for, so
// a program that ignores its stop signal is killed when its grace is over. Go
// programs and Postgres have handlers.
//
// Only the warden, and the command line for Shim, may import it.
package runtime

import (
	"errors"
	"net/netip"
	"time"
)

// ErrStart: the program could not be started; the text says at which step.
var ErrStart = errors.New("instance did not start")

// Spec is everything an instance is made of.
type Spec struct {
	ID       string                `json:"id"`
	Hostname string                `json:"hostname"`
	Rootfs   string                `json:"rootfs,omitempty"` // directory; "" is an empty root
	Binds    []Bind                `json:"binds,omitempty"`
	Symlinks map[string]string     `json:"symlinks,omitempty"` // made in the root: path -> target
	Command  []string              `json:"command"`
	Env      []string              `json:"env,omitempty"`
	WorkDir  string                `json:"work_dir,omitempty"` // "" is /
	Hosts    map[string]netip.Addr `json:"hosts,omitempty"`    // the hosts file
	Address  netip.Addr            `json:"address"`
	Router   netip.Addr            `json:"router"`
	// HostID is the one user and group id that the instance has, as its warden
	// counts. Inside it is InsideID.
	HostID int `json:"host_id"`
	// Plain runs the program as a plain process, without any isolation.
	Plain bool `json:"plain,omitempty"`
	UID   int  `json:"uid,omitempty"` // Plain only: the id to run as; 0 is the warden's own
	GID   int  `json:"gid,omitempty"`

	NoFile     uint64        `json:"no_file,omitempty"`   // open files; 0 means 65536, or what the warden may give
	Processes  uint64        `json:"processes,omitempty"` // processes and threads; 0 means 4096
	OOMScore   int           `json:"oom_score,omitempty"` // 0 to 1000: who goes first when memory runs out
	Scratch    int64         `json:"scratch,omitempty"`   // bytes of /tmp, /run and /dev/shm each; 0 means 256 MiB
	StopSignal int           `json:"stop_signal,omitempty"`
	Grace      time.Duration `json:"grace,omitempty"` // from stop signal to kill; 0 means 10 s
	LogFile    string        `json:"log_file"`
	// Lock is a file inside that the program, and all it starts, hold locked as
	// long as any of them lives: never do two instances work on the same data,
	// even when one is just being killed.
	Lock string `json:"lock,omitempty"`
}

// InsideID is the user and group id of every program, seen from inside.
const InsideID = 1000

// LogTime is the layout of the time at the beginning of every line of a log; a
// space follows it.
const LogTime = "2006-01-02T15:04:05.000Z"

// Bind shows a file or directory of the warden's world inside.
type Bind struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	Writable bool   `json:"writable,omitempty"`
}

func (s *Spec) fill() {
	if s.NoFile == 0 {
		s.NoFile = 65536
	}
	if s.Processes == 0 {
		s.Processes = 4096
	}
	if s.Scratch == 0 {
		s.Scratch = 256 << 20
	}
	if s.StopSignal == 0 {
		s.StopSignal = 15
	}
	if s.Grace == 0 {
		s.Grace = 10 * time.Second
	}
	if s.WorkDir == "" {
		s.WorkDir = "/"
	}
}
