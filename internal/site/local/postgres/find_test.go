package postgres

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit/internal/testtool"
)

func TestFind(t *testing.T) {
	t.Parallel()
	inst := find(t)
	out, err := exec.Command(filepath.Join(inst.Bin, "postgres"), "--version").Output()
	if err != nil || !strings.Contains(string(out), ") "+inst.Version) || !strings.HasPrefix(inst.Version, itoa(inst.Major)) {
		t.Errorf("found %s (major %d), but it says %q (%v)", inst.Version, inst.Major, out, err)
	}
	for _, path := range inst.Binds {
		if real, err := filepath.EvalSymlinks(path); err != nil || real != path {
			t.Errorf("bind %s is really %s (%v)", path, real, err)
		}
	}
}

// script is a program that answers --version.
func script(t *testing.T, dir, name, output string, status int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text := "#!/bin/sh\necho '" + output + "'\nexit " + itoa(status) + "\n"
	testtool.Write(t, filepath.Join(dir, name), text)
}

func TestFindRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"postgres", "initdb"} {
		script(t, filepath.Join(dir, "nodump"), name, name+" (PostgreSQL) 99.1", 0)
	}
	for _, name := range programs {
		script(t, filepath.Join(dir, "broken"), name, "no such library", 127)
		script(t, filepath.Join(dir, "other"), name, name+" (Something) 3", 0)
	}
	for bin, want := range map[string]string{"nodump": "lacks the program pg_dump", "broken": "no such library", "other": "unknown version", "none": "lacks the program"} {
		_, err := newest(t.Context(), []string{filepath.Join(dir, bin)}, dir)
		if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", bin, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Find(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	real := find(t)
	inst, err := newest(t.Context(), []string{filepath.Join(dir, "broken"), real.Bin}, dir)
	if err != nil || inst.Bin != real.Bin {
		t.Errorf("beside a broken one found %q (%v)", inst.Bin, err)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n": "15.14",
		"pg_dump (PostgreSQL) 18beta1":                           "18beta1",
		"initdb (PostgreSQL) 9.6.24":                             "9.6.24",
		"postgres (PostgreSQL) ":                                 "",
		"postgres (PostgreSQL) devel":                            "",
		"":                                                       "",
	} {
		got, major, err := parseVersion(text)
		if (err != nil) != (want == "") || (err == nil && (got != want || !strings.HasPrefix(want, itoa(major)))) {
			t.Errorf("%q: %q, %d, %v", text, got, major, err)
		}
	}
	sorted := []string{"9.6.24", "10.1", "15.2", "15.14", "16.0", "18.1"}
	if !slices.IsSortedFunc(sorted, compareVersions) {
		t.Error("versions are not ordered by number")
	}
}

func TestPhysical(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir+"/usr/lib/deep", 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"/lib": "usr/lib", "/usr/lib/inner": "deep", "/loop": "loop", "/far": dir + "/usr"} {
		if err := os.Symlink(target, dir+link); err != nil {
			t.Fatal(err)
		}
	}
	p := physical{links: map[string]string{}, binds: map[string]bool{}}
	for _, path := range []string{"/lib/inner", "/lib", "/far/lib/deep"} {
		if err := p.add(dir + path); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.outermost(); !slices.Equal(got, []string{dir + "/usr/lib"}) {
		t.Errorf("binds %q", got)
	}
	if len(p.links) != 2 || p.links[dir+"/lib"] != "usr/lib" || p.links[dir+"/far"] != dir+"/usr" {
		t.Errorf("links %q", p.links)
	}
	if err := p.add(dir + "/loop"); err == nil {
		t.Error("a link to itself was followed to an end")
	}
}
