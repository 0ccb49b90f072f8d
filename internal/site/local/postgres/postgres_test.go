package postgres

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// openDir is a temporary directory that every id may enter, unlike t.TempDir's.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "godwit-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func find(t testing.TB) Installation {
	t.Helper()
	inst, err := Find(t.Context())
	if err != nil {
		t.Fatalf("this test needs Postgres: %v", err)
	}
	return inst
}

// template is shared by all tests of this machine, like that of real servers.
func template(t testing.TB, inst Installation) string {
	t.Helper()
	dir, err := TemplateDir(inst)
	if err != nil {
		t.Fatal(err)
	}
	if err := EnsureTemplate(t.Context(), inst, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t testing.TB, o ServerOptions) *Server {
	t.Helper()
	o.NoSync = true
	if o.AdminPassword == "" {
		o.AdminPassword = "secret"
	}
	s, err := Start(t.Context(), find(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t testing.TB, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func query[T any](t testing.TB, s *Server, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var v T
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func execSQL(t testing.TB, s *Server, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
