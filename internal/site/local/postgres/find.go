package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// programs that an installation must have: initdb makes the template, pg_dump
// carries the schema in a migration.
var programs = []string{"postgres", "initdb", "pg_dump"}

// Find returns the newest installed Postgres: Debian's layout, pg_config and
// PATH, and what Install put into the cache. Of equal versions the system's is
// taken. ErrNotInstalled when there is none.
func Find(ctx context.Context) (Installation, error) {
	cache, err := cacheDir()
	if err != nil {
		return Installation{}, err
	}
	return newest(ctx, append(systemBins(ctx), cachedBins(cache)...), cache)
}

func newest(ctx context.Context, bins []string, cache string) (Installation, error) {
	var found []Installation
	var reasons []error
	for _, bin := range bins {
		inst, err := inspect(ctx, bin, cache)
		if err != nil {
			reasons = append(reasons, err)
			continue
		}
		found = append(found, inst)
	}
	if ctx.Err() != nil {
		return Installation{}, ctx.Err()
	}
	if len(found) == 0 {
		return Installation{}, errors.Join(append([]error{fmt.Errorf(
			"%w: install Debian's package postgresql, or let godwit fetch it", ErrNotInstalled)}, reasons...)...)
	}
	return slices.MaxFunc(found, func(a, b Installation) int { return compareVersions(a.Version, b.Version) }), nil
}

// systemBins are the directories where a system may keep server programs.
func systemBins(ctx context.Context) []string {
	var bins []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"} {
		matches, _ := filepath.Glob(pattern)
		bins = append(bins, matches...)
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		bins = append(bins, strings.TrimSpace(string(out)))
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			bins = append(bins, filepath.Dir(real))
		}
	}
	return distinct(bins)
}

func cachedBins(cache string) []string {
	bins, _ := filepath.Glob(filepath.Join(cache, installed, "*", "usr/lib/postgresql/*/bin"))
	return bins
}

func distinct(list []string) []string {
	var once []string
	for _, s := range list {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}

// inspect checks that bin is complete and runs, and says what it needs.
func inspect(ctx context.Context, bin, cache string) (Installation, error) {
	for _, name := range programs {
		info, err := os.Stat(filepath.Join(bin, name))
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return Installation{}, fmt.Errorf("%s lacks the program %s", bin, name)
		}
	}
	inst := Installation{Bin: bin, Env: libraryEnv(bin, cache)}
	for _, name := range programs {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, name), "--version")
		cmd.Env = inst.environ()
		out, err := cmd.CombinedOutput()
		if err != nil {
			return Installation{}, fmt.Errorf("%s --version: %w: %s", cmd.Path, err, out)
		}
		if inst.Version, inst.Major, err = parseVersion(string(out)); err != nil {
			return Installation{}, fmt.Errorf("%s: %w", cmd.Path, err)
		}
	}
	return inst, inst.needs(cache)
}

// parseVersion reads "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)".
func parseVersion(s string) (version string, major int, err error) {
	_, after, ok := strings.Cut(s, "(PostgreSQL) ")
	fields := strings.Fields(after)
	if !ok || len(fields) == 0 {
		return "", 0, fmt.Errorf("unknown version %q", s)
	}
	digits := strings.FieldsFunc(fields[0], func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return "", 0, fmt.Errorf("unknown version %q", s)
	}
	major, err = strconv.Atoi(digits[0])
	return fields[0], major, err
}

func compareVersions(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		m, _ := strconv.Atoi(x)
		n, _ := strconv.Atoi(y)
		return cmp.Compare(m, n)
	})
}

// environ is the environment of a program of this installation: nothing that
// was set for another Postgres (PGDATA, PGPORT, locales) gets through.
func (inst Installation) environ() []string {
	return append([]string{"PATH=" + inst.Bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}, inst.Env...)
}

// cacheDir is where this machine's downloads and templates are kept. Root's is
// outside its home, which the id that runs the server may not enter.
func cacheDir() (string, error) {
	if os.Geteuid() == 0 && os.Getenv("XDG_CACHE_HOME") == "" {
		return "/var/cache/godwit", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for a cache: %w", err)
	}
	return filepath.Join(dir, "godwit"), nil
}
