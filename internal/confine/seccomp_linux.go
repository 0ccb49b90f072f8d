package confine

import (
	"fmt"
	"slices"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// Denied system calls answer "operation not permitted". Most would fail anyway
// without capabilities; the filter is there for the day that a kernel bug lies
// behind one of them.

// ofNobody is what nothing of godwit calls, nor what it starts: to change the kernel,
// the machine or its clock, and to look into other processes.
var ofNobody = []string{
	"ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "bpf", "perf_event_open",
	"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module", "query_module", "get_kernel_syms",
	"userfaultfd", "reboot", "swapon", "swapoff", "open_by_handle_at", "acct", "quotactl", "quotactl_fd", "syslog",
	"io_uring_setup", "io_uring_enter", "io_uring_register",
	"settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
	"iopl", "ioperm", "lookup_dcookie", "nfsservctl", "vhangup", "fanotify_init",
	"modify_ldt", "uselib", "ustat", "sysfs", "_sysctl", "migrate_pages", "move_pages",
}

// ofTools is what tools may call that an engine starts, which build an image or
// install Postgres, and nothing else does.
var ofTools = []string{
	"keyctl", "add_key", "request_key", "personality", "mknod", "mknodat", "chroot", "name_to_handle_at",
	"fsopen", "fsconfig", "fsmount", "fspick", "open_tree_attr", "setdomainname",
}

// ofMakers is what makes environments and instances. It is of no use to a server.
var ofMakers = []string{
	"mount", "umount2", "umount", "pivot_root", "open_tree", "move_mount", "mount_setattr", "unshare", "setns", "sethostname",
}

// namespaceFlags of clone; any of them denies it.
const namespaceFlags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Syscalls installs the seccomp filter of an instance on the calling thread, and
// no_new_privs.
func Syscalls() error { return filterServer(nil, false) }

// filterServer denies everything that a server has no use for, but some of netlink;
// with onlyTCP also what Landlock takes for no TCP.
func filterServer(netlink []uint64, onlyTCP bool) error {
	deny := denied(ofNobody, ofTools, ofMakers)
	deny.NamesWithCondtions = []seccomp.NameWithConditions{{Name: "clone",
		Conditions: []seccomp.Condition{{Argument: 0, Operation: seccomp.BitsSet, Value: namespaceFlags}}}}
	// The flags of clone3 lie in memory, where no filter sees them: programs are
	// told that it does not exist and fall back to clone.
	absent := seccomp.SyscallGroup{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}}
	sockets := otherSockets(netlink)
	if onlyTCP { // in one group: of several that name a call, the first one decides
		sockets.NamesWithCondtions = append(sockets.NamesWithCondtions, otherProtocols()...)
	}
	return filter(deny, absent, sockets)
}

// denied are system calls, as far as this machine has them.
func denied(lists ...[]string) seccomp.SyscallGroup {
	deny := seccomp.SyscallGroup{Action: seccomp.ActionErrno}
	here, err := arch.GetInfo("")
	if err != nil {
		return deny // filter says so
	}
	for _, name := range slices.Concat(lists...) {
		if _, known := here.SyscallNames[name]; known {
			deny.Names = append(deny.Names, name)
		}
	}
	return deny
}

// filter installs a filter on the calling thread, and no_new_privs.
func filter(groups ...seccomp.SyscallGroup) error {
	here, err := arch.GetInfo("")
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	err = seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Policy: seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: groups}})
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return onlyNative(uint32(here.ID))
}

// otherSockets are all but those of Unix, IPv4, IPv6 and the questions that
// libraries ask about the own network, and those asked for. Some families know no network namespace
// (AF_VSOCK leads to the hypervisor and past every rule); the rest are parts of
// the kernel that no server needs.
func otherSockets(asked []uint64) seccomp.SyscallGroup {
	unlike := func(argument uint32, value uint64) seccomp.Condition {
		return seccomp.Condition{Argument: argument, Operation: seccomp.NotEqual, Value: value}
	}
	family := seccomp.ArgumentConditions{unlike(0, unix.AF_UNIX), unlike(0, unix.AF_INET), unlike(0, unix.AF_INET6), unlike(0, unix.AF_NETLINK)}
	netlink := seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.Equal, Value: unix.AF_NETLINK}, unlike(2, unix.NETLINK_ROUTE)}
	for _, protocol := range asked {
		netlink = append(netlink, unlike(2, protocol))
	}
	return seccomp.SyscallGroup{Action: seccomp.ActionErrno | seccomp.Action(unix.EAFNOSUPPORT),
		NamesWithCondtions: []seccomp.NameWithConditions{{Name: "socket", Conditions: family}, {Name: "socket", Conditions: netlink}}}
}

// machineSockets are all but those of Unix, IPv4, IPv6 and the kernel's networks: no
// packets as they are, and no way to the hypervisor.
func machineSockets() seccomp.NameWithConditions {
	var none seccomp.ArgumentConditions
	for _, family := range []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK} {
		none = append(none, seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: family})
	}
	return seccomp.NameWithConditions{Name: "socket", Conditions: none}
}

// otherProtocols are those of IP but TCP and UDP: Landlock knows no ports of
// multipath TCP, which is otherwise as good.
func otherProtocols() []seccomp.NameWithConditions {
	var others []seccomp.NameWithConditions
	for _, family := range []uint64{unix.AF_INET, unix.AF_INET6} {
		only := seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.Equal, Value: family}}
		for _, protocol := range []uint64{unix.IPPROTO_IP, unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			only = append(only, seccomp.Condition{Argument: 2, Operation: seccomp.NotEqual, Value: protocol})
		}
		others = append(others, seccomp.NameWithConditions{Name: "socket", Conditions: only})
	}
	return others
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
