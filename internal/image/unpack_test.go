package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"pgregory.net/rapid"
)

func tarDevice(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}
}

func TestUnpackLayers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		layers [][]byte
		want   []string
	}{
		"later wins": {
			[][]byte{tarOf(t, file("a", "1"), file("a", "2")), tarOf(t, file("b", "3"), file("a", "4"))},
			[]string{"a=4", "b=3"},
		},
		"parents are made":       {[][]byte{tarOf(t, file("./a/b/c", "1"))}, []string{"a/", "a/b/", "a/b/c=1"}},
		"file becomes directory": {[][]byte{tarOf(t, file("a", "1")), tarOf(t, folder("a/"), file("a/b", "2"))}, []string{"a/", "a/b=2"}},
		"directory becomes file": {[][]byte{tarOf(t, file("a/b", "1")), tarOf(t, file("a", "2"))}, []string{"a=2"}},
		"directory stays":        {[][]byte{tarOf(t, file("a/b", "1")), tarOf(t, folder("a/"))}, []string{"a/", "a/b=1"}},
		"whiteout":               {[][]byte{tarOf(t, file("a/b", "1"), file("a/c", "2")), tarOf(t, file("a/.wh.b", ""))}, []string{"a/", "a/c=2"}},
		"whiteout of directory":  {[][]byte{tarOf(t, file("a/b/c", "1")), tarOf(t, file("a/.wh.b", ""))}, []string{"a/"}},
		"whiteout of nothing":    {[][]byte{tarOf(t, file("a", "1")), tarOf(t, file("x/y/.wh.b", ""))}, []string{"a=1"}},
		"whiteout after its own layer's file": {
			[][]byte{tarOf(t, file("a/b", "1"), file("a/c", "1")), tarOf(t, file("a/b", "2"), file(".wh.a", ""))},
			[]string{"a/", "a/b=2"},
		},
		"opaque": {
			[][]byte{tarOf(t, file("a/b", "1"), file("a/c/d", "1"), file("e", "1")), tarOf(t, file("a/f", "2"), file("a/.wh..wh..opq", ""), file("a/g", "3"))},
			[]string{"a/", "a/f=2", "a/g=3", "e=1"},
		},
		"old bookkeeping": {[][]byte{tarOf(t, file("a", "1"), file(".wh..wh.plnk", ""), file(".wh..wh.aufs", ""))}, []string{"a=1"}},
		"hard link":       {[][]byte{tarOf(t, file("a", "1"), hard("b/c", "a")), tarOf(t, file("a", "2"))}, []string{"a=2", "b/", "b/c=1"}},
		"through a link":  {[][]byte{tarOf(t, folder("usr/lib"), link("lib", "usr/lib"), file("lib/x", "1"))}, []string{"lib->usr/lib", "usr/", "usr/lib/", "usr/lib/x=1"}},
		// As seen from inside: an absolute link means the image's own root.
		"through an absolute link": {[][]byte{tarOf(t, folder("run"), link("var/run", "/run")), tarOf(t, file("var/run/x", "1"))}, []string{"run/", "run/x=1", "var/", "var/run->/run"}},
		"link to a missing place":  {[][]byte{tarOf(t, link("a", "/b/c"), file("a/x", "1"))}, []string{"a->/b/c", "b/", "b/c/", "b/c/x=1"}},
		"link replaced":            {[][]byte{tarOf(t, link("a", "/etc/passwd"), file("a", "1"))}, []string{"a=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			image, err := run(t, s, c.layers...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, contents(t, image.Rootfs)); diff != "" {
				t.Error(diff)
			}
			clean(t, s, 1)
		})
	}
}

func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	loop := tarOf(t, link("a", "b"), link("b", "a"), file("a/x", "1"))
	many := make([]tar.Header, 60)
	for i := range many {
		many[i] = file(fmt.Sprint(i), "")
	}
	for name, c := range map[string]struct {
		layer []byte
		want  error
	}{
		"dots":             {tarOf(t, file("../../../evil", "x")), ErrUnsafe},
		"dots inside":      {tarOf(t, file("a/../../evil", "x")), ErrUnsafe},
		"absolute":         {tarOf(t, file("/evil", "x")), ErrUnsafe},
		"link out":         {tarOf(t, link("a", "../../../../etc")), ErrUnsafe},
		"link out of deep": {tarOf(t, link("a/b/c", "../../../etc")), ErrUnsafe},
		"empty link":       {tarOf(t, tar.Header{Name: "a", Typeflag: tar.TypeSymlink}), ErrUnsafe},
		"hard link out":    {tarOf(t, hard("a", "../../../../etc/passwd")), ErrUnsafe},
		"hard absolute":    {tarOf(t, hard("a", "/etc/passwd")), ErrUnsafe},
		"hard via link":    {tarOf(t, link("e", "/etc"), hard("a", "e/passwd")), ErrUnsafe},
		"hard to missing":  {tarOf(t, hard("a", "b")), ErrUnsafe},
		"hard to folder":   {tarOf(t, folder("b"), hard("a", "b")), ErrUnsafe},
		"character device": {tarOf(t, tarDevice("null")), ErrUnsafe},
		"block device":     {tarOf(t, tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}), ErrUnsafe},
		"pipe":             {tarOf(t, tar.Header{Name: "p", Typeflag: tar.TypeFifo}), ErrUnsafe},
		"link loop":        {loop, ErrUnsafe},
		"below a file":     {tarOf(t, file("a", "1"), file("a/b", "2")), ErrUnsafe},
		"whiteout of dots": {tarOf(t, file("a/.wh...", "")), ErrUnsafe},
		"whiteout of dot":  {tarOf(t, file(".wh..", "")), ErrUnsafe},
		"nameless":         {tarOf(t, file(".wh.", "")), ErrUnsafe},
		"too many":         {tarOf(t, many...), ErrTooLarge},
		"bomb":             {tarOf(t, file("a", strings.Repeat("\x00", 2<<20))), ErrTooLarge},
		"cut tar":          {tarOf(t, file("a", strings.Repeat("x", 4096)))[:2048], ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			s.limits.bytes, s.limits.files = 1<<20, 50
			_, err := run(t, s, c.layer)
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			clean(t, s, 1)
			if entries, _ := os.ReadDir(filepath.Join(s.dir, "rootfs")); len(entries) != 0 {
				t.Errorf("half a root file system is left: %v", entries)
			}
		})
	}
}

// TestUnpackWrongDiffID: the layer is intact, but the configuration promises another.
func TestUnpackWrongDiffID(t *testing.T) {
	t.Parallel()
	l, layer := blobs{}, tarOf(t, file("app", "v1"))
	config := configOf(goarch, layer)
	config.RootFS.DiffIDs[0] = hashOf([]byte("another"))
	m := v1.Manifest{SchemaVersion: 2, Config: l.json(t, config, "c"), Layers: []v1.Descriptor{l.put(layer, "l")}}
	l.index(t, l.json(t, m, "application/vnd.oci.image.manifest.v1+json"))
	s := open(t)
	digest, err := s.Import(t.Context(), l.dir(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Unpack(t.Context(), digest); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
	clean(t, s, 1)
}

func TestUnpackModes(t *testing.T) {
	t.Parallel()
	old := tarOf(t,
		tar.Header{Name: "d", Typeflag: tar.TypeDir, Mode: 0o700},
		tar.Header{Name: "d/closed", Linkname: "x", Mode: 0o000 | 0o400},
		tar.Header{Name: "d/open", Linkname: "x", Mode: 0o777},
		tar.Header{Name: "d/setuid", Linkname: "x", Mode: 0o6755, Uid: 12, Gid: 34},
		tar.Header{Name: "sticky", Typeflag: tar.TypeDir, Mode: 0o7777})
	image, err := run(t, open(t), old)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		"": fs.ModeDir | 0o755, "d": fs.ModeDir | 0o755, "sticky": fs.ModeDir | 0o755,
		"d/closed": 0o644, "d/open": 0o755, "d/setuid": 0o755,
	} {
		info, err := os.Stat(filepath.Join(image.Rootfs, name))
		if err != nil || info.Mode() != want || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
			t.Errorf("%q: %v (%v), want %v", name, info, err, want)
		}
	}
}

// TestUnpackAtOnce shares a directory among stores as processes do.
func TestUnpackAtOnce(t *testing.T) {
	t.Parallel()
	l, _ := layoutOf(t, tarOf(t, file("app", "v1")))
	src, dir := l.dir(t), filepath.Join(t.TempDir(), "store")
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			s, err := Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			digest, err := s.Import(t.Context(), src)
			if err != nil {
				t.Error(err)
				return
			}
			image, err := s.Unpack(t.Context(), digest)
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := os.ReadFile(filepath.Join(image.Rootfs, "app")); err != nil || string(b) != "v1" {
				t.Errorf("%q %v", b, err)
			}
		})
	}
	wait.Wait()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	clean(t, s, 1)
}

func TestUnpackOfDamagedStore(t *testing.T) {
	t.Parallel()
	s := open(t)
	l, desc := layoutOf(t, tarOf(t, file("app", strings.Repeat("v1", 5000))))
	digest, err := s.Import(t.Context(), l.dir(t))
	if err != nil {
		t.Fatal(err)
	}
	for name := range l {
		if !strings.HasPrefix(name, "blobs/") {
			continue
		}
		path := filepath.Join(s.dir, "images", desc.Digest.Hex, name)
		if err := os.Truncate(path, 10); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Unpack(t.Context(), digest); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s cut off: %v", name, err)
		}
		if err := os.WriteFile(path, l[name], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Unpack(t.Context(), digest); err != nil {
		t.Errorf("mended: %v", err)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	s := open(t)
	var digests []string
	for _, version := range []string{"1", "2", "3"} {
		image, err := run(t, s, tarOf(t, file("app", version)))
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, image.Digest)
	}
	half := filepath.Join(s.dir, "tmp", "crashed")
	if err := os.MkdirAll(filepath.Join(half, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	removed, err := s.Prune(t.Context(), func(d string) bool { return d == digests[1] })
	if err != nil || len(removed) != 2 {
		t.Errorf("removed %q (%v)", removed, err)
	}
	if list, err := s.List(t.Context()); err != nil || !cmp.Equal(list, digests[1:2]) {
		t.Errorf("left are %q (%v)", list, err)
	}
	clean(t, s, 1)
	if _, err := s.Unpack(t.Context(), digests[0]); !errors.Is(err, ErrNotFound) {
		t.Errorf("a pruned image: %v", err)
	}
	if _, err := s.Unpack(t.Context(), digests[1]); err != nil {
		t.Errorf("a kept image: %v", err)
	}
}

// TestPruneWaits: what is being made is not swept away under its maker.
func TestPruneWaits(t *testing.T) {
	t.Parallel()
	s := open(t)
	err := s.work(t.Context(), func(tmp string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := s.Prune(ctx, func(string) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("pruned meanwhile: %v", err)
		}
		_, err := os.Stat(tmp)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestNothingGetsOut throws layers of hostile names and links at a root file
// system, and looks at what lies beside it.
func TestNothingGetsOut(t *testing.T) {
	t.Parallel()
	part := rapid.SampledFrom([]string{"a", "b", "c", "..", ".", "", ".wh.a", ".wh..wh..opq", ".wh..."})
	path := rapid.Custom(func(t *rapid.T) string {
		lead := rapid.SampledFrom([]string{"", "/", "./", "../"}).Draw(t, "lead")
		return lead + strings.Join(rapid.SliceOfN(part, 1, 5).Draw(t, "parts"), "/")
	})
	entry := rapid.Custom(func(t *rapid.T) tar.Header {
		h := tar.Header{Name: path.Draw(t, "name"), Mode: 0o4777}
		h.Typeflag = rapid.SampledFrom([]byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink}).Draw(t, "type")
		h.Linkname = path.Draw(t, "link")
		return h
	})
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		victim := filepath.Join(dir, "a")
		if err := errors.Join(os.WriteFile(victim, []byte("untouched"), 0o600), os.Mkdir(filepath.Join(dir, "root"), 0o755)); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(filepath.Join(dir, "root"))
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		for _, h := range rapid.SliceOfN(entry, 1, 12).Draw(t, "entries") {
			tree := tree{root: root, written: map[string]bool{".": true}, spent: &budget{limits: defaultLimits}}
			_ = tree.apply(&h, strings.NewReader("overwritten"))
		}
		entries, err := os.ReadDir(dir)
		b, readErr := os.ReadFile(victim)
		if err != nil || readErr != nil || len(entries) != 2 || string(b) != "untouched" {
			t.Fatalf("beside the root lie %v; the file there says %q (%v, %v)", entries, b, err, readErr)
		}
		info, err := os.Stat(victim)
		if err != nil || info.Sys().(*syscall.Stat_t).Nlink != 1 || info.Mode() != 0o600 {
			t.Fatalf("the file beside the root was linked or changed: %v (%v)", info, err)
		}
	})
}
