package postgrestest

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestStartForTest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []Option
		fsync   string
	}{
		"durable": {nil, "on"},
		"quick":   {[]Option{NoFsync()}, "off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := StartForTest(t, c.options...)
			conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			for setting, want := range map[string]string{"fsync": c.fsync, "wal_level": "logical", "jit": "off"} {
				var got string
				if err := conn.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil || got != want {
					t.Errorf("%s is %q (%v), want %q", setting, got, err, want)
				}
			}
		})
	}
}
