package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"godwit/internal/lockfile"
)

// Store is a directory of images. Its methods may be called concurrently, also
// by several processes.
//
//	images/<hex>/  one OCI layout per image
//	rootfs/<hex>/  its root file system, once it was unpacked
//	tmp/           what is being made; renamed into place when whole
type Store struct {
	dir    string
	limits limits
}

// Open opens the store in dir, which is made when it is not there. Ids other
// than the caller's must be able to enter dir for instances to run from it.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	for _, d := range []string{dir, filepath.Join(dir, "images"), filepath.Join(dir, "rootfs"), filepath.Join(dir, "tmp")} {
		if err := makeReadable(d); err != nil {
			return nil, fmt.Errorf("image store %s: %w", dir, err)
		}
	}
	return &Store{dir: dir, limits: defaultLimits}, nil
}

// makeReadable makes a directory, with those above it, that everybody may enter,
// whatever the umask; those that exist are left as they are.
func makeReadable(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := makeReadable(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, os.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// List returns the digests of all images, sorted.
func (s *Store) List(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "images"))
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var digests []string
	for _, e := range entries {
		digests = append(digests, "sha256:"+e.Name())
	}
	slices.Sort(digests)
	return digests, nil
}

// Prune removes every image, with its root file system, that keep does not
// want, and what crashed processes left half-made; it returns the digests it
// removed. It waits for running imports, builds and unpacks. An image whose
// instances still run must be kept, and so must one that was just built.
func (s *Store) Prune(ctx context.Context, keep func(digest string) bool) ([]string, error) {
	unlock, err := s.lock(ctx, "lock", lockfile.Alone)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := s.emptyTmp(); err != nil {
		return nil, fmt.Errorf("prune images: %w", err)
	}
	digests, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, d := range digests {
		if keep(d) {
			continue
		}
		if err := errors.Join(ctx.Err(), s.remove(d)); err != nil {
			return removed, fmt.Errorf("prune image %s: %w", d, err)
		}
		removed = append(removed, d)
	}
	return removed, nil
}

// remove takes the root file system first: an image without one is whole, a
// root file system without its image is not. Both leave their place by rename,
// so that nobody meets one half removed.
func (s *Store) remove(digest string) error {
	hex := strings.TrimPrefix(digest, "sha256:")
	for _, kind := range []string{"rootfs", "images"} {
		tmp, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "removed-")
		if err != nil {
			return err
		}
		err = os.Rename(filepath.Join(s.dir, kind, hex), filepath.Join(tmp, kind))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.RemoveAll(tmp); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(s.dir, hex+".lock"))
}

func (s *Store) emptyTmp() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, "tmp"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.dir, "tmp", e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// work gives fn a private directory of its own below tmp, and keeps Prune away
// meanwhile. Whatever fn leaves there is removed.
func (s *Store) work(ctx context.Context, fn func(tmp string) error) (err error) {
	unlock, err := s.lock(ctx, "lock", lockfile.Shared)
	if err != nil {
		return err
	}
	defer unlock()
	tmp, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	return fn(tmp)
}

// lock waits for a lock among processes and goroutines.
func (s *Store) lock(ctx context.Context, name string, kind lockfile.Kind) (unlock func(), err error) {
	l, err := lockfile.Wait(ctx, filepath.Join(s.dir, name), kind)
	if err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	return func() { _ = l.Unlock() }, nil
}

// commit moves a finished directory to its place, durably. When another process
// was first, its result, which is the same, stays.
func (s *Store) commit(made, kind, hex string) error {
	if err := syncTree(made); err != nil {
		return fmt.Errorf("write %s to disk: %w", kind, err)
	}
	place := filepath.Join(s.dir, kind, hex)
	if err := os.Rename(made, place); err != nil {
		if _, there := os.Stat(place); there == nil {
			return nil
		}
		return err
	}
	return syncDir(filepath.Join(s.dir, kind))
}

// open gives the layout of an image in the store.
func (s *Store) open(digest string) (*layout, v1.Hash, error) {
	hash, err := v1.NewHash(digest)
	if err != nil || hash.Algorithm != "sha256" {
		return nil, hash, fmt.Errorf("%w: %q is no sha256 digest", ErrNotFound, digest)
	}
	root, err := os.OpenRoot(filepath.Join(s.dir, "images", hash.Hex))
	if errors.Is(err, os.ErrNotExist) {
		return nil, hash, fmt.Errorf("%w: %s is not in %s; build or import it again", ErrNotFound, digest, s.dir)
	}
	if err != nil {
		return nil, hash, err
	}
	return &layout{root: root}, hash, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
