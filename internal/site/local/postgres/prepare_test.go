package postgres

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"
)

func settings() Settings { return Settings{AdminPassword: "secret", NoSync: true} }

func TestEnsureTemplate(t *testing.T) {
	t.Parallel()
	inst, dir := find(t), filepath.Join(openDir(t), "template")
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if err := EnsureTemplate(t.Context(), inst, dir); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	made, err := os.Stat(filepath.Join(dir, "PG_VERSION"))
	if err != nil {
		t.Fatal(err)
	}
	if err := EnsureTemplate(t.Context(), inst, dir); err != nil {
		t.Fatal(err)
	}
	if again, err := os.Stat(filepath.Join(dir, "PG_VERSION")); err != nil || !os.SameFile(made, again) {
		t.Errorf("a made template was made again (%v)", err)
	}
	if uid := made.Sys().(*syscall.Stat_t).Uid; int(uid) != os.Geteuid() {
		t.Errorf("the template belongs to %d", uid)
	}
	if _, err := os.Stat(dir + ".making"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a template is left: %v", err)
	}
	// One of another version is replaced.
	if err := os.WriteFile(filepath.Join(dir, templateMark), []byte("9.6 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := EnsureTemplate(t.Context(), inst, dir); err != nil || !templateMade(inst, dir) {
		t.Errorf("a template of another version stayed: %v", err)
	}
}

func TestEnsureTemplateRefuses(t *testing.T) {
	t.Parallel()
	inst, dir := find(t), filepath.Join(openDir(t), "template")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "letter"), []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := EnsureTemplate(t.Context(), inst, dir); !errors.Is(err, ErrOccupied) {
		t.Errorf("a directory with a letter in it: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "letter")); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := EnsureTemplate(ctx, inst, filepath.Join(dir, "new")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a cancelled template is there")
	}
}

func TestPrepareKeepsData(t *testing.T) {
	t.Parallel()
	inst := find(t)
	templateDir, dir := template(t, inst), openDir(t)
	data := filepath.Join(dir, "data")
	if err := Prepare(t.Context(), inst, templateDir, data, settings()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "precious"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(t.Context(), inst, templateDir, data, Settings{AdminPassword: "another"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(data, "precious")); err != nil {
		t.Errorf("a prepared directory was touched: %v", err)
	}
	// The mark alone makes it ours; without one it is somebody's data.
	if err := os.Remove(filepath.Join(data, preparedMark)); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(t.Context(), inst, templateDir, data, settings()); !errors.Is(err, ErrOccupied) {
		t.Errorf("a data directory without mark: %v", err)
	}
	if _, err := os.Stat(filepath.Join(data, "precious")); err != nil {
		t.Error(err)
	}
}

// TestPrepareAfterCrash cuts a preparation off at every file that it makes.
func TestPrepareAfterCrash(t *testing.T) {
	t.Parallel()
	inst := find(t)
	templateDir := template(t, inst)
	for _, left := range [][]string{
		{preparingMark},
		{preparingMark, "base/1/1259", "PG_VERSION"},
		{preparingMark, "postgresql.conf", "postmaster.pid"},
	} {
		dir := openDir(t)
		for _, name := range left {
			path := filepath.Join(dir, "data", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := Prepare(t.Context(), inst, templateDir, filepath.Join(dir, "data"), settings()); err != nil {
			t.Errorf("after %q: %v", left, err)
			continue
		}
		if got := query[int](t, start(t, ServerOptions{Dir: dir}), "SELECT 1"); got != 1 {
			t.Errorf("after %q the server does not work", left)
		}
	}
}

func TestPrepareAtOnce(t *testing.T) {
	t.Parallel()
	inst, dir := find(t), openDir(t)
	templateDir := template(t, inst)
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			if err := Prepare(t.Context(), inst, templateDir, filepath.Join(dir, "data"), settings()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	start(t, ServerOptions{Dir: dir})
}

func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	inst := find(t)
	templateDir := template(t, inst)
	for name, s := range map[string]Settings{
		"no password":       {},
		"newline":           {AdminPassword: "a\nDROP"},
		"network":           {AdminPassword: "p", Networks: []string{"10.0.0.0"}},
		"line":              {AdminPassword: "p", Config: map[string]string{"fsync": "off\nport = 1"}},
		"name":              {AdminPassword: "p", Config: map[string]string{"include '/etc/passwd' #": "x"}},
		"unknown to server": {AdminPassword: "p", NoSync: true, Config: map[string]string{"no_such_setting": "x"}},
		"bad value":         {AdminPassword: "p", NoSync: true, Config: map[string]string{"shared_buffers": "plenty"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(openDir(t), "data")
			if err := Prepare(t.Context(), inst, templateDir, data, s); !errors.Is(err, ErrSettings) {
				t.Errorf("%v, want ErrSettings", err)
			}
			if _, err := os.Stat(filepath.Join(data, preparedMark)); err == nil {
				t.Error("it counts as prepared")
			}
		})
	}
	if err := Prepare(t.Context(), inst, filepath.Join(openDir(t), "none"), filepath.Join(openDir(t), "data"), settings()); err == nil || !strings.Contains(err.Error(), "EnsureTemplate") {
		t.Errorf("without a template: %v", err)
	}
}

// TestPasswordNowhere looks for the password in what is written, even when the
// statement that holds it fails.
func TestPasswordNowhere(t *testing.T) {
	t.Parallel()
	inst, dir := find(t), openDir(t)
	const password = "Zaunkönig'\\$1"
	s := settings()
	s.AdminPassword, s.AdminUser = password, "pg_reserved"
	err := Prepare(t.Context(), inst, template(t, inst), filepath.Join(dir, "refused"), s)
	if err == nil || strings.Contains(err.Error(), "Zaunk") || !strings.Contains(err.Error(), "reserved") {
		t.Errorf("a reserved name: %v", err)
	}
	server := start(t, ServerOptions{Dir: dir, AdminUser: `Ad "min"`, AdminPassword: password})
	if got := query[string](t, server, "SELECT current_user"); got != `Ad "min"` {
		t.Errorf("logged in as %s", got)
	}
	if got := query[string](t, server, "SELECT left(rolpassword, 13) FROM pg_authid WHERE rolname = current_user"); got != "SCRAM-SHA-256" {
		t.Errorf("the password is kept as %s", got)
	}
	log, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
	if err != nil || strings.Contains(string(log), "Zaunk") {
		t.Errorf("the password is in the log (%v)", err)
	}
	for _, user := range []string{"godwit", `Ad "min"`} {
		config, err := pgx.ParseConfig(server.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		config.User, config.Password = user, "wrong"
		if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
			conn.Close(t.Context())
			t.Errorf("%s logs in with a wrong password", user)
		}
	}
}

// TestConfQuoting: what goes in comes out of the server's own parser.
func TestConfQuoting(t *testing.T) {
	t.Parallel()
	const odd = `it's a \ back`
	server := start(t, ServerOptions{Dir: openDir(t), Config: map[string]string{"Cluster_Name": odd}})
	if got := query[string](t, server, "SHOW cluster_name"); got != odd {
		t.Errorf("%q arrives as %q", odd, got)
	}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[ -~]{0,20}`).Draw(t, "value")
		s := Settings{AdminPassword: "p", Config: map[string]string{"Godwit.X": value}}
		if err := s.complete(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(s.conf()) {
			quoted, ok := strings.CutPrefix(line, "godwit.x = ")
			if !ok {
				continue
			}
			inner := strings.TrimSuffix(strings.TrimPrefix(quoted, "'"), "'\n")
			if strings.NewReplacer(`''`, `'`, `\\`, `\`).Replace(inner) != value {
				t.Fatalf("%q is written as %s", value, quoted)
			}
		}
	})
}
