package tofu

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"godwit/internal/site/aws/awstest"
)

// play makes this test's program play godwit in a process of its own, so that it
// can be killed.
const play = "GODWIT_TEST_APPLY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(play); dir != "" {
		os.Exit(playGodwit(dir))
	}
	os.Exit(m.Run())
}

// playGodwit applies the saved plan of the account root below dir.
func playGodwit(dir string) int {
	ctx := context.Background()
	p, err := Find(ctx, "")
	if err == nil {
		d := &Driver{Program: p}
		var s Saved
		if s, err = Load(Root{dir, AccountRoot}, ""); err == nil {
			_, err = d.Apply(ctx, s, ApplyOptions{})
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// plain is a driver of the real program, for roots that keep their state themselves.
func plain(t testing.TB) *Driver {
	t.Helper()
	p, err := Find(t.Context(), awstest.Tool(t, "tofu"))
	if err != nil {
		t.Fatal(err)
	}
	return &Driver{Program: p, LockWait: time.Second, Env: map[string]string{
		"TF_CLI_CONFIG_FILE": os.DevNull, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	}}
}

// rendered is a tree with files by their paths.
func rendered(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		rewrite(t, filepath.Join(dir, name), text)
	}
	return dir
}

func rewrite(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// account is a tree with only the account root, made of one file.
func account(t testing.TB, text string) Root {
	t.Helper()
	return Root{rendered(t, map[string]string{"account/main.tf": text}), AccountRoot}
}

func mustPlan(t testing.TB, d *Driver, r Root, o PlanOptions) Saved {
	t.Helper()
	s, err := d.Plan(t.Context(), r, o)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return s
}

func mustApply(t testing.TB, d *Driver, r Root) Result {
	t.Helper()
	result, err := d.Apply(t.Context(), mustPlan(t, d, r, PlanOptions{}), ApplyOptions{})
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return result
}

func mustBeEmpty(t testing.TB, d *Driver, r Root) {
	t.Helper()
	if s := mustPlan(t, d, r, PlanOptions{}).Summary; !s.Empty || len(s.Changes()) != 0 {
		t.Errorf("a plan after an apply is not empty: %s", asJSON(t, s))
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// diary collects events, and tells of one that is waited for.
type diary struct {
	mu     sync.Mutex
	events []Event
	wanted func(Event) bool
	seen   chan struct{}
}

func newDiary(wanted func(Event) bool) *diary {
	return &diary{wanted: wanted, seen: make(chan struct{})}
}

func (d *diary) take(e Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
	if d.wanted != nil && d.wanted(e) {
		d.wanted = nil
		close(d.seen)
	}
}

func (d *diary) of(k Kind) []Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Event
	for _, e := range d.events {
		if e.Kind == k {
			all = append(all, e)
		}
	}
	return all
}

func addresses(parts []Part) []string {
	all := []string{}
	for _, p := range parts {
		all = append(all, p.Address)
	}
	return all
}

// mode fails unless only its owner may read a file.
func mode(t testing.TB, name string) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %v", name, info.Mode())
	}
}
