package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"godwit/internal/lockfile"
)

// Unpack makes the root file system of an image, once; later calls return the
// same again. Directories are 0755, files 0644 or 0755; owners, times and
// special bits of the image are not taken over.
func (s *Store) Unpack(ctx context.Context, digest string) (Image, error) {
	image, err := s.unpack(ctx, digest)
	if err != nil {
		return Image{}, fmt.Errorf("unpack image %s: %w", digest, err)
	}
	return image, nil
}

func (s *Store) unpack(ctx context.Context, digest string) (image Image, err error) {
	err = s.work(ctx, func(tmp string) error {
		src, hash, err := s.open(digest)
		if err != nil {
			return err
		}
		defer src.Close()
		desc, err := src.descriptor(hash)
		if err != nil {
			return err
		}
		manifest, config, err := src.image(desc, s.limits)
		if err != nil {
			return err
		}
		image = runnable(digest, filepath.Join(s.dir, "rootfs", hash.Hex), config.Config)
		return s.ensureRootfs(ctx, src, hash.Hex, tmp, manifest, config)
	})
	return image, err
}

func runnable(digest, rootfs string, c v1.Config) Image {
	image := Image{Digest: digest, Rootfs: rootfs, Env: c.Env, WorkDir: path.Join("/", c.WorkingDir)}
	image.Entrypoint = append(append(image.Entrypoint, c.Entrypoint...), c.Cmd...)
	return image
}

// ensureRootfs unpacks unless that was done; of several that want it at once,
// one works and the others wait.
func (s *Store) ensureRootfs(ctx context.Context, src *layout, hex, tmp string, m *v1.Manifest, c *v1.ConfigFile) error {
	unlock, err := s.lock(ctx, hex+".lock", lockfile.Alone)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(filepath.Join(s.dir, "rootfs", hex)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	made := filepath.Join(tmp, "rootfs")
	if err := errors.Join(os.Mkdir(made, 0o755), os.Chmod(made, 0o755)); err != nil {
		return err
	}
	root, err := os.OpenRoot(made)
	if err != nil {
		return err
	}
	defer root.Close()
	spent := &budget{limits: s.limits}
	for i, layer := range m.Layers {
		if err := unpackLayer(ctx, root, src, layer, c.RootFS.DiffIDs[i], spent); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	return s.commit(made, "rootfs", hex)
}

// unpackLayer applies one layer and checks it to its last byte, compressed and
// uncompressed: the tar may end before the stream does.
func unpackLayer(ctx context.Context, root *os.Root, src *layout, desc v1.Descriptor, want v1.Hash, spent *budget) error {
	stream, err := src.layer(desc)
	if err != nil {
		return damaged("layer", err)
	}
	defer stream.Close()
	sum := sha256.New()
	// Counted apart from the files: a sparse file is larger than its stream.
	raw := &budget{limits: spent.limits}
	tee := io.TeeReader(raw.reader(ctx, stream), sum)
	if err := applyLayer(ctx, root, tee, spent); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return damaged("layer", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want.Hex {
		return fmt.Errorf("%w: unpacked it has digest sha256:%s, the configuration says %s", ErrCorrupt, got, want)
	}
	return nil
}
