package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/landscape"
)

// oldest is the first major whose server has everything that godwit asks of a source;
// what differs from there on is asked for by what is there (to_jsonb of a catalog's row).
const oldest = 11

// oldestTarget is the first major that says how far a copy is (pg_stat_progress_copy).
const oldestTarget = 14

// skewLimit is how far the clocks of the two sides may be apart.
const skewLimit = time.Second

// Check returns everything that stands against moving this database, each with
// a mend. It changes nothing. The error is for what it could not ask.
func (b *Reader) Check(ctx context.Context) (landscape.Findings, error) {
	var all landscape.Findings
	for _, side := range []string{Source, Target} {
		conn, err := b.watcher(ctx, side)
		if err != nil {
			all = append(all, b.finding(side, landscape.Error, fmt.Sprintf("can't be reached: %v", err), mendOf(err)))
			continue
		}
		for _, r := range rules {
			if r.side != "" && r.side != side {
				continue
			}
			objects, err := b.ask(ctx, conn, r)
			if err != nil {
				return all, b.about(side, fmt.Errorf("checking whether %s: %w", r.summary, err))
			}
			for _, object := range objects {
				all = append(all, b.finding(side, r.severity, fmt.Sprintf(r.summary, object), r.mend))
			}
		}
	}
	if slices.ContainsFunc(all, func(f landscape.Finding) bool { return strings.Contains(f.Summary, "can't be reached") }) {
		return all, nil
	}
	between, err := b.compare(ctx)
	return append(all, between...), err
}

// ask runs the query of a rule.
func (b *Reader) ask(ctx context.Context, conn *pgx.Conn, r rule) ([]string, error) {
	if strings.Contains(r.query, "$1") {
		return column(ctx, conn, r.query, b.name())
	}
	return column(ctx, conn, r.query)
}

func (b *Pair) finding(side string, severity landscape.Severity, summary, mend string) landscape.Finding {
	return landscape.Finding{Severity: severity, Summary: fmt.Sprintf("database %q, %s: %s", b.Database, side, summary), Mend: mend}
}

// compare asks what needs both sides.
func (b *Reader) compare(ctx context.Context) (landscape.Findings, error) {
	var all landscape.Findings
	for _, question := range []func(context.Context) (landscape.Findings, error){
		b.owners, b.keys, b.unlogged, b.standing, b.holds, b.versions, b.available, b.roles, b.membership, b.locales, b.empty, b.settings, b.room, b.locks, b.keeps, b.clocks,
	} {
		found, err := question(ctx)
		all = append(all, found...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// both asks both sides the same.
func (b *Reader) both(ctx context.Context, query string) (source, target []string, err error) {
	answers := map[string][]string{}
	for _, side := range []string{Source, Target} {
		conn, err := b.watcher(ctx, side)
		if err != nil {
			return nil, nil, err
		}
		if answers[side], err = column(ctx, conn, query); err != nil {
			return nil, nil, b.about(side, err)
		}
	}
	return answers[Source], answers[Target], nil
}

// owners: what is there of godwit must be this migration's, and of this state.
func (b *Reader) owners(ctx context.Context) (landscape.Findings, error) {
	var all landscape.Findings
	for _, side := range []string{Source, Target} {
		conn, err := b.watcher(ctx, side)
		if err != nil {
			return all, err
		}
		o, err := ownerOf(ctx, conn)
		if err != nil {
			return all, b.about(side, err)
		}
		if why := b.foreign(o); why != nil {
			all = append(all, b.finding(side, landscape.Error, why.Error(), "see who moves this database: two at once would take it from each other"))
		}
	}
	return all, nil
}

func (b *Reader) versions(ctx context.Context) (landscape.Findings, error) {
	source, target, err := b.both(ctx, "SELECT current_setting('server_version_num')")
	if err != nil {
		return nil, err
	}
	var from, to int
	fmt.Sscan(source[0], &from)
	fmt.Sscan(target[0], &to)
	var all landscape.Findings
	if from/10000 < oldest {
		all = append(all, b.finding(Source, landscape.Error, fmt.Sprintf("Postgres %d is too old", from/10000), fmt.Sprintf("upgrade it to %d or newer", oldest)))
	}
	if to/10000 < oldestTarget {
		all = append(all, b.finding(Target, landscape.Error, fmt.Sprintf("Postgres %d is too old for a target", to/10000), fmt.Sprintf("give the target Postgres %d or newer", oldestTarget)))
	}
	if to/10000 < from/10000 {
		all = append(all, b.finding(Target, landscape.Error, fmt.Sprintf("Postgres %d is older than the source's %d", to/10000, from/10000),
			"give the target at least the source's version"))
	}
	return all, nil
}

func (b *Reader) available(ctx context.Context) (landscape.Findings, error) {
	conn, err := b.watcher(ctx, Source)
	if err != nil {
		return nil, err
	}
	wanted, err := column(ctx, conn, "SELECT extname::text FROM pg_extension")
	if err != nil {
		return nil, b.about(Source, err)
	}
	if conn, err = b.watcher(ctx, Target); err != nil {
		return nil, err
	}
	var there []string
	for _, name := range wanted { // one by one: a broken one that nobody uses keeps the server from listing any
		_, err := column(ctx, conn, "SELECT source FROM pg_extension_update_paths($1) LIMIT 1", name)
		var refused *pgconn.PgError
		if err != nil && !errors.As(err, &refused) {
			return nil, b.about(Target, err)
		}
		if err == nil {
			there = append(there, name)
		}
	}
	return b.missing(wanted, there, "extension %s of the source is not installed on this server", "install its package on the target"), nil
}

func (b *Reader) roles(ctx context.Context) (landscape.Findings, error) {
	conn, err := b.watcher(ctx, Source)
	if err != nil {
		return nil, err
	}
	wanted, err := column(ctx, conn, "SELECT DISTINCT r.rolname::text FROM pg_policy p JOIN pg_roles r ON r.oid = ANY (p.polroles)")
	if err != nil {
		return nil, b.about(Source, err)
	}
	if b.Owner != "" {
		wanted = append(wanted, b.Owner)
	}
	if conn, err = b.watcher(ctx, Target); err != nil {
		return nil, err
	}
	there, err := column(ctx, conn, "SELECT rolname::text FROM pg_roles")
	if err != nil {
		return nil, b.about(Target, err)
	}
	return b.missing(wanted, there, "role %s is needed by a policy, or owns the objects, and is not there", "CREATE ROLE it on the target"), nil
}

// membership: who is no superuser gives objects away, and guards them, only as
// a member of the role that gets them.
func (b *Reader) membership(ctx context.Context) (landscape.Findings, error) {
	conn, err := b.watcher(ctx, Target)
	if err != nil || b.Owner == "" {
		return nil, err
	}
	lacks, err := column(ctx, conn, `SELECT current_user::text FROM pg_roles o WHERE o.rolname = $1
		AND NOT (pg_has_role(o.oid, 'member') AND pg_has_role(o.oid, 'usage'))`, b.Owner)
	if err != nil || len(lacks) == 0 {
		return nil, b.about(Target, err)
	}
	return landscape.Findings{b.finding(Target, landscape.Error, fmt.Sprintf("role %s is no member of %s, which owns the objects", lacks[0], b.Owner),
		fmt.Sprintf("GRANT %s TO %s (from Postgres 16 on WITH INHERIT TRUE, SET TRUE)", ident(b.Owner), ident(lacks[0])))}, nil
}

func (b *Reader) missing(wanted, there []string, summary, mend string) landscape.Findings {
	var all landscape.Findings
	for _, name := range wanted {
		if !slices.Contains(there, name) {
			all = append(all, b.finding(Target, landscape.Error, fmt.Sprintf(summary, name), mend))
		}
	}
	return all
}

// empty: nothing may be on the target but what this migration put there.
func (b *Reader) empty(ctx context.Context) (landscape.Findings, error) {
	conn, err := b.watcher(ctx, Target)
	if err != nil {
		return nil, err
	}
	ours, err := batch(ctx, conn, apparatusIn("state"))
	if err != nil {
		return nil, b.about(Target, err)
	}
	if ours[0] != "" {
		return nil, nil // whose it is, owners says
	}
	objects, err := column(ctx, conn, `SELECT c.oid::regclass::text`+relations+` AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') ORDER BY 1 LIMIT 5`)
	if err != nil || len(objects) == 0 {
		return nil, b.about(Target, err)
	}
	return landscape.Findings{b.finding(Target, landscape.Error, "is not empty: "+strings.Join(objects, ", "),
		"move into an empty database; drop what is there if nobody needs it")}, nil
}

func (b *Reader) room(ctx context.Context) (landscape.Findings, error) {
	conn, err := b.watcher(ctx, Source)
	if err != nil || b.Target.FreeBytes == 0 {
		return nil, err
	}
	var size int64
	if err := conn.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&size); err != nil {
		return nil, b.about(Source, err)
	}
	if need := size + size/2 + 256<<20; b.Target.FreeBytes < need {
		return landscape.Findings{b.finding(Target, landscape.Error, fmt.Sprintf("%d MB are free, %d MB may be needed", b.Target.FreeBytes>>20, need>>20),
			"make room on the target's disk")}, nil
	}
	return nil, nil
}

func (b *Reader) clocks(ctx context.Context) (landscape.Findings, error) {
	offset := map[string]time.Duration{}
	for _, side := range []string{Source, Target} {
		conn, err := b.watcher(ctx, side)
		if err != nil {
			return nil, err
		}
		var there time.Time
		begun := time.Now()
		if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&there); err != nil {
			return nil, b.about(side, err)
		}
		offset[side] = there.Sub(begun.Add(time.Since(begun) / 2))
	}
	if skew := (offset[Target] - offset[Source]).Abs(); skew > skewLimit {
		return landscape.Findings{b.finding(Target, landscape.Warning, fmt.Sprintf("its clock is %v apart from the source's", skew.Round(time.Millisecond)),
			"set both by the same time server: timestamps would jump at the cutover")}, nil
	}
	return nil, nil
}
