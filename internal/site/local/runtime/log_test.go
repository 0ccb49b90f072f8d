//go:build linux

package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLog: every line has a time, also one that comes in pieces; the file and
// the one before it stay within their limit, and the newest lines are kept.
func TestLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	l, err := openLog(path, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []string{"one\ntw", "o\n", "\n", strings.Repeat("x\n", 200), "last\n"} {
		if n, err := l.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Errorf("wrote %d of %d: %v", n, len(piece), err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	var all string
	for _, p := range []string{path + ".1", path} {
		text, err := os.ReadFile(p)
		if err != nil || len(text) > 1000 {
			t.Errorf("%s has %d bytes: %v", p, len(text), err)
		}
		all += string(text)
	}
	for line := range strings.Lines(all) {
		stamp, _, ok := strings.Cut(line, " ")
		if _, err := time.Parse(LogTime, stamp); err != nil || !ok {
			t.Errorf("line without a time: %q", line)
		}
	}
	if !strings.HasSuffix(all, " last\n") {
		t.Errorf("the end is lost: %q", all)
	}
}

// TestLogSurvives: a log that can't be written loses text, not the program.
func TestLogSurvives(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := openLog(filepath.Join(dir, "log"), 50)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := l.Write([]byte("some text\n")); err != nil {
			t.Error(err)
		}
	}
}
