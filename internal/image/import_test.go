package image

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/google/go-containerregistry/pkg/name"
	gcrlayout "github.com/google/go-containerregistry/pkg/v1/layout"
)

func TestImportForms(t *testing.T) {
	t.Parallel()
	l, want := layoutOf(t, tarOf(t, file("app", "v1")))
	dir := l.dir(t)
	for form, path := range map[string]string{
		"directory": dir,
		"tar":       write(t, "image.tar", l.tar(t)),
		"tar.gz":    write(t, "image.tgz", gzipped(t, l.tar(t))),
	} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			got, err := s.Import(t.Context(), path)
			if err != nil || got != want.Digest.String() {
				t.Fatalf("digest %s (%v), want %s", got, err, want.Digest)
			}
			image, err := s.Unpack(t.Context(), got)
			if err != nil {
				t.Fatal(err)
			}
			wantImage := Image{
				Digest: got, Rootfs: filepath.Join(s.dir, "rootfs", want.Digest.Hex),
				Entrypoint: []string{"/app", "serve"}, Env: []string{"A=b"}, WorkDir: "/srv",
			}
			if diff := cmp.Diff(wantImage, image); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"app=v1"}, contents(t, image.Rootfs)); diff != "" {
				t.Error(diff)
			}
			if list, err := s.List(t.Context()); err != nil || !cmp.Equal(list, []string{got}) {
				t.Errorf("list %q (%v)", list, err)
			}
			clean(t, s, 1)
		})
	}
}

// saved is what docker save writes, made by the library that registries' clients use.
func savedArchive(t *testing.T, layers ...[]byte) string {
	t.Helper()
	l, desc := layoutOf(t, layers...)
	path, err := gcrlayout.FromPath(l.dir(t))
	if err != nil {
		t.Fatal(err)
	}
	img, err := path.Image(desc.Digest)
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "saved.tar")
	if err := tarball.WriteToFile(archive, name.MustParseReference("till:1"), img); err != nil {
		t.Fatal(err)
	}
	return archive
}

func TestImportSaved(t *testing.T) {
	t.Parallel()
	s := open(t)
	archive := savedArchive(t, tarOf(t, file("app", "v1")), tarOf(t, file("app", "v2"), file("b", "c")))
	digest, err := s.Import(t.Context(), archive)
	if err != nil {
		t.Fatal(err)
	}
	image, err := s.Unpack(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"app=v2", "b=c"}, contents(t, image.Rootfs)); diff != "" {
		t.Error(diff)
	}
	again, err := open(t).Import(t.Context(), archive)
	if err != nil || again != digest {
		t.Errorf("imported again it is %s (%v), was %s", again, err, digest)
	}
}

// TestImportOldSaved: docker save used to write a layer's second use as a link.
func TestImportOldSaved(t *testing.T) {
	t.Parallel()
	layer := tarOf(t, file("app", "v1"))
	config := blobs{}
	d := config.json(t, configOf(runtime.GOARCH, layer, layer), types.OCIConfigJSON)
	entries := func(target string) string {
		return write(t, "old.tar", tarOf(t,
			file("c.json", string(config["blobs/sha256/"+d.Digest.Hex])),
			file("one/layer.tar", string(layer)), link("two/layer.tar", target),
			file("manifest.json", `[{"Config":"c.json","Layers":["one/layer.tar","two/layer.tar"]}]`)))
	}
	s := open(t)
	digest, err := s.Import(t.Context(), entries("../one/layer.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Unpack(t.Context(), digest); err != nil {
		t.Error(err)
	}
	for _, target := range []string{"../../../../etc/passwd", "/etc/passwd", "layer.tar"} {
		s := open(t)
		if _, err := s.Import(t.Context(), entries(target)); err == nil {
			t.Errorf("a layer that is a link to %s was taken", target)
		}
		clean(t, s, 0)
	}
}

func TestImportPlatforms(t *testing.T) {
	t.Parallel()
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	platform := func(d v1.Descriptor, os, arch string) v1.Descriptor {
		d.Platform = &v1.Platform{OS: os, Architecture: arch}
		return d
	}
	l := blobs{}
	mine := l.image(t, runtime.GOARCH, tarOf(t, file("app", "mine")))
	second := l.image(t, runtime.GOARCH, tarOf(t, file("app", "second")))
	theirs := l.image(t, other, tarOf(t, file("app", "theirs")))
	nested := l.json(t, v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{
		platform(theirs, "linux", other), platform(mine, "linux", runtime.GOARCH), platform(second, "unknown", "unknown"),
	}}, types.OCIImageIndex)
	bomb := nested
	for range 10 {
		bomb = l.json(t, v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{bomb}}, types.OCIImageIndex)
	}
	for name, c := range map[string]struct {
		manifests []v1.Descriptor
		want      error
	}{
		"nested":     {[]v1.Descriptor{nested}, nil},
		"same twice": {[]v1.Descriptor{mine, mine}, nil},
		"two":        {[]v1.Descriptor{mine, second}, ErrUnusable},
		"foreign":    {[]v1.Descriptor{platform(theirs, "linux", other)}, ErrUnusable},
		"unmarked":   {[]v1.Descriptor{theirs}, ErrUnusable},
		"windows":    {[]v1.Descriptor{platform(mine, "windows", runtime.GOARCH)}, ErrUnusable},
		"empty":      {nil, ErrUnusable},
		"too deep":   {[]v1.Descriptor{bomb}, ErrTooLarge},
	} {
		l.index(t, c.manifests...)
		s := open(t)
		digest, err := s.Import(t.Context(), l.dir(t))
		if !errors.Is(err, c.want) || (err == nil && digest != mine.Digest.String()) {
			t.Errorf("%s: %s, %v; want %v", name, digest, err, c.want)
		}
		clean(t, s, 1)
	}
}

// TestImportDamaged changes one thing in a good layout.
func TestImportDamaged(t *testing.T) {
	t.Parallel()
	layer := tarOf(t, file("app", strings.Repeat("v1", 1000)))
	for name, c := range map[string]struct {
		change func(l blobs, blob string)
		want   error
	}{
		"cut off":     {func(l blobs, b string) { l[b] = l[b][:len(l[b])-3] }, ErrCorrupt},
		"longer":      {func(l blobs, b string) { l[b] = append(bytes.Clone(l[b]), 'x') }, ErrCorrupt},
		"one bit":     {func(l blobs, b string) { l[b] = bytes.Clone(l[b]); l[b][len(l[b])/2] ^= 1 }, ErrCorrupt},
		"missing":     {func(l blobs, b string) { delete(l, b) }, ErrCorrupt},
		"empty":       {func(l blobs, b string) { l[b] = nil }, ErrCorrupt},
		"no index":    {func(l blobs, _ string) { delete(l, "index.json") }, ErrUnusable},
		"index":       {func(l blobs, _ string) { l["index.json"] = []byte("\x00") }, ErrCorrupt},
		"large index": {func(l blobs, _ string) { l["index.json"] = make([]byte, 5<<20) }, ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, _ := layoutOf(t, layer)
			for blob := range l {
				if !strings.HasPrefix(blob, "blobs/") {
					continue
				}
				damaged := blobs{}
				for name, b := range l {
					damaged[name] = b
				}
				c.change(damaged, blob)
				for _, path := range []string{damaged.dir(t), write(t, "image.tar", damaged.tar(t))} {
					s := open(t)
					if digest, err := s.Import(t.Context(), path); !errors.Is(err, c.want) || digest != "" {
						t.Errorf("%s: %q, %v; want %v", blob, digest, err, c.want)
					}
					clean(t, s, 0)
				}
			}
		})
	}
}

func TestImportArchiveRefuses(t *testing.T) {
	t.Parallel()
	l, _ := layoutOf(t, tarOf(t, file("app", "v1")))
	whole := l.tar(t)
	compressed := gzipped(t, whole)
	bomb := gzipped(t, tarOf(t, file("index.json", string(make([]byte, 64<<20)))))
	for name, c := range map[string]struct {
		archive []byte
		want    error
	}{
		"dots":      {tarOf(t, file("../evil", "x")), ErrUnsafe},
		"inner":     {tarOf(t, file("blobs/../../evil", "x")), ErrUnsafe},
		"absolute":  {tarOf(t, file("/tmp/evil", "x")), ErrUnsafe},
		"through":   {tarOf(t, link("a", ".."), file("a/evil", "x")), ErrUnsafe},
		"link out":  {tarOf(t, link("index.json", "/etc/passwd")), ErrUnsafe},
		"hard out":  {tarOf(t, hard("index.json", "../../../etc/passwd")), ErrUnsafe},
		"device":    {tarOf(t, tarDevice("index.json")), ErrUnsafe},
		"cut tar":   {whole[:600], ErrCorrupt},
		"cut gzip":  {compressed[:len(compressed)/2], ErrCorrupt},
		"bomb":      {bomb, ErrTooLarge},
		"text":      {[]byte("this is no archive at all, but it is long enough\n"), ErrCorrupt},
		"empty":     {nil, ErrUnusable},
		"wrong tar": {tarOf(t, file("readme", "x")), ErrUnusable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			s.limits.bytes = 32 << 20
			if digest, err := s.Import(t.Context(), write(t, "image", c.archive)); !errors.Is(err, c.want) {
				t.Errorf("%q, %v; want %v", digest, err, c.want)
			}
			clean(t, s, 0)
			for _, path := range []string{"/tmp/evil", filepath.Join(s.dir, "evil"), filepath.Join(s.dir, "tmp", "evil")} {
				if _, err := os.Lstat(path); err == nil {
					t.Errorf("%s was written", path)
				}
			}
		})
	}
}

func TestImportOdd(t *testing.T) {
	t.Parallel()
	s := open(t)
	if _, err := s.Import(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	l, _ := layoutOf(t, tarOf(t, file("app", "v1")))
	dir := l.dir(t)
	if err := os.Remove(filepath.Join(dir, "index.json")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "index.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), dir); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a pipe for an index: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Import(ctx, l.dir(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	clean(t, s, 0)
}

// TestExport: what goes out is a layout that others read, and comes in again as the same.
func TestExport(t *testing.T) {
	t.Parallel()
	s := open(t)
	l, desc := layoutOf(t, tarOf(t, file("app", "v1")), tarOf(t, file("b", "c")))
	digest, err := s.Import(t.Context(), l.dir(t))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := s.Export(t.Context(), digest, out); err != nil {
		t.Fatal(err)
	}
	path, err := gcrlayout.FromPath(out)
	if err != nil {
		t.Fatal(err)
	}
	img, err := path.Image(desc.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	if manifests, err := partial.Manifests(index); err != nil || len(manifests) != 1 {
		t.Errorf("%d manifests (%v)", len(manifests), err)
	}
	if again, err := open(t).Import(t.Context(), out); err != nil || again != digest {
		t.Errorf("%s comes back as %s (%v)", digest, again, err)
	}
	if err := s.Export(t.Context(), digest, out); !errors.Is(err, os.ErrExist) {
		t.Errorf("over an existing directory: %v", err)
	}
	for _, unknown := range []string{"sha256:" + strings.Repeat("0", 64), "latest", "", "sha256:../../../etc"} {
		if err := s.Export(t.Context(), unknown, filepath.Join(t.TempDir(), "x")); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", unknown, err)
		}
	}
}
