package postgres

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// copyDefinitions makes everything but the rows on the target, and notes that it
// did: a second call does nothing.
func (b *Writer) copyDefinitions(ctx context.Context) error {
	if err := b.wipe(ctx, true); err != nil {
		return err
	}
	done, err := b.write(ctx, Target, stateOf(keyCopied))
	if err != nil || done[0] != "" {
		return err
	}
	if err := b.equip(ctx, Source); err != nil {
		return err
	}
	if err := b.unguard(ctx, Source); err != nil { // guards must not be copied; sync puts them back
		return err
	}
	if err := b.giveKeys(ctx); err != nil {
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
	sql, err := b.dump(ctx)
	if err != nil {
		return err
	}
	return b.restore(ctx, sql)
}

// dump reads the definitions of the source with pg_dump. Its arguments, which
// everybody on the machine can read, say how the source is reached, and what its URL
// says: a pg_dump that does not know an option of it fails. The password is in its
// environment.
func (b *Writer) dump(ctx context.Context) (string, error) {
	c := b.Source.Config
	cmd := exec.CommandContext(ctx, b.Dump.program(), "--schema-only", "--no-owner", "--no-privileges", "--no-publications", "--no-subscriptions",
		"--no-tablespaces", "--no-security-labels", "--no-password", "--exclude-schema=godwit", "--encoding=UTF8",
		"--dbname="+conninfo(c, Address(c), nil))
	var out, failure bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failure
	cmd.Env = append(b.Dump.environ(), "PGPASSWORD="+c.Password, "PGOPTIONS=-c default_transaction_read_only=off")
	if err := cmd.Run(); err != nil {
		return "", b.about(Source, fmt.Errorf("pg_dump: %w: %s", err, strings.TrimSpace(failure.String())))
	}
	return withoutCommands(out.String()), nil
}

func (d Dump) program() string { return cmp.Or(d.Path, "pg_dump") }

// major is its version; 0 when it cannot be asked, which sync says.
func (d Dump) major(ctx context.Context) int {
	cmd := exec.CommandContext(ctx, d.program(), "--version")
	cmd.Env = d.environ()
	out, _ := cmd.Output()
	fields := strings.Fields(string(out)) // pg_dump (PostgreSQL) 15.3
	if len(fields) < 3 {
		return 0
	}
	major, _, _ := strings.Cut(fields[2], ".")
	n, _ := strconv.Atoi(major)
	return n
}

// environ is the environment of pg_dump: nothing in that of the engine says how a
// server is reached.
func (d Dump) environ() []string {
	return append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PG") }), d.Env...)
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
