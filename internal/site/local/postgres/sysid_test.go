package postgres

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestEachClusterHasItsIdentifier: two of one template differ. That it is right for other
// majors too is shown in migrate/postgres, where they start.
func TestEachClusterHasItsIdentifier(t *testing.T) {
	t.Parallel()
	seen := map[int64]bool{}
	for range 2 {
		s := start(t, ServerOptions{Dir: openDir(t)})
		conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		var id int64
		if err := conn.QueryRow(t.Context(), "SELECT system_identifier FROM pg_control_system()").Scan(&id); err != nil {
			t.Fatal(err)
		}
		conn.Close(context.WithoutCancel(t.Context()))
		if made := time.Unix(id>>32, 0); seen[id] || time.Since(made) > time.Hour || time.Since(made) < 0 {
			t.Errorf("identifier %d, made at %v; before it %v", id, made, seen)
		}
		seen[id] = true
	}
}

// TestForeignControlFile: what is not understood is not written to.
func TestForeignControlFile(t *testing.T) {
	t.Parallel()
	inst := find(t)
	for name, spoil := range map[string]func(data string) error{
		"control file cut off": func(data string) error { return os.Truncate(filepath.Join(data, "global/pg_control"), 100) },
		"wrong checksum": func(data string) error {
			return rewrite(filepath.Join(data, "global/pg_control"), []byte{1}, 20)
		},
		"log of another cluster": func(data string) error {
			segments, err := filepath.Glob(filepath.Join(data, "pg_wal", "0*"))
			if err != nil {
				return err
			}
			return rewrite(segments[0], binary.NativeEndian.AppendUint64(nil, 7), walSysid)
		},
	} {
		data := filepath.Join(openDir(t), "data")
		if err := os.CopyFS(data, os.DirFS(template(t, inst))); err != nil {
			t.Fatal(err)
		}
		if err := spoil(data); err != nil {
			t.Fatal(err)
		}
		if err := identify(data); err == nil {
			t.Errorf("%s: identified", name)
		}
	}
}
