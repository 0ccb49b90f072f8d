package confine

import (
	"fmt"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// denied system calls answer "operation not permitted". Most would fail anyway
// without capabilities; the filter is there for the day that a kernel bug lies
// behind one of them. All of them are of no use to a server.
var denied = []string{
	"mount", "umount2", "umount", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick",
	"mount_setattr", "ptrace", "process_vm_readv", "process_vm_writev", "bpf", "perf_event_open",
	"kexec_load", "kexec_file_load", "keyctl", "add_key", "request_key",
	"init_module", "finit_module", "delete_module", "create_module", "query_module", "get_kernel_syms",
	"unshare", "setns", "userfaultfd", "reboot", "swapon", "swapoff", "open_by_handle_at", "name_to_handle_at",
	"io_uring_setup", "io_uring_enter", "io_uring_register", "acct", "quotactl", "quotactl_fd", "syslog",
	"settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname",
	"iopl", "ioperm", "lookup_dcookie", "nfsservctl", "vhangup", "personality", "fanotify_init", "mknod", "mknodat",
	"kcmp", "pidfd_getfd", "modify_ldt", "uselib", "ustat", "sysfs", "_sysctl", "migrate_pages", "move_pages",
}

// namespaceFlags of clone; any of them denies it.
const namespaceFlags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Syscalls installs the seccomp filter on the calling thread, and no_new_privs.
func Syscalls() error {
	here, err := arch.GetInfo("")
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	deny := seccomp.SyscallGroup{Action: seccomp.ActionErrno}
	for _, name := range denied {
		if _, known := here.SyscallNames[name]; known { // not every machine has every call
			deny.Names = append(deny.Names, name)
		}
	}
	deny.NamesWithCondtions = []seccomp.NameWithConditions{{Name: "clone",
		Conditions: []seccomp.Condition{{Argument: 0, Operation: seccomp.BitsSet, Value: namespaceFlags}}}}
	// The flags of clone3 lie in memory, where no filter sees them: programs are
	// told that it does not exist and fall back to clone.
	absent := seccomp.SyscallGroup{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}}
	err = seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Policy: seccomp.Policy{
		DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{deny, absent, otherSockets()}}})
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return onlyNative(uint32(here.ID))
}

// otherSockets are all but those of Unix, IPv4, IPv6 and the questions that
// libraries ask about the own network. Some families know no network namespace
// (AF_VSOCK leads to the hypervisor and past every rule); the rest are parts of
// the kernel that no server needs.
func otherSockets() seccomp.SyscallGroup {
	unlike := func(argument uint32, value uint64) seccomp.Condition {
		return seccomp.Condition{Argument: argument, Operation: seccomp.NotEqual, Value: value}
	}
	family := seccomp.ArgumentConditions{unlike(0, unix.AF_UNIX), unlike(0, unix.AF_INET), unlike(0, unix.AF_INET6), unlike(0, unix.AF_NETLINK)}
	netlink := seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.Equal, Value: unix.AF_NETLINK}, unlike(2, unix.NETLINK_ROUTE)}
	return seccomp.SyscallGroup{Action: seccomp.ActionErrno | seccomp.Action(unix.EAFNOSUPPORT),
		NamesWithCondtions: []seccomp.NameWithConditions{{Name: "socket", Conditions: family}, {Name: "socket", Conditions: netlink}}}
}

// onlyNative ends whoever makes a system call of another architecture: the same
// numbers mean other calls there, and the list above would not hold.
func onlyNative(native uint32) error {
	const archOffset = 4 // in struct seccomp_data
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: archOffset},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: native, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp, native calls only: %w", errno)
	}
	return nil
}

// DropCapabilities of the calling thread: all sets, so that nothing can come back.
func DropCapabilities() error {
	if err := DropBounding(); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// DropBounding drops what the thread could ever get, and what it would hand on.
func DropBounding() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop ambient capabilities: %w", err)
	}
	for c := uintptr(0); ; c++ {
		if _, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0); err != nil {
			return nil // past the last one this kernel knows
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
}
