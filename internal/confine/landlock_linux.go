package confine

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What Landlock tells apart, by what a program needs it for. All of it is denied
// but where a rule allows it.
const (
	// Use is what every place of the own root allows. What is reached past it,
	// through a descriptor or a link of /proc, can be neither read nor executed.
	Use = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	// Fill is to write and truncate files that are there.
	Fill = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	// Arrange is to make, move and remove files; REFER moves between directories.
	Arrange = unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	// never: device files, and what only their drivers know.
	never = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// landlockSince are the versions of Landlock in which a right came; the others
// are of the first.
var landlockSince = map[uint64]int{
	unix.LANDLOCK_ACCESS_FS_REFER: 2, unix.LANDLOCK_ACCESS_FS_TRUNCATE: 3, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV: 5,
}

const (
	// landlockScoped is the version from which signals and abstract sockets stay inside.
	landlockScoped = 6
	// landlockPorts is the version from which ports are told apart.
	landlockPorts = 4
	// landlockRulePort says that a rule is about a port.
	landlockRulePort = 2
)

// portRule is the kernel's struct landlock_net_port_attr.
type portRule struct {
	allowed uint64
	port    uint64
}

// Rule allows rights at a place and below it; a place that is not there needs none.
type Rule struct {
	Path   string
	Rights uint64
}

// Files lets the calling thread, and all that comes of it, do with files only what
// the rules allow, and sets no_new_privs. A kernel without Landlock has only the
// rest of the walls, an older one those rights that it knows.
func Files(rules []Rule) error { return restrict(rules, nil) }

// restrict is Files that, where there are ports, denies to connect to others over
// TCP, and to open any.
func restrict(rules []Rule, ports *[]uint16) error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno == unix.ENOSYS || errno == unix.EOPNOTSUPP {
		return nil
	}
	if errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	known := landlockKnown(int(version))
	if version < landlockPorts {
		ports = nil
	}
	ruleset, err := landlockRuleset(int(version), known, ports != nil)
	if err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	defer unix.Close(int(ruleset))
	for _, r := range rules {
		if err := landlockAllow(ruleset, r.Path, r.Rights&known); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("landlock: %s: %w", r.Path, err)
		}
	}
	if ports != nil {
		for _, port := range *ports {
			if err := landlockConnect(ruleset, port); err != nil {
				return fmt.Errorf("landlock: port %d: %w", port, err)
			}
		}
	}
	if err := noNewPrivileges(); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	return nil
}

// landlockKnown are the rights that a version tells apart.
func landlockKnown(version int) uint64 {
	known := uint64(Use | Fill | Arrange | never)
	for right, since := range landlockSince {
		if version < since {
			known &^= right
		}
	}
	return known
}

func landlockRuleset(version int, known uint64, ports bool) (uintptr, error) {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: known}
	size := unsafe.Sizeof(attr.Handled_access_fs) // all of it in the oldest version
	if ports {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size = unsafe.Offsetof(attr.Handled_access_net) + unsafe.Sizeof(attr.Handled_access_net)
	}
	if version >= landlockScoped {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		size = unsafe.Offsetof(attr.Scoped) + unsafe.Sizeof(attr.Scoped)
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return 0, errno
	}
	return fd, nil
}

// landlockFile are the rights that can be allowed for what is no directory.
const landlockFile = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | Fill | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

func landlockAllow(ruleset uintptr, path string, rights uint64) error {
	place, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(place)
	var s unix.Stat_t
	if err := unix.Fstat(place, &s); err != nil {
		return err
	}
	if s.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= landlockFile
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(place)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, ruleset, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func landlockConnect(ruleset uintptr, port uint16) error {
	rule := portRule{allowed: unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, port: uint64(port)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, ruleset, landlockRulePort, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// noNewPrivileges: nothing that this thread executes gets more than it has.
func noNewPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	return nil
}
