package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"godwit/internal/lockfile"
)

// A data directory has one of two marks: what is being made, or what is done.
// The first becomes the second by a rename, after everything else.
const (
	preparingMark = "godwit.preparing"
	preparedMark  = "godwit.prepared"
)

// Settings of a data directory.
type Settings struct {
	AdminUser     string            // superuser; "" means "godwit"
	AdminPassword string            // required; printable
	UID, GID      int               // who runs the server and owns the directory (ids of the host); 0: DefaultID for root, else oneself
	Networks      []string          // CIDRs that may connect; empty means all
	Config        map[string]string // lines of postgresql.conf, over the defaults
	NoSync        bool              // don't wait for the disk: for data that may be lost
}

// Prepare makes a data directory from a template. One that is completely
// prepared is left alone, whatever the settings; one that was half made is
// remade; an empty one is used; anything else is ErrOccupied. It has to run on
// the host, not in a user namespace where its own id is 0.
func Prepare(ctx context.Context, inst Installation, templateDir, dataDir string, s Settings) error {
	if err := prepare(ctx, inst, templateDir, dataDir, s); err != nil {
		return fmt.Errorf("prepare data directory %s: %w", dataDir, err)
	}
	return nil
}

func prepare(ctx context.Context, inst Installation, templateDir, dataDir string, s Settings) error {
	if err := s.complete(); err != nil {
		return err
	}
	owner, err := resolveIdentity(s.UID, s.GID)
	if err != nil {
		return err
	}
	if err := makeOpen(filepath.Dir(dataDir)); err != nil {
		return err
	}
	if err := os.Mkdir(dataDir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	// The directory itself is the lock: it is there before and after.
	held, err := lockfile.Wait(ctx, dataDir, lockfile.Alone)
	if err != nil {
		return err
	}
	defer held.Close()
	if done, err := claim(dataDir); done || err != nil {
		return err
	}
	// A single-user session wants an id that has a name; the owner may have none.
	id, err := resolveIdentity(0, 0)
	if err != nil {
		return err
	}
	if err := id.fill(ctx, inst, templateDir, dataDir, s, held); err != nil {
		return err
	}
	if owner != id {
		if err := chownTree(dataDir, owner); err != nil {
			return err
		}
	}
	return finish(dataDir, s.NoSync)
}

// claim says whether a data directory is done, and makes an unfinished one
// empty and ours.
func claim(dataDir string) (done bool, err error) {
	entries, err := os.ReadDir(dataDir)
	if err != nil {
		return false, err
	}
	ours := len(entries) == 0
	for _, e := range entries {
		switch e.Name() {
		case preparedMark:
			return true, nil
		case preparingMark:
			ours = true
		}
	}
	if !ours {
		return false, fmt.Errorf("%w: it is not empty, and nothing says that it was made here; name another, or move it away", ErrOccupied)
	}
	for _, e := range entries {
		if e.Name() == preparingMark {
			continue // stays until the end, so that a crash in here changes nothing
		}
		if err := os.RemoveAll(filepath.Join(dataDir, e.Name())); err != nil {
			return false, err
		}
	}
	return false, os.WriteFile(filepath.Join(dataDir, preparingMark), nil, 0o600)
}

func (id identity) fill(ctx context.Context, inst Installation, templateDir, dataDir string, s Settings, held *lockfile.Lock) error {
	if err := errors.Join(os.Chmod(dataDir, 0o700), id.own(dataDir), id.own(filepath.Join(dataDir, preparingMark))); err != nil {
		return err
	}
	if err := id.reach(dataDir); err != nil {
		return err
	}
	if err := id.copyTemplate(ctx, inst, templateDir, dataDir); err != nil {
		return err
	}
	if err := identify(dataDir); err != nil {
		return err
	}
	for name, text := range map[string]string{"postgresql.conf": s.conf(), "pg_hba.conf": s.hba(), "pg_ident.conf": ""} {
		if err := id.writeFile(filepath.Join(dataDir, name), text); err != nil {
			return err
		}
	}
	return id.setAdministrator(ctx, inst, dataDir, s, held)
}

func (id identity) writeFile(path, text string) error {
	return errors.Join(os.WriteFile(path, []byte(text), 0o600), id.own(path))
}

func (id identity) copyTemplate(ctx context.Context, inst Installation, templateDir, dataDir string) error {
	held, err := lockfile.Wait(ctx, templateLock(templateDir), lockfile.Shared)
	if err != nil {
		return err
	}
	defer held.Close()
	if !templateMade(inst, templateDir) {
		return fmt.Errorf("%s holds no template of Postgres %s; call EnsureTemplate before", templateDir, inst.Version)
	}
	return filepath.WalkDir(templateDir, func(path string, d fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil || path == templateDir || d.Name() == templateMark {
			return err
		}
		rel, err := filepath.Rel(templateDir, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dataDir, rel)
		if d.IsDir() {
			return errors.Join(os.Mkdir(to, 0o700), id.own(to))
		}
		return id.copyFile(path, to)
	})
}

func (id identity) copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close(), id.own(to))
}

func finish(dataDir string, noSync bool) error {
	if !noSync {
		if err := syncTree(dataDir); err != nil {
			return err
		}
	}
	if err := os.Rename(filepath.Join(dataDir, preparingMark), filepath.Join(dataDir, preparedMark)); err != nil {
		return err
	}
	if noSync {
		return nil
	}
	return syncDir(dataDir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
