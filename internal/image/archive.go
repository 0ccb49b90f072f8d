package image

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// unpackArchive unpacks a tar or tar.gz of an image into dir. Such an archive
// holds directories, files and links among them; anything else is ErrUnsafe.
func unpackArchive(ctx context.Context, file, dir string, max limits) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%w: neither a directory nor a regular file", ErrUnusable))
	}
	stream, err := gunzip(f)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	spent := &budget{limits: max}
	for entries := tar.NewReader(spent.reader(ctx, stream)); ; {
		h, err := entries.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return damaged("archive", err)
		}
		if err := errors.Join(spent.file(), unpackEntry(root, h, entries)); err != nil {
			return err
		}
	}
}

func unpackEntry(root *os.Root, h *tar.Header, content io.Reader) error {
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir || name == "." {
		return unsafeEscape(name, root.MkdirAll(name, 0o755))
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return unsafeEscape(name, err)
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return unsafeEscape(name, writeFile(root, name, 0o644, content))
	case tar.TypeSymlink:
		// docker save of old writes a layer that several images share as a link.
		if _, err := cleanName(path.Join(path.Dir(name), h.Linkname)); err != nil || path.IsAbs(h.Linkname) {
			return fmt.Errorf("%w: link %s leads out, to %s", ErrUnsafe, name, h.Linkname)
		}
		return unsafeEscape(name, root.Symlink(h.Linkname, name))
	case tar.TypeLink:
		target, err := cleanName(h.Linkname)
		if err != nil {
			return err
		}
		return unsafeEscape(name, root.Link(target, name))
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("%w: %s is of type %q", ErrUnsafe, name, h.Typeflag)
	}
}

// writeFile makes a new file; an existing one would be a second entry of the
// same name, which it replaces.
func writeFile(root *os.Root, name string, mode os.FileMode, content io.Reader) error {
	if err := root.RemoveAll(name); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err != nil {
		err = damaged(name, err)
	}
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// cleanName is a name of an archive as a path below its root.
func cleanName(name string) (string, error) {
	if path.IsAbs(name) {
		return "", fmt.Errorf("%w: absolute path %q", ErrUnsafe, name)
	}
	for part := range strings.SplitSeq(path.Clean(name), "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: path %q leads out", ErrUnsafe, name)
		}
	}
	return path.Clean(name), nil
}

// gunzip decompresses what is compressed.
func gunzip(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	if magic, err := b.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, damaged("gzip", err)
	}
	return z, nil
}

// damaged says that a stream is broken, unless it ended for another reason that
// is known by name.
func damaged(what string, err error) error {
	for _, known := range []error{ErrTooLarge, ErrCorrupt, ErrUnsafe, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return err
		}
	}
	var disk *os.PathError
	if errors.As(err, &disk) {
		return err
	}
	return fmt.Errorf("%w: %s: %v", ErrCorrupt, what, err)
}

// unsafeEscape marks the refusal of os.Root to follow a path out.
func unsafeEscape(name string, err error) error {
	if err != nil && strings.Contains(err.Error(), "path escapes from parent") {
		return fmt.Errorf("%w: %s: %v", ErrUnsafe, name, err)
	}
	return err
}
