package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// tree is a root file system while layers are applied to it. Paths are resolved
// by itself, as seen from inside: an absolute link starts at the root, and ".."
// stops there. os.Root stands behind that and lets nothing out.
type tree struct {
	root *os.Root
	// written is what the current layer made, with the directories above it:
	// whiteouts hide only what layers below brought.
	written map[string]bool
	spent   *budget
}

// applyLayer applies the entries of one layer.
func applyLayer(ctx context.Context, root *os.Root, stream io.Reader, spent *budget) error {
	t := &tree{root: root, written: map[string]bool{".": true}, spent: spent}
	for entries := tar.NewReader(stream); ; {
		h, err := entries.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return damaged("tar", err)
		}
		if err := spent.file(); err != nil {
			return err
		}
		if err := t.apply(h, spent.reader(ctx, entries)); err != nil {
			return unsafeEscape(h.Name, err)
		}
	}
}

const whiteout = ".wh."

func (t *tree) apply(h *tar.Header, content io.Reader) error {
	name, err := cleanName(h.Name)
	if err != nil || name == "." || h.Typeflag == tar.TypeXGlobalHeader {
		return err
	}
	if base := path.Base(name); strings.HasPrefix(base, whiteout) {
		return t.hide(path.Dir(name), strings.TrimPrefix(base, whiteout))
	}
	dir, err := t.resolve(path.Dir(name), true)
	if err != nil {
		return err
	}
	place := path.Join(dir, path.Base(name))
	t.mark(place)
	switch h.Typeflag {
	case tar.TypeDir:
		return t.directory(place)
	case tar.TypeReg:
		return writeFile(t.root, place, fileMode(h.FileInfo().Mode()), content)
	case tar.TypeSymlink:
		return t.symlink(place, h.Linkname)
	case tar.TypeLink:
		return t.hardLink(place, h.Linkname)
	default:
		return fmt.Errorf("%w: %s is a device, a pipe or a socket (type %q); leave it out of the image", ErrUnsafe, name, h.Typeflag)
	}
}

// fileMode is a mode as everybody may read and nobody but the owner may write.
func fileMode(m os.FileMode) os.FileMode {
	if m&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

func (t *tree) mark(place string) {
	for ; !t.written[place]; place = path.Dir(place) {
		t.written[place] = true
	}
}

func (t *tree) directory(place string) error {
	if info, err := t.root.Lstat(place); err == nil && info.IsDir() {
		return nil
	}
	return errors.Join(t.root.RemoveAll(place), t.mkdir(place))
}

// mkdir sets the mode again because the umask may have taken from it.
func (t *tree) mkdir(place string) error {
	if err := t.root.Mkdir(place, 0o755); err != nil {
		return err
	}
	return t.root.Chmod(place, 0o755)
}

func (t *tree) symlink(place, target string) error {
	if !path.IsAbs(target) {
		if _, err := cleanName(path.Join(path.Dir(place), target)); err != nil || target == "" {
			return fmt.Errorf("%w: link %s leads out, to %q", ErrUnsafe, place, target)
		}
	}
	if err := t.root.RemoveAll(place); err != nil {
		return err
	}
	return t.root.Symlink(target, place)
}

func (t *tree) hardLink(place, target string) error {
	clean, err := cleanName(target)
	if err != nil {
		return err
	}
	dir, err := t.resolve(path.Dir(clean), false)
	if err != nil {
		return fmt.Errorf("%w: hard link %s to %s, which is not there", ErrUnsafe, place, target)
	}
	from := path.Join(dir, path.Base(clean))
	info, err := t.root.Lstat(from)
	if err != nil || info.IsDir() {
		return fmt.Errorf("%w: hard link %s to %s, which is no file of the image", ErrUnsafe, place, target)
	}
	if from == place {
		return nil
	}
	if err := t.root.RemoveAll(place); err != nil {
		return err
	}
	return t.root.Link(from, place)
}

// maxLinks bounds the links followed on one path, as the kernel does.
const maxLinks = 40

// resolve gives a directory as a path without links in it; create adds what is missing.
func (t *tree) resolve(dir string, create bool) (string, error) {
	at, rest := ".", strings.Split(dir, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at) // of "." that is "." again: nothing is above the root
			continue
		}
		next := path.Join(at, part)
		target, err := t.enter(next, create)
		if err != nil {
			return "", err
		}
		if target == "" {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%w: more than %d links on the path %s", ErrUnsafe, maxLinks, dir)
		}
		if path.IsAbs(target) {
			at = "."
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// enter looks at one step of a path: a directory, or a link to target.
func (t *tree) enter(place string, create bool) (target string, err error) {
	info, err := t.root.Lstat(place)
	switch {
	case errors.Is(err, os.ErrNotExist) && create:
		return "", t.mkdir(place)
	case err != nil:
		return "", err
	case info.IsDir():
		return "", nil
	case info.Mode().Type() == os.ModeSymlink:
		return t.root.Readlink(place)
	default:
		return "", fmt.Errorf("%w: %s is a file, but the path goes on below it", ErrUnsafe, place)
	}
}

// hide carries out a whiteout: name in dir is gone, or everything in dir (opaque).
func (t *tree) hide(dir, name string) error {
	opaque := name == ".wh..opq"
	if name == "" || name == "." || name == ".." {
		return fmt.Errorf("%w: whiteout of %q in %s", ErrUnsafe, name, dir)
	}
	if strings.HasPrefix(name, whiteout) && !opaque {
		return nil // bookkeeping of old union file systems
	}
	place, err := t.resolve(dir, false)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if opaque {
		return t.hideBelow(place)
	}
	return t.hideOne(path.Join(place, name))
}

// hideOne removes what layers below brought, and keeps what this layer made.
func (t *tree) hideOne(place string) error {
	if !t.written[place] {
		return t.root.RemoveAll(place)
	}
	if info, err := t.root.Lstat(place); err != nil || !info.IsDir() {
		return err
	}
	return t.hideBelow(place)
}

func (t *tree) hideBelow(dir string) error {
	d, err := t.root.Open(dir)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if err := t.hideOne(path.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
