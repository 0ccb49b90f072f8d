package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	runInEmptyRoot(t, inst, filepath.Join(cache, "template"))
}
