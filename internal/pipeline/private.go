package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// private refuses a directory of runs that others may write to: what they put
// there would be taken for results and approvals.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is no directory", dir)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others may write to %s (mode %o), and could forge approvals: look at what is in it, then chmod go-w it", dir, info.Mode().Perm())
	case known && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() && os.Geteuid() != 0:
		return fmt.Errorf("%s belongs to %s, who could forge approvals: call godwit as that user, or take another --state", dir, account(int(owner.Uid)))
	}
	return nil
}

// give lets a file belong to whom the directory does: root answers a question of
// an ordinary user's run, who must be able to read the answer.
func give(f *os.File, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if owner, known := info.Sys().(*syscall.Stat_t); known && owner.Uid != 0 {
		return f.Chown(int(owner.Uid), int(owner.Gid))
	}
	return nil
}
