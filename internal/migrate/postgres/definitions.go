package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// copyDefinitions makes everything but the rows on the target, in one
// transaction, and notes that it did: a second call does nothing. They are made
// by a role of a moment, so that exactly what it owns can be given to the owner.
func (b *Bridge) copyDefinitions(ctx context.Context) error {
	done, err := b.write(ctx, Target, "SELECT value FROM godwit.state WHERE key = 'copied'")
	if err != nil || done[0] != "" {
		return err
	}
	if err := b.equip(ctx, Source); err != nil {
		return err
	}
	all, err := b.fingerprint(ctx, Source)
	if err != nil {
		return err
	}
	// Noted before anything is copied: what is copied is never without.
	if err := b.rememberFingerprint(ctx, Source, all); err != nil {
		return err
	}
	if err := b.unguard(ctx, Source); err != nil { // guards must not be copied; sync puts them back
		return err
	}
	sql, err := b.dump(ctx)
	if err != nil {
		return err
	}
	return b.restore(ctx, sql)
}

// dump reads the definitions of the source with pg_dump.
func (b *Bridge) dump(ctx context.Context) (string, error) {
	path := b.Dump.Path
	if path == "" {
		path = "pg_dump"
	}
	cmd := exec.CommandContext(ctx, path, "--schema-only", "--no-owner", "--no-privileges", "--no-publications", "--no-subscriptions",
		"--no-tablespaces", "--no-security-labels", "--no-password", "--exclude-schema=godwit", "--encoding=UTF8")
	var out, failure bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failure
	cmd.Env = append(os.Environ(), b.dumpEnv()...)
	if err := cmd.Run(); err != nil {
		return "", b.about(Source, fmt.Errorf("pg_dump: %w: %s", err, strings.TrimSpace(failure.String())))
	}
	return withoutCommands(out.String()), nil
}

// dumpEnv says how pg_dump reaches the source; in its environment, because
// arguments can be read by everybody on the machine. The last of a name counts.
func (b *Bridge) dumpEnv() []string {
	c := b.Source.Config
	return append([]string{"PGHOST=" + c.Host, "PGPORT=" + strconv.Itoa(int(c.Port)), "PGUSER=" + c.User, "PGPASSWORD=" + c.Password,
		"PGDATABASE=" + c.Database, "PGOPTIONS=-c default_transaction_read_only=off"}, b.Dump.Env...)
}

// withoutCommands removes the lines that mean something to psql only.
func withoutCommands(dump string) string {
	var kept strings.Builder
	for line := range strings.Lines(dump) {
		if !strings.HasPrefix(line, `\restrict `) && !strings.HasPrefix(line, `\unrestrict `) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// restore makes the definitions on the target. The dump changes the settings
// of its session, so that it gets a fresh one, which ends with it.
func (b *Bridge) restore(ctx context.Context, dump string) error {
	b.drop(ctx, Target)
	defer b.drop(context.WithoutCancel(ctx), Target)
	restorer, owner := ident(b.name()+"_r"), "CURRENT_USER"
	if b.Owner != "" {
		owner = ident(b.Owner)
	}
	_, err := b.write(ctx, Target, "BEGIN", "SET LOCAL client_min_messages = error",
		"DROP EVENT TRIGGER IF EXISTS "+guardTrigger, // made again by equip
		"DROP ROLE IF EXISTS "+restorer, "CREATE ROLE "+restorer+" SUPERUSER", "SET LOCAL ROLE "+restorer, dump,
		"RESET ROLE", "SET LOCAL search_path = pg_catalog", "REASSIGN OWNED BY "+restorer+" TO "+owner, "DROP ROLE "+restorer,
		noteState("copied", "now()::text"), "COMMIT")
	if err != nil {
		return fmt.Errorf("making the definitions: %w", err)
	}
	return nil
}

// wipe drops from the target what restore made there.
func (b *Bridge) wipe(ctx context.Context) error {
	conn, err := b.writer(ctx, Target)
	if err != nil {
		return err
	}
	values, err := batch(ctx, conn, "SELECT to_regclass('godwit.state')")
	if err != nil || values[0] == "" {
		return b.about(Target, err)
	}
	values, err = batch(ctx, conn, "SELECT value FROM godwit.state WHERE key = 'copied'")
	if err != nil || values[0] == "" {
		return b.about(Target, err)
	}
	if fenced, err := b.fenced(ctx, Target); err != nil || !fenced {
		return errors.Join(err, b.about(Target, fmt.Errorf("%w: it accepts writes, and is not emptied", ErrState)))
	}
	drops, err := column(ctx, conn, `SELECT format('DROP EXTENSION IF EXISTS %I CASCADE', extname) FROM pg_extension WHERE extname <> 'plpgsql'
		UNION ALL SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace
		WHERE nspname NOT IN ('information_schema', 'godwit') AND nspname NOT LIKE 'pg\_%'`)
	if err != nil {
		return b.about(Target, err)
	}
	statements := append([]string{"BEGIN", "SET LOCAL client_min_messages = error"}, drops...)
	_, err = b.write(ctx, Target, append(statements, "CREATE SCHEMA public AUTHORIZATION pg_database_owner",
		"GRANT USAGE ON SCHEMA public TO PUBLIC", "DELETE FROM godwit.state WHERE key = 'copied'", "COMMIT")...)
	return err
}
