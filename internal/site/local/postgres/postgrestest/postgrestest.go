// Package postgrestest gives tests a real Postgres server of their own, in well
// under a second. Only tests may import it.
package postgrestest

import (
	"context"
	"crypto/rand"
	"os"
	"syscall"
	"testing"
	"time"

	"godwit/internal/site/local/postgres"
)

// patience bounds everything: the first test on a machine runs initdb.
const patience = time.Minute

// Option changes the server of a test.
type Option func(*setup)

// setup is what options change.
type setup struct {
	postgres.ServerOptions
	installation postgres.Installation // none: what the machine has
}

// With takes these programs instead of what the machine has.
func With(inst postgres.Installation) Option {
	return func(o *setup) { o.installation = inst }
}

// Change changes anything.
func Change(change func(*postgres.ServerOptions)) Option {
	return func(o *setup) { change(&o.ServerOptions) }
}

// NoFsync turns fsync off and keeps the data in memory where the machine has
// room for it: several times quicker, for tests that don't care about the disk.
func NoFsync() Option {
	return func(o *setup) {
		Config("fsync", "off")(o)
		o.Dir = ""
	}
}

// Config sets one line of postgresql.conf.
func Config(name, value string) Option {
	return func(o *setup) {
		if o.Config == nil {
			o.Config = map[string]string{}
		}
		o.Config[name] = value
	}
}

// StartForTest starts a server that ends with the test, on a free port of 127.0.0.1.
// fsync is on unless NoFsync is given. Without Postgres the test fails.
func StartForTest(t testing.TB, options ...Option) *postgres.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o := setup{ServerOptions: postgres.ServerOptions{Dir: os.TempDir(), AdminPassword: rand.Text(), NoSync: true}}
	for _, option := range options {
		option(&o)
	}
	inst, err := o.installation, error(nil)
	if inst.Bin == "" {
		inst, err = postgres.Find(ctx)
	}
	if err != nil {
		t.Fatalf("this test needs Postgres: %v", err)
	}
	if o.Dir == "" {
		o.Dir = memory()
	}
	o.Dir = dir(t, o.Dir)
	s, err := postgres.Start(ctx, inst, o.ServerOptions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

// room is what /dev/shm must have free to be used: containers often have little.
const room = 2 << 30

func memory() string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs("/dev/shm", &fs); err != nil || uint64(fs.Bavail)*uint64(fs.Bsize) < room {
		return os.TempDir()
	}
	return "/dev/shm"
}

// dir is a directory that the id a root's server runs as may enter; that of
// t.TempDir is closed to it.
func dir(t testing.TB, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "godwit-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the server of this test: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func stop(t testing.TB, s *postgres.Server) {
	t.Helper()
	// t.Context has ended by now.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop the server of this test: %v", err)
	}
}
