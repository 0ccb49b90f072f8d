package postgres_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/testtool"
)

// startPooler starts a PgBouncer in front of a server; it returns the URL that leads
// through it. It ends with the test.
func startPooler(t *testing.T, server *migratetest.Server, settings ...string) string {
	t.Helper()
	u, err := url.Parse(server.Admin)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	dir := t.TempDir()
	password, _ := u.User.Password()
	conf := fmt.Sprintf("[databases]\n* = host=%s port=%s user=%s password=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nauth_type = any\npool_mode = transaction\nunix_socket_dir =\n%s\n",
		u.Hostname(), u.Port(), u.User.Username(), password, port, strings.Join(settings, "\n"))
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Dir(dir)} { // root's PgBouncer has to be somebody else
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{filepath.Join(dir, "conf")}
	if os.Geteuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	cmd := exec.Command(testtool.Find(t, "pgbouncer"), args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	u.Host = fmt.Sprintf("127.0.0.1:%d", port)
	migratetest.Eventually(t, "PgBouncer listens", func() bool {
		conn, err := net.Dial("tcp", u.Host)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return u.String()
}

// TestPoolerIsNamed: a URL that leads to a pooler is called that, whether the pooler
// refuses the settings of a session or ignores them; pgbouncer/pgbouncer#1074.
func TestPoolerIsNamed(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 1)
	ignored := "ignore_startup_parameters = application_name,default_transaction_read_only,default_transaction_isolation,statement_timeout,lock_timeout," +
		"idle_in_transaction_session_timeout,synchronous_commit,search_path,intervalstyle,extra_float_digits,bytea_output,row_security"
	for name, settings := range map[string][]string{"refuses settings": nil, "ignores settings": {ignored}} {
		pair := migratetest.Pair(t, source, target)
		pair.Source = migratetest.Side(t, startPooler(t, source, settings...))
		findings, err := check(t, pair)
		if err != nil {
			t.Fatal(err)
		}
		if !found(findings, "error source: can't be reached: ") || !strings.Contains(findings[0].Summary, "it is a connection pooler") || !strings.Contains(findings[0].Mend, "name the server itself") {
			t.Errorf("%s: %v", name, findings)
		}
	}
}
