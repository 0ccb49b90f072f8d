package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// reach runs as the child of a godwit that was started again inside. It changes
// what any process here executes, in every way that a file's owner has, and says
// which of them worked.
func reach() {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		fmt.Println("REACH cannot look:", err)
	}
	for _, e := range append(names(entries), "self", "thread-self") {
		exe := "/proc/" + e + "/exe"
		target, err := os.Readlink(exe)
		if err != nil || target == "/guest" {
			continue // none, or the image's own
		}
		fmt.Println("REACH sees", exe, "->", target)
		for name, attempt := range changes(exe) {
			if err := attempt(); err == nil {
				fmt.Println("REACH worked:", name, exe)
			} else {
				fmt.Println("REACH", name, exe+":", err)
			}
		}
	}
	fmt.Println("REACH done")
}

func names(entries []os.DirEntry) (numbers []string) {
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") == "" {
			numbers = append(numbers, e.Name())
		}
	}
	return numbers
}

// changes of a file through a path, and through a descriptor that can only read.
func changes(path string) map[string]func() error {
	opened := func(flags int) func() error {
		return func() error {
			fd, err := syscall.Open(path, flags, 0)
			if err == nil {
				syscall.Close(fd)
			}
			return err
		}
	}
	through := func(do func(fd int) error) func() error {
		return func() error {
			fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
			if err != nil {
				return err
			}
			defer syscall.Close(fd)
			return do(fd)
		}
	}
	return map[string]func() error{
		"open to write":           opened(syscall.O_WRONLY),
		"open to read and write":  opened(syscall.O_RDWR),
		"open to append":          opened(syscall.O_WRONLY | syscall.O_APPEND),
		"open truncating":         opened(syscall.O_WRONLY | syscall.O_TRUNC),
		"open to read, truncated": opened(syscall.O_RDONLY | syscall.O_TRUNC),
		"truncate":                func() error { return syscall.Truncate(path, 0) },
		"chmod":                   func() error { return syscall.Chmod(path, 0o777) },
		"chown":                   func() error { return syscall.Chown(path, os.Getuid(), os.Getgid()) },
		"utimes":                  func() error { return syscall.Utimes(path, make([]syscall.Timeval, 2)) },
		"setxattr":                func() error { return syscall.Setxattr(path, "user.godwit", []byte("x"), 0) },
		"rename":                  func() error { return syscall.Rename(path, "/tmp/renamed") },
		"unlink":                  func() error { return syscall.Unlink(path) },
		"link": func() error {
			from, _ := syscall.BytePtrFromString(path)
			to, _ := syscall.BytePtrFromString("/tmp/linked")
			const cwd, follow = ^uintptr(99), 0x400
			return number(syscall.RawSyscall6(syscall.SYS_LINKAT, cwd, uintptr(unsafe.Pointer(from)), cwd, uintptr(unsafe.Pointer(to)), follow, 0))
		},
		"fchmod":    through(func(fd int) error { return syscall.Fchmod(fd, 0o777) }),
		"fchown":    through(func(fd int) error { return syscall.Fchown(fd, os.Getuid(), os.Getgid()) }),
		"ftruncate": through(func(fd int) error { return syscall.Ftruncate(fd, 0) }),
		"open again to write": through(func(fd int) error {
			again, err := syscall.Open(fmt.Sprintf("/proc/self/fd/%d", fd), syscall.O_WRONLY|syscall.O_TRUNC, 0)
			if err == nil {
				syscall.Close(again)
			}
			return err
		}),
		"set inode flags": through(func(fd int) error {
			const getFlags, setFlags = 0x80086601, 0x40086602
			var flags int
			if err := number(syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), getFlags, uintptr(unsafe.Pointer(&flags)))); err != nil {
				return err
			}
			flags |= 0x40 // no dump
			return number(syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), setFlags, uintptr(unsafe.Pointer(&flags))))
		}),
	}
}

func number(_, _ uintptr, errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
