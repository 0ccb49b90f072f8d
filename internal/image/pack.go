package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// putTree writes a directory as one layer. It is not compressed: its digest then
// depends on no compressor's version, and instances start from it sooner.
func (l *layout) putTree(ctx context.Context, dir string, max limits) (v1.Descriptor, error) {
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(pack(ctx, w, dir, &budget{limits: max}))
	}()
	desc, err := l.put(ctx, r, types.OCIUncompressedLayer)
	r.CloseWithError(err)
	<-done
	return desc, err
}

// pack writes a reproducible tar: sorted by name, no times, root's, two modes.
func pack(ctx context.Context, w io.Writer, dir string, spent *budget) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	out := tar.NewWriter(w)
	// WalkDir visits in lexical order, so the order needs no care here.
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if err := spent.file(); err != nil {
			return err
		}
		return packOne(ctx, out, root, name, d, spent)
	})
	return errors.Join(err, out.Close())
}

func packOne(ctx context.Context, out *tar.Writer, root *os.Root, name string, d fs.DirEntry, spent *budget) error {
	h := &tar.Header{Name: filepath.ToSlash(name), ModTime: time.Unix(0, 0), Mode: 0o755}
	switch d.Type() {
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		return out.WriteHeader(h)
	case fs.ModeSymlink:
		target, err := root.Readlink(name)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
		return out.WriteHeader(h)
	case 0:
		return packFile(ctx, out, root, name, h, spent)
	default:
		return fmt.Errorf("%w: %s in $OUT is a device, a pipe or a socket", ErrUnsafe, name)
	}
}

func packFile(ctx context.Context, out *tar.Writer, root *os.Root, name string, h *tar.Header, spent *budget) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Typeflag, h.Size, h.Mode = tar.TypeReg, info.Size(), int64(fileMode(info.Mode()))
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(out, spent.reader(ctx, f))
	return err
}
