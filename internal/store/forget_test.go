package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
)

const kept = "correct-horse-battery"

// holds are the files of a directory that have a text in them.
func holds(t *testing.T, dir, text string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(text)) {
			files = append(files, d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestForget: not one byte of what was kept is left, wherever it has been.
func TestForget(t *testing.T) {
	t.Parallel()
	s, path := open(t)
	long := strings.Repeat(kept+" ", 1000) // on pages of its own
	for i := range 30 {
		n := strconv.Itoa(i)
		for _, text := range []string{kept + n, long, "short"} { // each in place of the one before
			ok(t, s.Put(t.Context(), "settings", n, text))
		}
		ok(t, s.Put(t.Context(), "settings", n, long))
		ok(t, s.AddRun(t.Context(), Run{ID: n, Payload: json.RawMessage(`"` + kept + `"`), Cause: kept, Notes: map[string]string{"a": kept}, Steps: []Step{{Name: "a", Error: kept}}}))
		_, err := s.AddRelease(t.Context(), fleet.Release{Environment: "test", Service: "till", Image: "sha256:" + n,
			Env: map[string]landscape.Value{"A": landscape.Literal(kept), "B": {Parts: []landscape.Part{{Ref: &landscape.AttrRef{Kind: "database", Name: "till", Attr: "url"}}}}}})
		ok(t, err)
	}
	ok(t, s.Put(t.Context(), "identity", "engine", "stays"))
	ok(t, s.AddDeployment(t.Context(), Deployment{Environment: "test", Service: "till", Release: 1, Outcome: "done"}))
	if len(holds(t, filepath.Dir(path), kept)) == 0 {
		t.Fatal("nothing was kept: this test cannot fail")
	}
	ok(t, s.Forget(t.Context(), "settings"))
	if files := holds(t, filepath.Dir(path), kept); len(files) > 0 { // while it is open, with its log
		t.Errorf("%v still hold it", files)
	}
	releases, err := s.Releases(t.Context(), "test", "till")
	if err != nil || len(releases) != 30 || releases[3].Image != "sha256:3" || !releases[3].Forgotten || releases[3].Env["B"].String() != "${database.till.url}" {
		t.Errorf("%+v, %v", releases, err)
	}
	var stays string
	if found, err := s.Get(t.Context(), "identity", "engine", &stays); !found || err != nil || stays != "stays" {
		t.Errorf("another kind: %v, %v", found, err)
	}
	if next, err := s.AddRelease(t.Context(), fleet.Release{Environment: "test", Service: "till"}); err != nil || next.Number != 31 {
		t.Errorf("the next release is %d, %v", next.Number, err)
	}
	if _, err := s.Run(t.Context(), "1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a run is left: %v", err)
	}
	ok(t, s.Close())
	if files := holds(t, filepath.Dir(path), kept); len(files) > 0 {
		t.Errorf("closed, %v hold it", files)
	}
}

// TestForgetOfOlderStore: what one deleted that did not delete for good is gone too.
func TestForgetOfOlderStore(t *testing.T) {
	t.Parallel()
	s, path := open(t)
	ok(t, s.Close())
	execute(t, path, "PRAGMA journal_mode=WAL", "PRAGMA secure_delete=0",
		"INSERT INTO documents VALUES ('settings', 'engine', '"+strings.Repeat(kept, 2000)+"')", "DELETE FROM documents", "PRAGMA wal_checkpoint(TRUNCATE)")
	if len(holds(t, filepath.Dir(path), kept)) == 0 {
		t.Fatal("nothing is left of what was deleted: this test cannot fail")
	}
	s = reopen(t, path)
	ok(t, s.Forget(t.Context()))
	if files := holds(t, filepath.Dir(path), kept); len(files) > 0 {
		t.Errorf("%v still hold it", files)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
