package postgres

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
