package packer

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"godwit/internal/image"
)

// Contents are what an OCI image holds, as far as its machine image depends on it.
type Contents struct {
	Architecture string   // as OCI calls it: amd64, arm64
	Entrypoint   []string // the program's absolute path first
	Env          []string // NAME=value
	WorkDir      string
	Rootfs       string // sha256 of the root file system as a tar, in hex
	Size         int64  // of that tar, in bytes
	Certificates bool   // it brings its own root certificates
	Static       bool   // the program is of Go and brings all its code: it needs no memory both writable and executable
	SBOM         []byte // CycloneDX
}

// rootfsFile is the archive of the root file system, in a bake's directory.
const rootfsFile = "rootfs.tar.gz"

// Read takes an image out of the store: what it holds, and into dir its root file
// system as an archive, the same bytes for the same image.
func Read(ctx context.Context, store *image.Store, digest, service, dir string) (Contents, error) {
	c, err := read(ctx, store, digest, service, dir)
	if errors.Is(err, image.ErrNotFound) {
		return c, fmt.Errorf("image %s of service %s is not in the store: build it first, as a pipeline's build stage does: %w", digest, service, err)
	}
	if err != nil {
		return c, fmt.Errorf("image %s of service %s: %w", digest, service, err)
	}
	return c, nil
}

func read(ctx context.Context, store *image.Store, digest, service, dir string) (Contents, error) {
	unpacked, err := store.Unpack(ctx, digest)
	if err != nil {
		return Contents{}, err
	}
	config, err := readConfig(ctx, store, digest, filepath.Join(dir, "oci"))
	if err != nil {
		return Contents{}, err
	}
	if _, known := architectures()[config.Architecture]; !known {
		return Contents{}, fmt.Errorf("%w: it is for %s, and EC2 has machines for amd64 and arm64 only: build it for one of these",
			image.ErrUnusable, config.Architecture)
	}
	root, err := os.OpenRoot(unpacked.Rootfs)
	if err != nil {
		return Contents{}, err
	}
	defer root.Close()
	c := Contents{Architecture: config.Architecture, Env: unpacked.Env, WorkDir: unpacked.WorkDir}
	if c.Entrypoint, err = resolve(root, unpacked); err != nil {
		return Contents{}, err
	}
	if _, err := root.Stat("etc/ssl/certs/ca-certificates.crt"); err == nil {
		c.Certificates = true
	}
	c.Static = static(root, c.Entrypoint[0])
	if c.SBOM, err = billOfMaterials(ctx, root, service, digest); err != nil {
		return Contents{}, fmt.Errorf("bill of materials: %w", err)
	}
	c.Rootfs, c.Size, err = archive(ctx, root, filepath.Join(dir, rootfsFile))
	return c, err
}

// readConfig reads the image's configuration from an export of it, which is
// removed again.
func readConfig(ctx context.Context, store *image.Store, digest, dir string) (config v1.ConfigFile, err error) {
	if err := store.Export(ctx, digest, dir); err != nil {
		return config, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	blob := func(digest string, into any) error {
		b, err := os.ReadFile(filepath.Join(dir, "blobs", filepath.FromSlash(strings.Replace(digest, ":", "/", 1))))
		if err != nil {
			return err
		}
		return json.Unmarshal(b, into)
	}
	var manifest v1.Manifest
	if err := blob(digest, &manifest); err != nil {
		return config, err
	}
	return config, blob(manifest.Config.Digest.String(), &config)
}

// resolve makes the entrypoint's path absolute: systemd would look for it in
// places of its own. It is looked up as a container would: in PATH, or from the
// working directory.
func resolve(root *os.Root, i image.Image) ([]string, error) {
	name := i.Entrypoint[0]
	var places []string
	switch {
	case path.IsAbs(name):
		places = []string{name}
	case strings.Contains(name, "/"):
		places = []string{path.Join(i.WorkDir, name)}
	default:
		for dir := range strings.SplitSeq(searchPath(i.Env), ":") {
			places = append(places, path.Join("/", dir, name))
		}
	}
	for _, p := range places {
		// A link that is absolute inside the image cannot be followed from here; the
		// machine can.
		info, err := root.Lstat(p[1:])
		if err == nil && (info.Mode()&fs.ModeSymlink != 0 || info.Mode().IsRegular() && info.Mode()&0o111 != 0) {
			return append([]string{p}, i.Entrypoint[1:]...), nil
		}
		if err != nil && len(places) == 1 && path.IsAbs(name) && throughLink(root, p) {
			return i.Entrypoint, nil
		}
	}
	return nil, fmt.Errorf("%w: its entrypoint %q is no executable file in it (looked for %s)", image.ErrUnusable, name, strings.Join(places, ", "))
}

// throughLink says whether a directory on the way is a link, as /bin often is.
func throughLink(root *os.Root, p string) bool {
	for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
		if info, err := root.Lstat(dir[1:]); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return true
		}
	}
	return false
}

const standardPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func searchPath(env []string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			return v
		}
	}
	return standardPath
}

// archive writes the root file system as a tar.gz and returns the sha256 of the
// tar: sorted, without times, everything root's.
func archive(ctx context.Context, root *os.Root, file string) (sum string, size int64, err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", 0, err
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		return "", 0, errors.Join(err, f.Close())
	}
	hash := sha256.New()
	var n counter
	out := tar.NewWriter(io.MultiWriter(z, hash, &n))
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil || name == "." {
			return err
		}
		return archiveOne(out, root, name, d)
	})
	err = errors.Join(err, out.Close(), z.Close(), f.Close())
	return hex.EncodeToString(hash.Sum(nil)), int64(n), err
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func archiveOne(out *tar.Writer, root *os.Root, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: int64(info.Mode().Perm()), ModTime: time.Unix(0, 0)}
	switch d.Type() {
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
		return out.WriteHeader(h)
	case fs.ModeSymlink:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = root.Readlink(name); err != nil {
			return err
		}
		return out.WriteHeader(h)
	case 0:
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err = io.Copy(out, f)
		return err
	}
	return fmt.Errorf("%w: %s is of type %v", image.ErrUnsafe, name, d.Type())
}
