package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"godwit/internal/lockfile"
)

// Export writes an image as an OCI layout directory to path, which must not
// exist; it appears there whole.
func (s *Store) Export(ctx context.Context, digest, path string) error {
	if err := s.export(ctx, digest, path); err != nil {
		return fmt.Errorf("export image %s to %s: %w", digest, path, err)
	}
	return nil
}

func (s *Store) export(ctx context.Context, digest, path string) (err error) {
	unlock, err := s.lock(ctx, "lock", lockfile.Shared)
	if err != nil {
		return err
	}
	defer unlock()
	src, hash, err := s.open(digest)
	if err != nil {
		return err
	}
	defer src.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, os.ErrExist)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), ".godwit-export-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	dst, err := newLayout(tmp)
	if err != nil {
		return err
	}
	defer dst.Close()
	desc, err := src.descriptor(hash)
	if err != nil {
		return err
	}
	if err := copyImage(ctx, src, dst, desc, s.limits); err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(tmp, 0o755), syncTree(tmp), os.Rename(tmp, path)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// descriptor of the manifest that a layout in the store is named by.
func (l *layout) descriptor(hash v1.Hash) (v1.Descriptor, error) {
	info, err := l.root.Stat(blobPath(hash))
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("%w: manifest: %v", ErrCorrupt, err)
	}
	return v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: hash, Size: info.Size()}, nil
}
