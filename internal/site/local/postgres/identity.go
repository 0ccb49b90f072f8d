package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// DefaultID is the user and group id that root drops to where none is given:
// Linux's "nobody". Postgres refuses to run as root.
const DefaultID = 65534

// identity is who runs a program of Postgres.
type identity struct{ uid, gid int }

// resolveIdentity fills in what was left open: DefaultID for root, else oneself.
func resolveIdentity(uid, gid int) (identity, error) {
	own := os.Geteuid()
	if own != 0 {
		if uid != 0 && uid != own {
			return identity{}, fmt.Errorf("only root can run Postgres as id %d; leave the id open", uid)
		}
		return identity{own, os.Getegid()}, nil
	}
	if uid == 0 {
		uid = DefaultID
	}
	if gid == 0 {
		gid = uid
	}
	return identity{uid, gid}, nil
}

// attributes make a child run as id; nil when that is who we are.
func (id identity) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if id.uid != os.Geteuid() {
		a.Credential = &syscall.Credential{Uid: uint32(id.uid), Gid: uint32(id.gid), Groups: []uint32{}}
	}
	return a
}

// reach checks that id may enter every directory above and including dir.
func (id identity) reach(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	for d := dir; ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil {
			return err
		}
		if !id.enters(info) {
			return fmt.Errorf("%w: id %d may not enter %s (%s); use a directory elsewhere, or chmod o+x it",
				ErrUnreachable, id.uid, d, info.Mode())
		}
		if d == filepath.Dir(d) {
			return nil
		}
	}
}

// makeOpen makes a directory, with those above it, that every id may enter,
// whatever the umask; those that exist are left as they are.
func makeOpen(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := makeOpen(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, os.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

func (id identity) enters(info os.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return true
	case int(s.Uid) == id.uid:
		return info.Mode()&0o100 != 0
	case int(s.Gid) == id.gid:
		return info.Mode()&0o010 != 0
	default:
		return info.Mode()&0o001 != 0
	}
}
