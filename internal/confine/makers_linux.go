package confine

import (
	"os"
	"runtime"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// makes are the capabilities without which root makes no environment: namespaces
// and networks, files and processes of other ids, the gateway's port. The commands
// that build images and install Postgres get along with them too.
var makes = []uintptr{
	unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_SYS_PTRACE, unix.CAP_SYS_RESOURCE,
	unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETPCAP, unix.CAP_KILL,
	unix.CAP_CHOWN, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH,
	unix.CAP_NET_BIND_SERVICE, unix.CAP_AUDIT_WRITE, unix.CAP_SETFCAP, // the last to map root itself, with which the machine is tried
}

// supervises are those that a supervisor, which is root of its own world, needs in
// there.
var supervises = []uintptr{
	unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_SYS_PTRACE,
	unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETPCAP, unix.CAP_KILL,
	unix.CAP_CHOWN, unix.CAP_FOWNER, unix.CAP_DAC_OVERRIDE, unix.CAP_NET_BIND_SERVICE,
	unix.CAP_SETFCAP, // to give an instance the id of an ordinary user, which is its own
}

// Maker executes this program once more as an engine or a watchdog, with this
// environment: nothing that comes of it has more capabilities than making
// environments takes, nor can gain any, or change the kernel, the machine or
// its clock. It returns only when that fails, never with nil. What it inherits it
// keeps.
//
// Landlock is not for it: whoever is confined by that can mount nothing.
func Maker(args, env []string) error {
	return makers(makes, args, env, ofNobody)
}

// Supervisor is Maker for the process that owns an environment.
func Supervisor(args []string) error {
	return makers(supervises, args, os.Environ(), ofNobody, ofTools)
}

func makers(capabilities []uintptr, args, env []string, calls ...[]string) error {
	runtime.LockOSThread() // what is executed gets what this thread has
	if os.Geteuid() == 0 {
		if err := keepBounding(capabilities); err != nil {
			return err
		}
	}
	if err := filter(denied(calls...), seccomp.SyscallGroup{Action: seccomp.ActionErrno | seccomp.Action(unix.EAFNOSUPPORT),
		NamesWithCondtions: []seccomp.NameWithConditions{machineSockets()}}); err != nil {
		return err
	}
	return again(args, env)
}
