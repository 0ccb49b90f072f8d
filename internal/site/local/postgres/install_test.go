package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFetch downloads some 100 MB of packages, so it only runs when asked to:
// GODWIT_TEST_FETCH=1. It pretends that nothing of Postgres is installed.
func TestFetch(t *testing.T) {
	if os.Getenv("GODWIT_TEST_FETCH") == "" {
		t.Skip("downloads packages; GODWIT_TEST_FETCH=1 runs it")
	}
	cache := openDir(t)
	f := fetch{
		cache:  cache,
		status: "/var/lib/dpkg/status",
		missing: func(name string) bool {
			return isPostgres(name) || hasPrefix(name, []string{"libpq", "libxslt1.1", "libllvm14", "ssl-cert", "libjson-perl"})
		},
		progress: func(s string) { t.Log(s) },
	}
	if err := f.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	inst, err := newest(t.Context(), cachedBins(cache), cache)
	if err != nil {
		t.Fatal(err)
	}
	if len(inst.Env) != 1 || !strings.HasPrefix(inst.Env[0], "LD_LIBRARY_PATH="+cache) {
		t.Errorf("environment %q does not lead to the fetched libraries", inst.Env)
	}
	s, err := Start(t.Context(), inst, ServerOptions{Dir: openDir(t), Template: filepath.Join(cache, "template"), AdminPassword: "p", NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	if got := query[string](t, s, "SHOW server_version"); !strings.HasPrefix(got, inst.Version) {
		t.Errorf("version %s runs, want %s", got, inst.Version)
	}
	maps, err := os.ReadFile(filepath.Join("/proc", itoa(s.Pid), "maps"))
	if os.Geteuid() != 0 && (err != nil || !strings.Contains(string(maps), cache)) {
		t.Errorf("the server maps nothing from %s (%v)", cache, err)
	}
	if got := query[int](t, s, "SELECT count(*) FROM pg_available_extensions WHERE name = 'pgcrypto'"); got != 1 {
		t.Error("the share directory was not found at its new place")
	}
	runInEmptyRoot(t, inst)
}

func TestPresent(t *testing.T) {
	t.Parallel()
	status := "Package: a\nStatus: install ok installed\nVersion: 1\nDepends: b,\n c\nDescription: Package: x\n more\n\n" +
		"Package: postgresql-15\nVersion: 15\n\nPackage: libpq5\nVersion: 15\nBreaks: z\n"
	want := "Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: libpq5\nVersion: 15\n\n"
	if diff := cmp.Diff(want, string(present([]byte(status), isPostgres))); diff != "" {
		t.Error(diff)
	}
}

func TestInstallSaysWhatFails(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	if _, err := Install(t.Context(), func(string) {}); !errors.Is(err, ErrInstall) || !strings.Contains(err.Error(), "no apt-get") {
		t.Errorf("without apt-get: %v", err)
	}
	script(t, bin, "apt-get", "E: the network is down", 100)
	cache := t.TempDir()
	f := fetch{cache: cache, status: filepath.Join(bin, "apt-get"), missing: isPostgres, progress: func(string) {}}
	if err := f.run(t.Context()); !errors.Is(err, ErrInstall) || !strings.Contains(err.Error(), "the network is down") {
		t.Errorf("without network: %v", err)
	}
	script(t, bin, "apt-get", "", 0)
	script(t, bin, "apt-cache", "postgresql-client-15 postgresql-doc postgresql-contrib", 0)
	if err := f.run(t.Context()); !errors.Is(err, ErrInstall) || !strings.Contains(err.Error(), "no postgresql-NN") {
		t.Errorf("without the package: %v", err)
	}
	script(t, bin, "apt-cache", "postgresql-9 postgresql-17 postgresql-16 postgresql-client-18", 0)
	if err := f.run(t.Context()); !errors.Is(err, ErrInstall) || !strings.Contains(err.Error(), "downloaded no postgresql-17") {
		t.Errorf("without a download: %v", err)
	}
	if bins := cachedBins(cache); len(bins) != 0 {
		t.Errorf("something is installed: %q", bins)
	}
}
