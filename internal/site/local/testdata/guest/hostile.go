package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

func hostileHandlers() {
	http.HandleFunc("/hostile", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(hostile()) })
	http.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(bomb()) })
	http.HandleFunc("/eat", func(w http.ResponseWriter, _ *http.Request) { eat() })
}

// hostile looks for ways out and says which there are.
func hostile() []string {
	var found []string
	report := func(format string, a ...any) { found = append(found, fmt.Sprintf(format, a...)) }
	families(report)
	netlinks(report)
	sources(report)
	addresses(report)
	writable(report)
	mounts(report)
	descriptors(report)
	scratch(report)
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0); err == nil {
		report("it is not among the first to go when memory runs out")
	}
	for _, dir := range []string{"/tmp", "/run", "/dev/shm"} {
		var s syscall.Statfs_t
		if err := syscall.Statfs(dir, &s); err != nil || s.Files == 0 || s.Files > 1<<17 {
			report("%s takes %d files (%v): each costs memory that no size limits", dir, s.Files, err)
		}
	}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, syscall.CLONE_NEWUSER|uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0); errno == 0 {
		report("cloned into a user namespace")
	}
	const x32 = 0x40000000
	if _, _, errno := syscall.RawSyscall6(x32+syscall.SYS_GETPID, 0, 0, 0, 0, 0, 0); errno == 0 {
		report("made a system call of another ABI")
	}
	return found
}

// families of sockets: some (vsock) know no network namespace, others are doors
// to parts of the kernel that no server needs.
func families(report func(string, ...any)) {
	useful := map[int]bool{syscall.AF_UNIX: true, syscall.AF_INET: true, syscall.AF_INET6: true, syscall.AF_NETLINK: true}
	for family := range 64 {
		for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_SEQPACKET, syscall.SOCK_RAW} {
			if fd, err := syscall.Socket(family, kind, 0); err == nil {
				syscall.Close(fd)
				if !useful[family] {
					report("a socket of family %d, kind %d", family, kind)
				}
			}
		}
	}
}

// netlinks other than the one that says which addresses there are.
func netlinks(report func(string, ...any)) {
	for protocol := 1; protocol < 24; protocol++ {
		if fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, protocol); err == nil {
			syscall.Close(fd)
			report("a netlink socket of protocol %d", protocol)
		}
	}
}

// sources: sending in somebody else's name.
func sources(report func(string, ...any)) {
	for name, option := range map[string]int{"transparent": syscall.IP_TRANSPARENT, "freebind": syscall.IP_FREEBIND} {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
		if err != nil {
			continue
		}
		err = syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, option, 1)
		if err == nil {
			err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: 4711, Addr: [4]byte{10, 9, 9, 9}})
		}
		if err == nil {
			err = syscall.Sendto(fd, []byte("forged"), 0, &syscall.SockaddrInet4{Port: 4711, Addr: [4]byte{10, 9, 9, 8}})
		}
		if err == nil {
			report("sent from another address (%s)", name)
		}
		syscall.Close(fd)
	}
}

func addresses(report func(string, ...any)) {
	all, err := net.Interfaces()
	if err != nil {
		report("interfaces: %v", err)
	}
	for _, i := range all {
		if i.Name != "lo" && i.Name != "eth0" {
			report("a link %s", i.Name)
		}
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			if ip := a.(*net.IPNet).IP; ip.To4() == nil && !ip.IsLoopback() {
				report("an IPv6 address %s on %s", ip, i.Name)
			}
		}
	}
	if conn, err := net.Dial("udp", "[ff02::1%eth0]:9"); err == nil {
		if _, err := conn.Write([]byte("anybody there?")); err == nil {
			report("sent to all IPv6 nodes of the link")
		}
		conn.Close()
	}
}

// writable files and directories anywhere but where they are meant to be.
func writable(report func(string, ...any)) {
	meant := []string{"/tmp", "/run", "/dev/shm"}
	filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		for _, m := range meant {
			if path == m {
				return fs.SkipDir
			}
		}
		parts := strings.Split(path, "/")
		if len(parts) > 2 && parts[1] == "proc" && (strings.Trim(parts[2], "0123456789") == "" || parts[2] == "self" || parts[2] == "thread-self") {
			return fs.SkipDir // its own
		}
		if err != nil {
			return nil
		}
		if d.IsDir() {
			if f, err := os.CreateTemp(path, "x"); err == nil {
				f.Close()
				report("made a file in %s", path)
			}
			return nil
		}
		if d.Type()&fs.ModeSymlink != 0 || d.Type()&fs.ModeDevice != 0 {
			return nil
		}
		if fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			var s syscall.Stat_t
			// Masked parts of /proc are /dev/null.
			if syscall.Fstat(fd, &s) == nil && s.Mode&syscall.S_IFMT != syscall.S_IFCHR {
				report("%s can be written", path)
			}
			syscall.Close(fd)
		}
		return nil
	})
}

func mounts(report func(string, ...any)) {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		fields := strings.Fields(line)
		at, options := fields[4], ","+fields[5]+","
		if strings.HasPrefix(at, "/dev/") && at != "/dev/shm" || strings.HasPrefix(at, "/proc/") {
			continue // devices, and parts of /proc
		}
		if !strings.Contains(options, ",nosuid,") || !strings.Contains(options, ",nodev,") {
			report("mount %s is %s", at, options)
		}
	}
}

// scratch does what every program may: its walls are not to be in its own way.
func scratch(report func(string, ...any)) {
	try := func(what string, err error) {
		if err != nil {
			report("%s is not possible: %v", what, err)
		}
	}
	for _, dir := range []string{"/tmp", "/run", "/dev/shm"} {
		for _, sub := range []string{"a", "b"} {
			try("making a directory", os.Mkdir(filepath.Join(dir, sub), 0o700))
		}
		from, to := filepath.Join(dir, "a", "file"), filepath.Join(dir, "b", "file")
		try("writing", os.WriteFile(from, []byte("text"), 0o600))
		try("moving to another directory", os.Rename(from, to))
		try("linking", os.Link(to, from))
		try("linking by name", os.Symlink(to, from+"2"))
		try("truncating", os.Truncate(to, 1))
		ln, err := net.Listen("unix", filepath.Join(dir, "a", "socket"))
		try("listening", err)
		if err == nil {
			ln.Close()
		}
		for _, sub := range []string{"a", "b"} {
			try("removing", os.RemoveAll(filepath.Join(dir, sub)))
		}
	}
	f, err := os.OpenFile("/dev/null", os.O_WRONLY|os.O_TRUNC, 0)
	try("writing to /dev/null", err)
	if err == nil {
		f.Close()
	}
}

// descriptors that it was not given on purpose.
func descriptors(report func(string, ...any)) {
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		target, err := os.Readlink("/proc/self/fd/" + fd.Name())
		ok := err != nil || target == "/dev/null" || strings.HasSuffix(target, "/fd")
		for _, kind := range []string{"pipe:", "socket:", "anon_inode:[event"} {
			ok = ok || strings.HasPrefix(target, kind)
		}
		if !ok {
			report("descriptor %s is %s", fd.Name(), target)
		}
	}
}

// bomb starts processes until it can't, and says how many those were.
func bomb() (started int) {
	var all []*exec.Cmd
	for range 5000 {
		cmd := exec.Command("/proc/self/exe", "wait")
		if in, err := cmd.StdinPipe(); err != nil || cmd.Start() != nil {
			break
		} else {
			defer in.Close()
		}
		all = append(all, cmd)
	}
	for _, cmd := range all {
		cmd.Process.Kill()
		cmd.Wait()
	}
	return len(all)
}

// eat takes memory, and uses it, until it is stopped.
func eat() {
	var all [][]byte
	for {
		b := make([]byte, 16<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		all = append(all, b)
	}
}
