//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	local "godwit/internal/site/local/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
)

// TestTargetDiesDuringSync ends the target's server in the middle of the copy,
// starts it again while sync is waiting, and expects it to go on.
func TestTargetDiesDuringSync(t *testing.T) {
	t.Parallel()
	var options local.ServerOptions
	source := migratetest.StartServer(t)
	parent, err := os.MkdirTemp("", "godwit-outage-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	if err := os.Chmod(parent, 0o711); err != nil {
		t.Fatal(err)
	}
	target := migratetest.StartServer(t, postgrestest.Change(func(o *local.ServerOptions) { o.Dir, options = parent, *o }))
	made, err := filepath.Glob(filepath.Join(parent, "*"))
	if err != nil || len(made) != 1 {
		t.Fatalf("the server's directory: %v, %v", made, err)
	}
	options.Dir = made[0]
	source.Fill(t, 300_000)
	b := migratetest.Writer(t, migratetest.Pair(t, source, target))
	var once sync.Once
	var restarted sync.WaitGroup
	killed := make(chan error, 1)
	err = b.Sync(t.Context(), func(p postgres.Progress) {
		if p.Stage == "copying rows" && len(p.Current) > 0 {
			once.Do(func() {
				killed <- syscall.Kill(target.Pid, syscall.SIGQUIT)
				restarted.Go(func() { restart(t, options, target) })
			})
		}
	})
	restarted.Wait()
	select {
	case err := <-killed:
		if err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatal("the copy ended before the server could")
	}
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(made[0], "postgres.log"))
		t.Fatalf("sync over an outage: %v\nthe target's log ends: %s", err, log[max(0, len(log)-3000):])
	}
	migratetest.Exec(t, source.App, `INSERT INTO "order" (key) VALUES ('after')`)
	migratetest.Eventually(t, "the target follows", func() bool {
		return migratetest.Text(t, target.Admin, `SELECT count(*) FROM "order"`) == "300001"
	})
}

// restart starts the server of options at the port where it was.
func restart(t *testing.T, options local.ServerOptions, was *migratetest.Server) {
	inst, err := local.Find(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	options.Port = was.Port
	migratetest.Eventually(t, "the server has ended", func() bool { return syscall.Kill(was.Pid, 0) != nil })
	server, err := local.Start(t.Context(), inst, options)
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { server.Stop(context.Background()) })
}

const insideVariable = "GODWIT_TEST_SMALL_DISK"

// TestTargetDiskFull gives the target's server a disk that is too small, in a
// mount namespace of its own: a second process of this test.
func TestTargetDiskFull(t *testing.T) {
	if os.Getenv(insideVariable) != "" {
		fillDisk(t)
		return
	}
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk needs root")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTargetDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

func fillDisk(t *testing.T) {
	disk, err := os.MkdirTemp("", "godwit-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(disk) })
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=140m,mode=0711"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	source := migratetest.StartServer(t)
	target := migratetest.StartServer(t, postgrestest.Change(func(o *local.ServerOptions) { o.Dir = disk }),
		postgrestest.Config("max_wal_size", "32MB"), postgrestest.Config("min_wal_size", "32MB"))
	source.Fill(t, 600_000)
	b := migratetest.Writer(t, migratetest.Pair(t, source, target))
	err = b.Sync(t.Context(), nil)
	if !errors.Is(err, postgres.ErrDiskFull) && !errors.Is(err, postgres.ErrUnreachable) {
		t.Errorf("sync onto a full disk: %v", err)
	}
	t.Logf("sync onto a full disk: %v", err)
	if !strings.Contains(err.Error(), "disk") {
		t.Error("the error does not say what to look at")
	}
	migratetest.Exec(t, source.App, `INSERT INTO "order" (key) VALUES ('untouched')`)
	target.Stop() // what is left of it: the source is cleaned without it
	if err := b.Abort(t.Context()); err != nil {
		t.Logf("abort: %v", err)
	}
	if n := migratetest.Text(t, source.Admin, left); n != "0" {
		t.Errorf("%s things are left on the source: slots %s", n, migratetest.Text(t, source.Admin, "SELECT string_agg(slot_name, ' ') FROM pg_replication_slots"))
	}
	migratetest.Exec(t, source.App, `INSERT INTO "order" (key) VALUES ('still untouched')`, "CREATE TABLE free (id int)")
}
