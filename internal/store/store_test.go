package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
)

func open(t *testing.T) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "deep", "store.db")
	return reopen(t, path), path
}

func reopen(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestReleasesAreNumberedAtomically(t *testing.T) {
	t.Parallel()
	s, path := open(t)
	const writers, each = 8, 10
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				if _, err := s.AddRelease(t.Context(), fleet.Release{Environment: "test", Service: "till"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if other, err := s.AddRelease(t.Context(), fleet.Release{Environment: "test", Service: "menu"}); err != nil || other.Number != 1 {
		t.Errorf("another service starts at 1, got %d, %v", other.Number, err)
	}
	s.Close()
	releases, err := reopen(t, path).Releases(t.Context(), "test", "till")
	if err != nil || len(releases) != writers*each {
		t.Fatalf("%d releases, %v", len(releases), err)
	}
	for i, r := range releases {
		if r.Number != i+1 || r.CreatedAt.IsZero() {
			t.Fatalf("release %d of the list: %+v", i, r)
		}
	}
}

func TestReleaseComesBackWhole(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	in := fleet.Release{
		Environment: "test", Service: "till", Image: "sha256:1", Port: 8080, Count: 2,
		Env: map[string]landscape.Value{"DATABASE_URL": {Parts: []landscape.Part{
			{Literal: "x"}, {Ref: &landscape.AttrRef{Kind: "database", Name: "till", Attr: "url"}}}}},
		Health:    landscape.Health{Path: "/healthz", Interval: time.Second, Timeout: 2 * time.Second},
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
	}
	added, err := s.AddRelease(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	in.Number = 1
	got, err := s.Release(t.Context(), "test", "till", 1)
	if err != nil || !reflect.DeepEqual(got, in) || !reflect.DeepEqual(added, in) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, in)
	}
	if _, err := s.Release(t.Context(), "test", "till", 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("release 2: %v", err)
	}
}

func TestDeploymentsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	at := time.Unix(0, 1_700_000_000_000_000_001)
	want := []Deployment{{"test", "till", 2, at, "done"}, {"test", "till", 3, at.Add(-time.Hour), "undone"}}
	for _, d := range append(want, Deployment{"test", "menu", 1, at, "done"}) {
		if err := s.AddDeployment(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Deployments(t.Context(), "test", "till"); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	s, path := open(t)
	for _, name := range []string{"b", "a"} {
		for _, text := range []string{"old", "new"} {
			if err := s.Put(t.Context(), "landscape", name, map[string]string{"text": text + name}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Close()
	s = reopen(t, path)
	var got map[string]string
	if ok, err := s.Get(t.Context(), "landscape", "a", &got); !ok || err != nil || got["text"] != "newa" {
		t.Errorf("got %v, %v, %v", got, ok, err)
	}
	if ok, err := s.Get(t.Context(), "secret", "a", &got); ok || err != nil {
		t.Errorf("another kind: %v, %v", ok, err)
	}
	if names, err := s.List(t.Context(), "landscape"); err != nil || !reflect.DeepEqual(names, []string{"a", "b"}) {
		t.Errorf("names %v, %v", names, err)
	}
	for range 2 {
		if err := s.Delete(t.Context(), "landscape", "a"); err != nil {
			t.Error(err)
		}
	}
	if ok, _ := s.Get(t.Context(), "landscape", "a", &got); ok {
		t.Error("deleted, and still there")
	}
	var number int
	if _, err := s.Get(t.Context(), "landscape", "b", &number); err == nil {
		t.Error("a document of another shape was read without an error")
	}
}

func TestRunsAndSteps(t *testing.T) {
	t.Parallel()
	s, path := open(t)
	run := Run{ID: "1", Kind: "rollout", Subject: "test/till", Payload: []byte(`{"a":1}`), Status: "running",
		Notes: map[string]string{}, Started: time.Unix(1, 5),
		Steps: []Step{{Name: "launch", Phase: "begun", Started: time.Unix(1, 6)}, {Name: "shift", Phase: "pending", PointOfNoReturn: true}}}
	if err := s.AddRun(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if err := s.AddRun(t.Context(), run); !errors.Is(err, ErrExists) {
		t.Errorf("added twice: %v", err)
	}
	run.Notes["lsn"] = "0/16"
	run.Steps[0].Phase, run.Steps[0].Elapsed = "done", 123*time.Nanosecond
	run.Steps[1].Phase, run.Steps[1].Error = "begun", "over budget"
	if err := s.SaveRun(t.Context(), run, 0, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveRun(t.Context(), Run{ID: "2"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("saved without having been added: %v", err)
	}
	s.Close()
	s = reopen(t, path)
	if got, err := s.Run(t.Context(), "1"); err != nil || !reflect.DeepEqual(got, run) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, run)
	}
	if _, err := s.Run(t.Context(), "2"); !errors.Is(err, ErrNotFound) {
		t.Errorf("run 2: %v", err)
	}
	for status, want := range map[string]int{"running": 1, "done": 0} {
		if runs, err := s.Runs(t.Context(), status, "stuck"); err != nil || len(runs) != want {
			t.Errorf("%s: %d runs, %v", status, len(runs), err)
		}
	}
}

func TestReadersDoNotWaitForTheWriter(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	if err := s.Put(t.Context(), "k", "n", 1); err != nil {
		t.Fatal(err)
	}
	err := s.write(t.Context(), func(tx *sql.Tx) error {
		if _, err := tx.Exec("UPDATE documents SET body = '2'"); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var got int
		if ok, err := s.Get(ctx, "k", "n", &got); !ok || err != nil || got != 1 {
			return fmt.Errorf("inside another's transaction: %v, %v, %d", ok, err, got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnlyTheOwnerCanRead(t *testing.T) {
	t.Parallel()
	s, path := open(t)
	if err := s.Put(t.Context(), "secret", "n", 1); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", info.Name(), info.Mode().Perm())
		}
	}
}

func TestDurabilitySettings(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		var got string
		if err := s.writer.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q, %v", pragma, got, want, err)
		}
	}
	if _, err := s.reader.Exec("DELETE FROM runs"); err == nil {
		t.Error("the reader can write")
	}
}

func TestRefusedFilesStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make func(t *testing.T, path string)
		want error
	}{
		"text":      {func(t *testing.T, path string) { write(t, path, []byte("dear diary")) }, ErrForeign},
		"long text": {func(t *testing.T, path string) { write(t, path, []byte(strings.Repeat("dear diary\n", 1000))) }, ErrForeign},
		"other database": {func(t *testing.T, path string) {
			execute(t, path, "CREATE TABLE recipes (name TEXT)")
		}, ErrForeign},
		"other write-ahead database": {func(t *testing.T, path string) {
			execute(t, path, "PRAGMA journal_mode = WAL", "CREATE TABLE recipes (name TEXT)")
		}, ErrForeign},
		"newer": {func(t *testing.T, path string) {
			reopen(t, path).Close()
			execute(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
		}, ErrNewer},
		"damaged": {damaged, ErrCorrupt},
		"cut short": {func(t *testing.T, path string) {
			reopen(t, path).Close()
			whole, _ := os.ReadFile(path)
			write(t, path, whole[:len(whole)/2])
		}, ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			c.make(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(path)
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %v with the path", err, c.want)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func damaged(t *testing.T, path string) {
	s := reopen(t, path)
	for i := range 200 {
		if err := s.Put(t.Context(), "k", strconv.Itoa(i), strings.Repeat("x", 500)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(whole); i += 7 {
		whole[i] ^= 0x5a
	}
	write(t, path, whole)
}

func write(t *testing.T, path string, bytes []byte) {
	t.Helper()
	if err := os.WriteFile(path, bytes, 0o600); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStrangePath(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c#d%20e", "störe.db")
	reopen(t, path)
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// TestLockNamesItsHolder opens the store in another process, which is then
// killed: the lock must go with it.
func TestLockNamesItsHolder(t *testing.T) {
	if path := os.Getenv("STORE_TEST_HOLD"); path != "" {
		reopen(t, path)
		fmt.Println("held")
		select {}
	}
	path := filepath.Join(t.TempDir(), "store.db")
	holder := exec.Command(os.Args[0], "-test.run=^TestLockNamesItsHolder$")
	holder.Env = append(os.Environ(), "STORE_TEST_HOLD="+path)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d ", holder.Process.Pid)) {
		t.Errorf("while another has it: %v", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	holder.Wait()
	reopen(t, path)
}

func TestSchemaVersionIsTheNewestFile(t *testing.T) {
	t.Parallel()
	files, err := schema.ReadDir("schema")
	if err != nil || len(files) != schemaVersion {
		t.Errorf("%d schema files, schemaVersion %d, %v", len(files), schemaVersion, err)
	}
}
