//go:build linux

package packer

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"godwit/internal/image"
	"godwit/internal/landscape"
)

// TestRead: what is put on the machine is what the local site runs from, and the
// same every time.
func TestRead(t *testing.T) {
	t.Parallel()
	store, digest := plant(t)
	var sums []string
	for range 2 {
		dir := t.TempDir()
		c, err := Read(t.Context(), store, digest, "till", dir)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, c.Rootfs+digestOf(c.SBOM))
		if c.Architecture != runtime.GOARCH || !slices.Equal(c.Entrypoint, []string{"/bin/till", "--greeting", "100% \"fresh\" $PRICE"}) || c.WorkDir != "/" || !c.Static || c.Certificates {
			t.Errorf("%+v", c)
		}
		checkBill(t, c.SBOM, digest)
		if got := strings.Join(names(t, filepath.Join(dir, rootfsFile)), " "); got != "bin/ bin/till etc/ etc/menu menu" {
			t.Errorf("archive of %s", got)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%v is left", left)
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("%q", sums)
	}
}

func names(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h.Name)
	}
}

func checkBill(t *testing.T, b []byte, digest string) {
	t.Helper()
	var got bill
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	var refs []string
	for _, c := range got.Components {
		refs = append(refs, c.Ref)
	}
	std := "pkg:golang/stdlib@" + strings.TrimPrefix(runtime.Version(), "go")
	if got.Metadata.Component.Version != digest || !slices.Contains(refs, "file:/bin/till") || !slices.Contains(refs, std) {
		t.Errorf("%s lacks %s", b, std)
	}
}

// TestBillOfPackages: what distributions say they have installed is in the bill.
func TestBillOfPackages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"etc/os-release":            "NAME=x\nID=debian\n",
		"var/lib/dpkg/status":       "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9+deb12u1\nArchitecture: amd64\nDescription: x\n more: y\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
		"var/lib/dpkg/status.d/tzd": "Package: tzdata\nVersion: 2024a\n",
		"lib/apk/db/installed":      "C:Q1x\nP:musl\nV:1.2.5-r0\nA:x86_64\n\nP:zlib\nV:1.3\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var refs []string
	for _, c := range packages(root) {
		refs = append(refs, c.Ref)
	}
	want := []string{"pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64", "pkg:deb/debian/tzdata@2024a", "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64", "pkg:apk/alpine/zlib@1.3"}
	if !slices.Equal(refs, want) {
		t.Errorf("%q", refs)
	}
}

// TestResolve: the program is found as a container would find it, not as systemd would.
func TestResolve(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"opt/bin/till": 0o755, "srv/run": 0o755, "usr/bin/till": 0o644, "usr/bin/menu": 0o755} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), nil, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/usr/bin", filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for entry, want := range map[string]string{"till": "/opt/bin/till", "./run": "/srv/run", "/opt/bin/till": "/opt/bin/till", "menu": "/usr/bin/menu", "/bin/menu": "/bin/menu", "nothing": "", "/usr/bin/till": "", "/nowhere/x": ""} {
		got, err := resolve(root, image.Image{Entrypoint: []string{entry, "-x"}, Env: []string{"PATH=/usr/bin:/opt/bin"}, WorkDir: "/srv"})
		if want == "" && !errors.Is(err, image.ErrUnusable) || want != "" && (err != nil || !slices.Equal(got, []string{want, "-x"})) {
			t.Errorf("%s: %q, %v", entry, got, err)
		}
	}
}

// TestReadMissing: an image that is not there is to be built first.
func TestReadMissing(t *testing.T) {
	t.Parallel()
	store, err := image.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Build(t.Context(), t.TempDir(), landscape.Build{Dir: ".", Command: []string{"sh", "-c", "touch $OUT/x && chmod +x $OUT/x"}, Entrypoint: []string{"/x"}}, io.Discard); err != nil {
		t.Fatal(err)
	}
	_, err = Read(t.Context(), store, fmt.Sprintf("sha256:%064d", 1), "till", t.TempDir())
	if !errors.Is(err, image.ErrNotFound) || !strings.Contains(err.Error(), "build it first") {
		t.Error(err)
	}
}
