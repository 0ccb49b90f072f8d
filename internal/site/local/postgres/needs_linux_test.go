package postgres

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestEmptyRoot runs the server in a root that holds Binds and Symlinks alone.
func TestEmptyRoot(t *testing.T) {
	t.Parallel()
	inst := find(t)
	runInEmptyRoot(t, inst, template(t, inst))
}

// TestLinksOutOfAnInstallation: extensions whose files are links to elsewhere, over
// another link, as Debian's alternatives make them, are there in an empty root.
func TestLinksOutOfAnInstallation(t *testing.T) {
	t.Parallel()
	system, cache, elsewhere := find(t), openDir(t), openDir(t)
	if !strings.HasPrefix(system.Bin, "/usr/lib/postgresql/") {
		t.Skipf("this test copies Debian's Postgres, and %s is none", system.Bin)
	}
	home := filepath.Join(cache, installed, "copy", filepath.Dir(system.Bin))
	share := filepath.Join(cache, installed, "copy", "/usr/share/postgresql", filepath.Base(filepath.Dir(system.Bin)))
	control := filepath.Join(share, "extension", "citext.control")
	for _, args := range [][]string{{"mkdir", "-p", filepath.Dir(home), filepath.Dir(share)}, {"cp", "-a", filepath.Dir(system.Bin), home},
		{"cp", "-a", "/usr/share/postgresql/" + filepath.Base(home), share}, {"mv", control, filepath.Join(elsewhere, "real")},
		{"ln", "-s", filepath.Join(elsewhere, "real"), filepath.Join(elsewhere, "alternative")}, {"ln", "-s", filepath.Join(elsewhere, "alternative"), control},
		{"ln", "-s", "/nowhere/at/all", filepath.Join(share, "extension", "broken.sql")}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	inst, err := inspect(t.Context(), filepath.Join(home, "bin"), cache)
	if err != nil {
		t.Fatal(err)
	}
	templateDir := filepath.Join(openDir(t), "template")
	if err := EnsureTemplate(t.Context(), inst, templateDir); err != nil {
		t.Fatal(err)
	}
	runInEmptyRoot(t, inst, templateDir)
}

// runInEmptyRoot makes the root inside namespaces of its own: mounted as root
// there, then left for an ordinary id, as instances are.
func runInEmptyRoot(t *testing.T, inst Installation, templateDir string) {
	t.Helper()
	if err := exec.Command("unshare", "-rm", "true").Run(); err != nil {
		t.Skipf("no user namespaces here: %v", err)
	}
	root, data := openDir(t), filepath.Join(openDir(t), "data")
	// Root of the machine is root of the namespace too, and its files are root's.
	if err := os.Mkdir(filepath.Join(root, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(t.Context(), inst, templateDir, data, Settings{AdminPassword: "p", NoSync: true}); err != nil {
		t.Fatal(err)
	}
	if err := chownTree(data, identity{os.Geteuid(), os.Getegid()}); err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("set -e\nmount --bind " + root + " " + root + "\n")
	for _, path := range inst.Binds {
		in := root + path
		if info, err := os.Stat(path); err != nil {
			t.Fatal(err)
		} else if info.IsDir() {
			script.WriteString("mkdir -p " + in + "\n")
		} else {
			script.WriteString("mkdir -p " + filepath.Dir(in) + "; touch " + in + "\n")
		}
		script.WriteString("mount --rbind " + path + " " + in + "\n")
	}
	for _, link := range slices.Sorted(maps.Keys(inst.Symlinks)) {
		script.WriteString("mkdir -p " + filepath.Dir(root+link) + "; ln -s " + inst.Symlinks[link] + " " + root + link + "\n")
	}
	script.WriteString("mount --bind " + data + " " + root + "/data\ncd " + root + "\n")
	// A socket in the data directory leads out of every namespace.
	appendTo(t, filepath.Join(data, "pg_hba.conf"), "local all all scram-sha-256\n")
	command := append(Command(inst, "/data", "127.0.0.1", 5432), "-c", "unix_socket_directories=/data")
	script.WriteString("exec unshare --map-user=1000 --map-group=1000 --root=" + root + " --wd=/ " + strings.Join(command, " "))
	var log bytes.Buffer
	cmd := exec.Command("unshare", "-rmn", "sh", "-c", script.String())
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, inst.Env...)
	cmd.Stdout, cmd.Stderr = &log, &log
	s := &Server{ended: make(chan struct{})}
	if err := s.run(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	conn := dialSocket(t, s, data)
	if conn == nil {
		t.Fatalf("%v: %s\nbinds %q\nlinks %q", s.err, &log, inst.Binds, inst.Symlinks)
	}
	defer conn.Close(t.Context())
	var works bool
	if err := conn.QueryRow(t.Context(), "SELECT upper('ä') = 'Ä' AND sha256('x') IS NOT NULL AND 'Europe/Berlin' IN (SELECT name FROM pg_timezone_names)").Scan(&works); err != nil || !works {
		t.Errorf("characters, hashes and time zones work: %v (%v)", works, err)
	}
	if err := conn.QueryRow(t.Context(), "SELECT count(*) > 30 FROM pg_available_extensions").Scan(&works); err != nil || !works {
		t.Errorf("extensions are listed: %v (%v)", works, err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE EXTENSION citext"); err != nil {
		t.Error(err)
	}
}

// dialSocket connects as soon as the server listens; nil when it ended before.
func dialSocket(t *testing.T, s *Server, dir string) *pgx.Conn {
	t.Helper()
	for {
		conn, err := pgx.Connect(t.Context(), "host="+dir+" port=5432 user=godwit password=p dbname=postgres")
		if err == nil {
			return conn
		}
		select {
		case <-s.ended:
			return nil
		case <-t.Context().Done():
			t.Fatal(err)
		case <-time.After(pingEvery):
		}
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
