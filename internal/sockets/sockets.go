//go:build unix

// Package sockets keeps listening sockets beyond the process that serves them.
// Connections queue in the kernel while nobody serves; they are refused only
// once the last process has closed the socket.
//
// A Set is sockets by name. It goes from process to process in two ways: a child
// inherits it (Give, Inherit), and one that runs already is sent it over a unix
// socket (Send, Receive).
//
// It imports nothing of godwit; whoever serves or watches imports it.
package sockets

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Names of the sockets that a state directory has, beside those of its watchdogs.
const (
	API     = "api"     // the engine's
	Admin   = "admin"   // the gateway's, for the engine
	Clients = "clients" // the gateway's
)

// Set is listening sockets by name. It may be used from several goroutines.
type Set struct {
	mu    sync.Mutex
	files map[string]*os.File // each in non-blocking mode, as all who serve it need it
}

// Keep has the set hold a socket on, under a name, in place of what was there.
func (s *Set) Keep(name string, socket syscall.Conn) error {
	f, err := duplicate(name, socket)
	if err != nil {
		return fmt.Errorf("keep socket %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(name, f)
	return nil
}

// put takes f over. s.mu is held.
func (s *Set) put(name string, f *os.File) {
	if old := s.files[name]; old != nil {
		old.Close()
	}
	if s.files == nil {
		s.files = map[string]*os.File{}
	}
	s.files[name] = f
}

// duplicate takes a descriptor of its own, without (*os.File).Fd's side effect
// on the mode that all duplicates share.
func duplicate(name string, socket syscall.Conn) (*os.File, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var file *os.File
	var failed error
	err = raw.Control(func(fd uintptr) {
		dup, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			failed = err
			return
		}
		file, failed = adopt(dup, name)
	})
	if err == nil {
		err = failed
	}
	return file, err
}

// adopt makes a file of a descriptor, in non-blocking mode: then Fd leaves it so.
func adopt(fd int, name string) (*os.File, error) {
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Drop closes sockets; those that are not there are none's fault.
func (s *Set) Drop(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if f := s.files[name]; f != nil {
			f.Close()
			delete(s.files, name)
		}
	}
}

// Close drops all.
func (s *Set) Close() { s.Drop(s.Names()...) }

// Has reports whether the set holds a socket of this name.
func (s *Set) Has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[name] != nil
}

// Names of what it holds, in order.
func (s *Set) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.files))
}

// Listener is a listener on a kept socket; nil when there is none of this name.
// Closing it leaves the socket open, and its place in the file system too.
func (s *Set) Listener(name string) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[name]
	if f == nil {
		return nil, nil
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", name, err)
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	return ln, nil
}

// File is a descriptor of its own for what is kept under a name; nil when there is
// nothing.
func (s *Set) File(name string) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[name]
	if f == nil {
		return nil, nil
	}
	return duplicate(name, f)
}

// Address is where a kept socket listens, "" when there is none of this name.
func (s *Set) Address(name string) string {
	ln, err := s.Listener(name)
	if err != nil || ln == nil {
		return ""
	}
	defer ln.Close()
	return ln.Addr().String()
}

// Identities tell sockets apart: two sets with the same hold the same sockets.
func (s *Set) Identities() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := map[string]uint64{}
	for name, f := range s.files {
		if info, err := f.Stat(); err == nil {
			ids[name] = info.Sys().(*syscall.Stat_t).Ino
		}
	}
	return ids
}

// Become makes s hold what other holds, which is empty then. What both hold is
// not closed for an instant.
func (s *Set) Become(other *Set) {
	other.mu.Lock()
	files := other.files
	other.files = nil
	other.mu.Unlock()
	s.mu.Lock()
	old := s.files
	s.files = files
	s.mu.Unlock()
	for _, f := range old {
		f.Close()
	}
}

// only is a set of some of the sockets, on descriptors of its own.
func (s *Set) only(keep func(name string) bool) (*Set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	some := &Set{}
	for name, f := range s.files {
		if !keep(name) {
			continue
		}
		dup, err := duplicate(name, f)
		if err != nil {
			some.Close()
			return nil, fmt.Errorf("socket %s: %w", name, err)
		}
		some.put(name, dup)
	}
	return some, nil
}
