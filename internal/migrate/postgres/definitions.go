package postgres

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// copyDefinitions makes everything but the rows on the target, in one
// transaction, and notes that it did: a second call does nothing. They are made
// by a role of a moment, so that exactly what it owns can be given to the owner.
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
func (b *Writer) dump(ctx context.Context) (string, error) {
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
func (b *Writer) dumpEnv() []string {
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
func (b *Writer) restore(ctx context.Context, dump string) error {
	b.drop(ctx, Target)
	defer b.drop(context.WithoutCancel(ctx), Target)
	super, err := b.super(ctx, Target)
	if err != nil {
		return err
	}
	statements := b.restoreAsSuper(dump)
	if !super {
		if statements, err = b.restoreAsOther(ctx, dump); err != nil {
			return err
		}
	}
	all := append([]string{"BEGIN", "SET LOCAL client_min_messages = error"}, statements...)
	if _, err := b.write(ctx, Target, append(all, noteState(keyCopied, "now()::text"), "COMMIT")...); err != nil {
		return fmt.Errorf("making the definitions: %w", err)
	}
	return nil
}

// restorer is the role of a moment that makes what is copied; owner gets it.
func (b *Writer) restorer() (restorer, owner string) {
	owner = "CURRENT_USER"
	if b.Owner != "" {
		owner = ident(b.Owner)
	}
	return ident(b.name() + "_r"), owner
}

func (b *Writer) restoreAsSuper(dump string) []string {
	restorer, owner := b.restorer()
	return []string{"DROP EVENT TRIGGER IF EXISTS " + guardTrigger, // made again by equip
		"DROP ROLE IF EXISTS " + restorer, "CREATE ROLE " + restorer + " SUPERUSER", "SET LOCAL ROLE " + restorer, dump,
		"RESET ROLE", "SET LOCAL search_path = pg_catalog", "REASSIGN OWNED BY " + restorer + " TO " + owner, "DROP ROLE " + restorer}
}

// restoreAsOther is the same without a superuser: extensions are made by the
// engine's role, which may, and all else by a role that has only what it needs.
func (b *Writer) restoreAsOther(ctx context.Context, dump string) ([]string, error) {
	conn, err := b.watcher(ctx, Source)
	if err != nil {
		return nil, err
	}
	extensions, err := column(ctx, conn, `SELECT format('CREATE EXTENSION IF NOT EXISTS %I SCHEMA %I', e.extname, n.nspname)
		FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql' ORDER BY e.oid`)
	if err != nil {
		return nil, b.about(Source, err)
	}
	schemas, err := column(ctx, conn, `SELECT DISTINCT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
		WHERE n.nspname <> 'public' AND n.nspname NOT LIKE 'pg\_%' ORDER BY 1`)
	if err != nil {
		return nil, b.about(Source, err)
	}
	version, err := b.write(ctx, Target, "SELECT current_setting('server_version_num')::int >= 160000", "SELECT quote_ident(current_database())")
	if err != nil {
		return nil, err
	}
	member := ""
	if version[0] == "t" {
		member = " WITH INHERIT TRUE, SET TRUE"
	}
	restorer, owner := b.restorer()
	// A role that a failed attempt left owns nothing: all is one transaction.
	statements := []string{"DROP EVENT TRIGGER IF EXISTS " + guardTrigger, "CREATE ROLE " + restorer, "GRANT " + restorer + " TO CURRENT_USER" + member,
		"GRANT CREATE ON DATABASE " + version[1] + " TO " + restorer, "GRANT CREATE, USAGE ON SCHEMA public TO " + restorer}
	for _, s := range schemas {
		statements = append(statements, "CREATE SCHEMA IF NOT EXISTS "+s, "GRANT CREATE, USAGE ON SCHEMA "+s+" TO "+restorer+", "+owner)
	}
	statements = append(statements, extensions...)
	return append(statements, "SET LOCAL ROLE "+restorer, withoutExtensions(dump, schemas),
		// Who gets objects must be allowed to make them where they are.
		fmt.Sprintf("DO %s", literal(fmt.Sprintf(`DECLARE s text; BEGIN
			FOR s IN SELECT nspname FROM pg_namespace WHERE nspowner = %s::regrole LOOP
				EXECUTE format('GRANT CREATE, USAGE ON SCHEMA %%I TO %%s', s, %s);
			END LOOP;
		END`, literal(restorer), literal(owner)))),
		"RESET ROLE", "SET LOCAL search_path = pg_catalog", "GRANT CREATE, USAGE ON SCHEMA public TO "+owner,
		"REASSIGN OWNED BY "+restorer+" TO "+owner, "DROP OWNED BY "+restorer, "DROP ROLE "+restorer), nil
}

// withoutExtensions removes what the dump says of extensions, and of the schemas
// that they are in: they are there.
func withoutExtensions(dump string, schemas []string) string {
	begins := []string{"CREATE EXTENSION ", "COMMENT ON EXTENSION "}
	for _, s := range schemas {
		begins = append(begins, "CREATE SCHEMA "+s+";", "COMMENT ON SCHEMA "+s+" IS ")
	}
	var kept strings.Builder
	for line := range strings.Lines(dump) {
		if !slices.ContainsFunc(begins, func(b string) bool { return strings.HasPrefix(line, b) }) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
