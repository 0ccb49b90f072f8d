package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tarOf makes a tar; the content of a regular file is in Linkname.
func tarOf(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		content := ""
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(name, content string) tar.Header { return tar.Header{Name: name, Linkname: content} }
func link(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
}
func hard(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink}
}
func folder(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func hashOf(b []byte) v1.Hash {
	sum := sha256.Sum256(b)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// blobs are the files of an OCI layout by name.
type blobs map[string][]byte

func (l blobs) put(b []byte, media types.MediaType) v1.Descriptor {
	h := hashOf(b)
	l["blobs/sha256/"+h.Hex] = b
	return v1.Descriptor{MediaType: media, Size: int64(len(b)), Digest: h}
}

func (l blobs) json(t testing.TB, value any, media types.MediaType) v1.Descriptor {
	t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return l.put(b, media)
}

func (l blobs) index(t testing.TB, manifests ...v1.Descriptor) {
	t.Helper()
	b, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, Manifests: manifests})
	if err != nil {
		t.Fatal(err)
	}
	l["index.json"], l["oci-layout"] = b, []byte(layoutVersion)
}

// image adds an image of some layers (uncompressed tars) for an architecture.
func (l blobs) image(t testing.TB, arch string, layers ...[]byte) v1.Descriptor {
	t.Helper()
	config := configOf(arch, layers...)
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: l.json(t, config, types.OCIConfigJSON)}
	for _, layer := range layers {
		m.Layers = append(m.Layers, l.put(gzipped(t, layer), types.OCILayer))
	}
	return l.json(t, m, types.OCIManifestSchema1)
}

func configOf(arch string, layers ...[]byte) v1.ConfigFile {
	config := v1.ConfigFile{OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"}, Config: v1.Config{
		Entrypoint: []string{"/app"}, Cmd: []string{"serve"}, Env: []string{"A=b"}, WorkingDir: "/srv",
	}}
	for _, layer := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, hashOf(layer))
	}
	return config
}

// layoutOf is a layout of one image of this platform.
func layoutOf(t testing.TB, layers ...[]byte) (blobs, v1.Descriptor) {
	t.Helper()
	l := blobs{}
	d := l.image(t, runtime.GOARCH, layers...)
	l.index(t, d)
	return l, d
}

// dir writes the layout to a directory.
func (l blobs) dir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range l {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tar is the layout as an archive.
func (l blobs) tar(t testing.TB) []byte {
	t.Helper()
	var entries []tar.Header
	for _, name := range slices.Sorted(maps.Keys(l)) {
		entries = append(entries, file(name, string(l[name])))
	}
	return tarOf(t, entries...)
}

func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// run imports and unpacks an image of these layers.
func run(t testing.TB, s *Store, layers ...[]byte) (Image, error) {
	t.Helper()
	l, _ := layoutOf(t, layers...)
	digest, err := s.Import(t.Context(), l.dir(t))
	if err != nil {
		return Image{}, err
	}
	return s.Unpack(context.WithoutCancel(t.Context()), digest)
}

// contents lists a tree: "name=content", "name/", "name->target".
func contents(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		switch d.Type() {
		case fs.ModeDir:
			name += "/"
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			name += "->" + target
		default:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name += "=" + string(b)
		}
		list = append(list, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// clean fails unless the store holds n images, n root file systems at most and nothing half made.
func clean(t testing.TB, s *Store, n int) {
	t.Helper()
	for kind, most := range map[string]int{"images": n, "rootfs": n, "tmp": 0} {
		entries, err := os.ReadDir(filepath.Join(s.dir, kind))
		if err != nil || len(entries) > most {
			t.Errorf("%s holds %v (%v), want at most %d", kind, entries, err, most)
		}
	}
}
