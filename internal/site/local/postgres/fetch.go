package postgres

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"godwit/internal/lockfile"
)

// fetch is the ordinary user's way: apt works on directories of the user's own,
// and what it downloads is only unpacked.
type fetch struct {
	cache    string
	status   string                 // the system's list of installed packages
	missing  func(name string) bool // packages to fetch even if the system has them
	progress func(string)
}

func (f fetch) run(ctx context.Context) error {
	dir := filepath.Join(f.cache, "apt")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	held, err := lockfile.Wait(ctx, filepath.Join(f.cache, "apt.lock"), lockfile.Alone)
	if err != nil {
		return err
	}
	defer held.Close()
	conf, err := f.configure(dir)
	if err != nil {
		return err
	}
	f.progress("refreshing package lists of one's own")
	if _, err := apt(ctx, "apt-get", "-c", conf, "-q", "update"); err != nil {
		return err
	}
	major, err := newestMajor(ctx, "-c", conf)
	if err != nil {
		return err
	}
	f.progress(fmt.Sprintf("downloading Debian's packages of Postgres %d", major))
	args := append([]string{"apt-get", "-c", conf, "-q", "-y", "--no-install-recommends", "--download-only", "install"}, packages(major)...)
	if _, err := apt(ctx, args...); err != nil {
		return err
	}
	f.progress("unpacking them into " + f.cache)
	return errors.Join(f.unpack(ctx, dir, major), os.RemoveAll(dir))
}

// configure writes apt's configuration. It is read after the system's, which
// is why hooks that need root can be cleared in it.
func (f fetch) configure(dir string) (conf string, err error) {
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return "", err
		}
	}
	status, err := os.ReadFile(f.status)
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrInstall, err)
	}
	text := fmt.Sprintf(`Dir::State "%[1]s/state";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
Dir::Cache::archives "archives/";
Dir::Etc::machine-id "";
APT::Sandbox::User "";
Debug::NoLocking "1";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
`, dir)
	conf = filepath.Join(dir, "apt.conf")
	return conf, errors.Join(
		os.WriteFile(filepath.Join(dir, "status"), present(status, f.missing), 0o644),
		os.WriteFile(conf, []byte(text), 0o644))
}

// kept are the fields of a package that say what the system offers. Without its
// dependencies nothing on the system can stand in the way of a download.
var kept = []string{"Package:", "Status:", "Version:", "Architecture:", "Multi-Arch:", "Provides:"}

// present is a list of installed packages, cut to what is kept and without those missing.
func present(status []byte, missing func(string) bool) []byte {
	var out bytes.Buffer
	for _, paragraph := range bytes.Split(status, []byte("\n\n")) {
		var cut bytes.Buffer
		name := ""
		for lines := bufio.NewScanner(bytes.NewReader(paragraph)); lines.Scan(); {
			for _, field := range kept {
				if value, ok := strings.CutPrefix(lines.Text(), field); ok {
					fmt.Fprintln(&cut, lines.Text())
					if field == "Package:" {
						name = strings.TrimSpace(value)
					}
				}
			}
		}
		if name != "" && !missing(name) {
			out.Write(cut.Bytes())
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

func isPostgres(name string) bool { return strings.HasPrefix(name, "postgresql") }

// compilers are what Postgres wants only for its just-in-time compilation,
// which is off: most of the download, and not unpacked.
var compilers = []string{"libllvm", "llvm-", "libclang", "libz3-"}

func (f fetch) unpack(ctx context.Context, dir string, major int) error {
	archives, err := filepath.Glob(filepath.Join(dir, "cache/archives/*.deb"))
	if err != nil {
		return err
	}
	root, version := filepath.Join(dir, "root"), ""
	for _, archive := range archives {
		name, rest, _ := strings.Cut(filepath.Base(archive), "_")
		if name == packages(major)[0] {
			version, _, _ = strings.Cut(rest, "_")
		}
		if hasPrefix(name, compilers) || strings.HasSuffix(name, "-dev") {
			continue
		}
		if _, err := apt(ctx, "dpkg-deb", "-x", archive, root); err != nil {
			return err
		}
	}
	if version == "" {
		return fmt.Errorf("%w: apt-get downloaded no %s", ErrInstall, packages(major)[0])
	}
	if err := syncTree(root); err != nil {
		return err
	}
	return f.place(ctx, root, filepath.Join(f.cache, installed, version), major)
}

// place moves an unpacked installation to where Find looks, if it runs there.
func (f fetch) place(ctx context.Context, root, dir string, major int) error {
	if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.RemoveAll(dir)); err != nil {
		return err
	}
	if err := os.Rename(root, dir); err != nil {
		return err
	}
	bin := filepath.Join(dir, fmt.Sprintf("usr/lib/postgresql/%d/bin", major))
	if _, err := inspect(ctx, bin, f.cache); err != nil {
		return errors.Join(fmt.Errorf("%w: what was downloaded does not run: %w", ErrInstall, err), os.RemoveAll(dir))
	}
	return syncDir(filepath.Dir(dir))
}

func hasPrefix(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
