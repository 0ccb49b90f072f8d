package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"godwit/internal/lockfile"
)

// setAdministrator sets the password through a single-user session: no server
// is reachable before, and the password only passes through a pipe. It also
// proves that Postgres accepts the configuration.
func (id identity) setAdministrator(ctx context.Context, inst Installation, dataDir string, s Settings, held *lockfile.Lock) error {
	args := []string{"--single", "-D", dataDir, "-j",
		"-c", "exit_on_error=on",
		"-c", "log_min_error_statement=panic", // a failing statement holds the password
		"-c", "log_statement=none",
		"-c", "log_min_messages=warning",
	}
	if s.NoSync {
		args = append(args, "-F")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(inst.Bin, "postgres"), append(args, "postgres")...)
	cmd.Env, cmd.Dir, cmd.SysProcAttr = inst.environ(), "/", id.attributes()
	// The program outlives an engine that is killed, and the next one must not begin
	// here before it has ended.
	cmd.ExtraFiles = []*os.File{held.File()}
	cmd.Stdin = strings.NewReader(administratorSQL(s))
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("%w: Postgres: %w: %s", ErrSettings, err, lastLines(out)))
	}
	return nil
}

func administratorSQL(s Settings) string {
	verb := "CREATE"
	if s.AdminUser == bootstrapUser {
		verb = "ALTER"
	}
	// Standard strings: a backslash means itself.
	return fmt.Sprintf("SET standard_conforming_strings = on;\n\n%s ROLE %s SUPERUSER LOGIN REPLICATION CREATEDB CREATEROLE BYPASSRLS PASSWORD '%s';\n\n",
		verb, quoteName(s.AdminUser), strings.ReplaceAll(s.AdminPassword, "'", "''"))
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// lastLines is the end of what a program wrote, enough to see why it failed.
func lastLines(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
