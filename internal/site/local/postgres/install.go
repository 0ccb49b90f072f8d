package postgres

import (
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

// installed is the directory below the cache that fetched installations are in,
// each in a directory named by the version of its package.
const installed = "postgres"

// Install gets the newest Postgres that Debian's package lists offer, and
// returns what Find then finds. Root installs the packages, and no cluster is
// made or started for them; an ordinary user gets the same packages unpacked
// into the cache directory, the system unchanged. progress is told what is
// being done. ErrInstall when there is no apt-get or it fails.
func Install(ctx context.Context, progress func(string)) (Installation, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return Installation{}, fmt.Errorf("%w: no apt-get here; install Postgres, server and client, by this system's own means", ErrInstall)
	}
	if os.Geteuid() == 0 {
		if err := installPackages(ctx, progress); err != nil {
			return Installation{}, err
		}
		return Find(ctx)
	}
	cache, err := cacheDir()
	if err != nil {
		return Installation{}, err
	}
	f := fetch{cache: cache, status: "/var/lib/dpkg/status", missing: isPostgres, progress: progress}
	if err := f.run(ctx); err != nil {
		return Installation{}, err
	}
	return Find(ctx)
}

// installPackages is root's way.
func installPackages(ctx context.Context, progress func(string)) error {
	progress("refreshing the package lists")
	if _, err := apt(ctx, "apt-get", "-q", "update"); err != nil {
		return err
	}
	major, err := newestMajor(ctx)
	if err != nil {
		return err
	}
	restore, err := forbidServices()
	if err != nil {
		return errors.Join(err, restore())
	}
	progress(fmt.Sprintf("installing Debian's packages of Postgres %d", major))
	_, err = apt(ctx, append([]string{"apt-get", "-q", "-y", "--no-install-recommends", "install"}, packages(major)...)...)
	return errors.Join(err, restore())
}

// forbidServices has the packages make no cluster and start no service while
// they are installed. What is there already is left as it is.
func forbidServices() (restore func() error, err error) {
	var made []string
	restore = func() error {
		var errs []error
		for _, path := range slices.Backward(made) {
			errs = append(errs, os.Remove(path))
		}
		return errors.Join(errs...)
	}
	for _, file := range []struct {
		path, text string
		mode       os.FileMode
	}{
		{"/etc/postgresql-common/createcluster.d/godwit.conf", "create_main_cluster = false\n", 0o644},
		{"/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755},
	} {
		if err := os.MkdirAll(filepath.Dir(file.path), 0o755); err != nil {
			return restore, err
		}
		f, err := os.OpenFile(file.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, file.mode)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return restore, err
		}
		made = append(made, file.path)
		_, err = f.WriteString(file.text)
		if err := errors.Join(err, f.Chmod(file.mode), f.Close()); err != nil {
			return restore, err
		}
	}
	return restore, nil
}

func packages(major int) []string {
	return []string{fmt.Sprintf("postgresql-%d", major), fmt.Sprintf("postgresql-client-%d", major)}
}

// newestMajor is the newest Postgres in the package lists; options are apt's.
func newestMajor(ctx context.Context, options ...string) (int, error) {
	out, err := apt(ctx, append(append([]string{"apt-cache"}, options...), "pkgnames", "postgresql-")...)
	if err != nil {
		return 0, err
	}
	newest := 0
	for name := range strings.FieldsSeq(out) {
		// Other names have more behind the number.
		if major, err := strconv.Atoi(strings.TrimPrefix(name, "postgresql-")); err == nil {
			newest = max(newest, major)
		}
	}
	if newest == 0 {
		return 0, fmt.Errorf("%w: the package lists know no postgresql-NN; add a repository that has it", ErrInstall)
	}
	return newest, nil
}

// apt runs a program of apt's without questions.
func apt(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "NEEDRESTART_SUSPEND=1")
	// Asked to end, so that dpkg is not cut off in the middle.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", errors.Join(ctx.Err(), fmt.Errorf("%w: %s: %w: %s", ErrInstall, strings.Join(args, " "), err, lastLines(out)))
	}
	return string(out), nil
}
