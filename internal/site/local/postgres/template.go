package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"godwit/internal/lockfile"
)

const (
	// templateMark is written last into a template; it says what made it.
	templateMark = "godwit.template"
	// templateFormat changes when initdb is called differently.
	templateFormat = "1"
	// bootstrapUser is the superuser of every template. It has no password, so
	// nobody can log in as it before Prepare gives it one.
	bootstrapUser = "godwit"
)

// TemplateDir is the usual place of the template of an installation.
func TemplateDir(inst Installation) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "template-"+inst.Version), nil
}

// EnsureTemplate makes the cluster that data directories are copied from, unless
// dir holds one of this version already. Of several processes that want it at
// once, one works and the others wait. Root runs initdb as DefaultID.
func EnsureTemplate(ctx context.Context, inst Installation, dir string) error {
	if err := ensureTemplate(ctx, inst, dir); err != nil {
		return fmt.Errorf("template %s: %w", dir, err)
	}
	return nil
}

func ensureTemplate(ctx context.Context, inst Installation, dir string) error {
	if templateMade(inst, dir) {
		return nil
	}
	if err := makeOpen(filepath.Dir(dir)); err != nil {
		return err
	}
	held, err := lockfile.Wait(ctx, templateLock(dir), lockfile.Alone)
	if err != nil {
		return err
	}
	defer held.Close()
	if templateMade(inst, dir) {
		return nil
	}
	if err := removeTemplate(dir); err != nil {
		return err
	}
	making := dir + ".making"
	if err := os.RemoveAll(making); err != nil {
		return err
	}
	if err := makeTemplate(ctx, inst, making, held); err != nil {
		return errors.Join(err, os.RemoveAll(making))
	}
	if err := os.Rename(making, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func mark(inst Installation) string { return inst.Version + " " + templateFormat + "\n" }

func templateMade(inst Installation, dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, templateMark))
	return err == nil && string(b) == mark(inst)
}

// removeTemplate removes a template of another version, and nothing else.
func removeTemplate(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, templateMark)); err != nil && len(entries) > 0 {
		return fmt.Errorf("%w: it holds no template; move it away or name another", ErrOccupied)
	}
	return os.RemoveAll(dir)
}

func makeTemplate(ctx context.Context, inst Installation, dir string, held *lockfile.Lock) error {
	id, err := resolveIdentity(0, 0)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := id.own(dir); err != nil {
		return err
	}
	if err := id.reach(dir); err != nil {
		return err
	}
	// The collation is C so that a new libc never reorders an index; characters
	// are classified as UTF-8. Who may connect is Prepare's matter.
	cmd := exec.CommandContext(ctx, filepath.Join(inst.Bin, "initdb"), "-D", dir, "-U", bootstrapUser,
		"--auth=reject", "--encoding=UTF8", "--locale=C.UTF-8", "--lc-collate=C", "--data-checksums", "--no-sync")
	cmd.Env, cmd.Dir, cmd.SysProcAttr = inst.environ(), "/", id.attributes()
	// The program outlives an engine that is killed, and the next one must not begin
	// here before it has ended.
	cmd.ExtraFiles = []*os.File{held.File()}
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("initdb: %w: %s", err, out))
	}
	// What servers are copied from must not belong to the id that a server may
	// have: it is ours again.
	if err := chownTree(dir, identity{os.Geteuid(), os.Getegid()}); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, templateMark), []byte(mark(inst)), 0o600); err != nil {
		return err
	}
	return syncTree(dir)
}

// templateLock keeps a template from being replaced while it is copied.
func templateLock(dir string) string { return dir + ".lock" }

// own gives a file to id; nothing to do when that is who we are.
func (id identity) own(path string) error {
	if id.uid == os.Geteuid() && id.gid == os.Getegid() {
		return nil
	}
	return os.Lchown(path, id.uid, id.gid)
}

func chownTree(dir string, id identity) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, id.uid, id.gid)
	})
}
