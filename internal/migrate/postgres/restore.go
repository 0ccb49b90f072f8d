package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// restorer is the role of a moment that makes what is copied: what owners of the
// source wrote runs already when it is made.
func (p *Pair) restorer() string { return p.name() + "_r" }

// owner is who gets what is copied.
func (p *Pair) owner() string {
	if p.Owner == "" {
		return "CURRENT_USER"
	}
	return ident(p.Owner)
}

// restore makes the definitions on the target: extensions by the engine's role, which
// may, and all else in one transaction by a role that has only what it needs. It is
// noted when they have their owner; what a failed attempt left, wipe has dropped before.
func (b *Writer) restore(ctx context.Context, dump string) error {
	extensions, err := b.extensions(ctx)
	if err != nil {
		return err
	}
	if err := b.prepareRestore(ctx, extensions); err != nil {
		return err
	}
	conn, err := b.enter(ctx, Target, b.restorer())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := batch(ctx, conn, "BEGIN READ WRITE", "SET LOCAL client_min_messages = error", extensions.without(dump), "COMMIT"); err != nil {
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && pgErr.Code == "42501" {
			err = fmt.Errorf("%w; nothing of the source is made as a superuser: check lists what would need one", err)
		}
		return fmt.Errorf("making the definitions: %w", b.about(Target, err))
	}
	return b.handOver(ctx)
}

// extensions of the source.
type extensions struct {
	make    []string // statements
	schemas []string // that they are in, quoted
}

func (b *Writer) extensions(ctx context.Context) (extensions, error) {
	var e extensions
	conn, err := b.watcher(ctx, Source)
	if err != nil {
		return e, err
	}
	e.make, err = column(ctx, conn, `SELECT format('CREATE EXTENSION IF NOT EXISTS %I SCHEMA %I', e.extname, n.nspname)
		FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql' ORDER BY e.oid`)
	if err != nil {
		return e, b.about(Source, err)
	}
	e.schemas, err = column(ctx, conn, `SELECT DISTINCT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
		WHERE n.nspname <> 'public' AND n.nspname NOT LIKE 'pg\_%' ORDER BY 1`)
	return e, b.about(Source, err)
}

// without removes what a dump says of extensions, and of the schemas that they are
// in: they are there.
func (e extensions) without(dump string) string {
	begins := []string{"CREATE EXTENSION ", "COMMENT ON EXTENSION "}
	for _, s := range e.schemas {
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

// prepareRestore makes the restorer, and what it may not make itself.
func (b *Writer) prepareRestore(ctx context.Context, e extensions) error {
	conn, err := b.writer(ctx, Target)
	if err != nil {
		return err
	}
	may := `SELECT format('GRANT CONNECT, CREATE ON DATABASE %I TO %I', current_database(), $2::text)
		UNION ALL SELECT format('GRANT CREATE, USAGE ON SCHEMA public TO %I', $2::text)`
	if err := b.makeRole(ctx, conn, b.restorer(), "LOGIN", may); err != nil {
		return b.about(Target, err)
	}
	statements := []string{"BEGIN", "SET LOCAL client_min_messages = error", dropEventTriggers} // made again by equip
	for _, s := range e.schemas {
		statements = append(statements, "CREATE SCHEMA IF NOT EXISTS "+s, "GRANT CREATE, USAGE ON SCHEMA "+s+" TO "+ident(b.restorer())+", "+b.owner())
	}
	_, err = b.write(ctx, Target, append(append(statements, e.make...), "COMMIT")...)
	return err
}

// handOver gives what the restorer made to its owner, and notes that it is there.
func (b *Writer) handOver(ctx context.Context) error {
	role := ident(b.restorer())
	_, err := b.write(ctx, Target, "BEGIN", "SET LOCAL client_min_messages = error",
		// Who gets objects must be allowed to make them where they are.
		fmt.Sprintf("DO %s", literal(fmt.Sprintf(`DECLARE s text; BEGIN
			FOR s IN SELECT nspname FROM pg_namespace WHERE nspowner = %s::regrole LOOP
				EXECUTE format('GRANT CREATE, USAGE ON SCHEMA %%I TO %%s', s, %s);
			END LOOP;
		END`, literal(role), literal(b.owner())))),
		"GRANT CREATE, USAGE ON SCHEMA public TO "+b.owner(),
		"REASSIGN OWNED BY "+role+" TO "+b.owner(), "DROP OWNED BY "+role, "DROP ROLE "+role, noteState(keyCopied, "now()::text"), "COMMIT")
	return err
}
