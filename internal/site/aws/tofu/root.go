package tofu

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"godwit/internal/lockfile"
)

// Root is a rendered directory with a state of its own.
type Root struct {
	Dir  string `json:"dir"`  // of the whole rendered tree
	Name string `json:"name"` // AccountRoot, or EnvironmentRoot of one
}

// AccountRoot is the root of what there is one of in an account; it makes the
// bucket that all states are kept in, its own included.
const AccountRoot = "account"

const environments = "environments/"

// EnvironmentRoot is the root of an environment.
func EnvironmentRoot(environment string) string { return environments + environment }

// Files in a root that are not rendered.
const (
	private      = ".godwit" // only its owner may look into it
	localState   = private + "/terraform.tfstate"
	defaultPlan  = private + "/plan"
	lockFile     = private + "/lock"
	stampFile    = private + "/initialised"
	overrideFile = "godwit_override.tf.json"
	backendFile  = private + "/state.tfbackend.json"
	erroredState = "errored.tfstate"
)

// ErrRoot: there is no such root.
var ErrRoot = errors.New("no rendered root")

// ErrBusy: another godwit is at work in the same root.
var ErrBusy = errors.New("another godwit is at work here")

func (r Root) path() string            { return filepath.Join(r.Dir, filepath.FromSlash(r.Name)) }
func (r Root) file(name string) string { return filepath.Join(r.path(), filepath.FromSlash(name)) }

// flag is how the command line names the root.
func (r Root) flag() string {
	if r.account() {
		return "--account"
	}
	return "--env " + r.key()
}

func (r Root) account() bool                 { return r.Name == AccountRoot }
func (r Root) read(n string) ([]byte, error) { return os.ReadFile(r.file(n)) }

// key is the name of the root in the bucket: see convention.StateKey.
func (r Root) key() string { return strings.TrimPrefix(r.Name, environments) }

func (r Root) has(name string) bool {
	_, err := os.Lstat(r.file(name))
	return err == nil
}

func (r Root) remove(name string) error {
	err := os.Remove(r.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// check says whether the root is there, and makes its private directory.
func (r Root) check() error {
	clean := path.Clean(r.Name)
	if clean != r.Name || clean != AccountRoot && path.Dir(clean)+"/" != environments {
		return fmt.Errorf("%w: %q is neither %q nor %s and an environment", ErrRoot, r.Name, AccountRoot, environments)
	}
	rendered, err := filepath.Glob(r.file("*.tf"))
	if err != nil {
		return err
	}
	if len(rendered) == 0 {
		return fmt.Errorf("%w: %s holds no .tf file: run `godwit aws render` first", ErrRoot, r.path())
	}
	if err := os.Mkdir(r.file(private), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chmod(r.file(private), 0o700)
}

// alone runs f while no other godwit works in the root.
func (d *Driver) alone(r Root, f func() error) error {
	if err := r.check(); err != nil {
		return err
	}
	lock, err := lockfile.Try(r.file(lockFile), lockfile.Alone)
	if errors.Is(err, lockfile.ErrHeld) {
		return fmt.Errorf("%w: %s is locked: wait until it is done", ErrBusy, r.path())
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }()
	return f()
}

// digest is of everything rendered that the root may use: itself and all that
// is no other root. What the program and this package leave there is no part of it.
func (r Root) digest() (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(r.Dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(r.Dir, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if entry.IsDir() {
			if relative != "." && (strings.HasPrefix(entry.Name(), ".") || r.foreign(relative)) {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || !input(relative, path.Dir(relative) == r.Name) {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%q %d\n", relative, len(text))
		sum.Write(text)
		return nil
	})
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), err
}

// foreign: a directory that belongs to another root.
func (r Root) foreign(dir string) bool {
	if dir == AccountRoot {
		return !r.account()
	}
	if dir+"/" == environments {
		return r.account()
	}
	return path.Dir(dir)+"/" == environments && dir != r.Name
}

// inputs are what the program reads of a root's own directory, where others put
// plans and states too.
var inputs = []string{".tf", ".tf.json", ".tfvars", ".tfvars.json", ".hcl", ".tftpl"}

// input says whether the program may read a file.
func input(name string, own bool) bool {
	base := path.Base(name)
	if base == overrideFile || base == ".terraform.lock.hcl" || strings.Contains(base, ".tfstate") {
		return false
	}
	return !own || slices.ContainsFunc(inputs, func(ending string) bool { return strings.HasSuffix(base, ending) })
}

// writePrivate writes a file that only its owner reads, whole or not at all.
func writePrivate(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func writePrivateJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writePrivate(name, append(b, '\n'))
}

// syncDir makes what was renamed or removed in a directory last.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// lockDown takes from others the right to read what the program wrote.
func (r Root) lockDown() error {
	var all error
	for _, pattern := range []string{"*.tfstate*", private + "/*"} {
		found, err := filepath.Glob(r.file(pattern))
		all = errors.Join(all, err)
		for _, name := range found {
			if err := os.Chmod(name, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
				all = errors.Join(all, err)
			}
		}
	}
	return all
}
