package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What owners of tables wrote runs in the session that touches their tables: index
// predicates and statistics already when a query is planned, constraints and
// triggers when a row arrives, anything when it is made again. No session of a
// superuser does any of it, for it could be made to do everything else too, and
// SET ROLE is no wall: what runs can take it back. So each kind of touching has a
// role of its own on each side, which exists only for the migration, and which has
// nothing that an owner could want.

// comparer is the role that reads rows for Verify.
func (p *Pair) comparer() string { return p.name() + "_v" }

// streamer is the role as which the other side's Postgres reads from a side.
func (p *Pair) streamer() string { return p.name() + "_l" }

// applier is the role as which a side writes what arrives from the other. Nobody
// logs in as it: it has no password.
func (p *Pair) applier() string { return p.name() + "_a" }

// prober is a role for a moment, as which Reachable tries the way.
func (p *Pair) prober() string { return p.name() + "_t" }

// ownRoles are godwit's on each side.
func (p *Pair) ownRoles() []string {
	return []string{p.comparer(), p.streamer(), p.applier(), p.prober(), p.changer()}
}

// login is a password for a role, with what a server keeps of it: a statement that
// is logged does not give the password away.
type login struct{ password, verifier string }

func newLogin() (login, error) {
	const iterations = 4096 // what Postgres takes; the password is random
	password, salt := rand.Text(), make([]byte, 16)
	rand.Read(salt)
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return login{}, err
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored, b64 := sha256.Sum256(mac("Client Key")), base64.StdEncoding.EncodeToString
	return login{password, fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(mac("Server Key")))}, nil
}

// published is the beginning of a query about the tables of a publication $1.
const published = `WITH tables AS (
	SELECT p.schemaname, p.tablename, pg_get_userbyid(c.relowner) AS owner, c.relrowsecurity, c.relforcerowsecurity FROM pg_publication_tables p
	JOIN pg_namespace n ON n.nspname = p.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename WHERE p.pubname = $1) `

// mayConnect is the statement that lets role $2 in.
const mayConnect = `SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), $2::text)`

// mayRead are the statements that let role $2 read all rows of what is published.
// Row security must hide none: a superuser says so of the role; who is none makes it a
// member of the roles that own such tables.
const mayRead = published + `SELECT format('GRANT SELECT ON %s TO %I', string_agg(format('%I.%I', schemaname, tablename), ', '), $2::text) FROM tables HAVING count(*) > 0
	UNION ALL SELECT format('GRANT USAGE ON SCHEMA %s TO %I', string_agg(DISTINCT quote_ident(schemaname), ', '), $2::text) FROM tables HAVING count(*) > 0
	UNION ALL ` + mayConnect + `
	UNION ALL SELECT DISTINCT CASE WHEN ` + amSuper + ` THEN format('ALTER ROLE %I BYPASSRLS', $2::text) ELSE format('GRANT %I TO %I', owner, $2::text) END
		FROM tables WHERE relrowsecurity`

// mayReplicate is how the engine's role lets another one replicate: an attribute, or
// a role to be a member of; nothing when it cannot.
const mayReplicate = `SELECT CASE WHEN r.rolsuper OR r.rolreplication AND current_setting('server_version_num')::int >= 160000 THEN 'REPLICATION'
	WHEN EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE g.rolname = 'rds_replication' AND m.member = r.oid)
	THEN 'IN ROLE rds_replication' END FROM pg_roles r WHERE r.rolname = current_user`

// asOwners says whether rows are applied as the owners of their tables, whose code
// then gets no more than they have: from Postgres 16 on, where row security does not
// bind them too.
const asOwners = `current_setting('server_version_num')::int >= 160000 AND NOT EXISTS (SELECT FROM tables WHERE relrowsecurity AND relforcerowsecurity)`

// mayApply are the statements that give role $2 what it needs: to write what is
// published, whatever row security says, and to call what constraints and indexes
// call. Where rows are applied as the owners of their tables it may become each of
// them, and owns the marker.
const mayApply = published + `SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON %s TO %I', string_agg(format('%I.%I', schemaname, tablename), ', '), $2::text)
		FROM tables HAVING count(*) > 0
	UNION ALL SELECT format('GRANT USAGE ON SCHEMA %s TO %I', string_agg(DISTINCT quote_ident(schemaname), ', '), $2::text) FROM tables HAVING count(*) > 0
	UNION ALL ` + mayConnect + `
	UNION ALL SELECT DISTINCT format('GRANT EXECUTE ON ROUTINE %s TO %I', refobjid::regprocedure, $2::text) FROM pg_depend
		WHERE refclassid = 'pg_proc'::regclass AND refobjid >= 16384
		AND classid IN ('pg_constraint'::regclass, 'pg_class'::regclass, 'pg_attrdef'::regclass)
	UNION ALL SELECT format('ALTER ROLE %I BYPASSRLS', $2::text) FROM tables WHERE relrowsecurity HAVING count(*) > 0
	UNION ALL SELECT DISTINCT format('GRANT %I TO %I WITH INHERIT FALSE, SET TRUE', owner, $2::text) FROM tables
		WHERE schemaname <> 'godwit' AND ` + asOwners + `
	UNION ALL SELECT format('ALTER TABLE godwit.marker OWNER TO %I', $2::text) WHERE ` + asOwners

// applies are the options of a subscription that are for its applier.
const applies = published + `SELECT ', password_required = false, run_as_owner = ' || (NOT (` + asOwners + `))::text
	WHERE current_setting('server_version_num')::int >= 160000`

// makeRole makes a role, new, with what a query says that it may.
func (p *Pair) makeRole(ctx context.Context, conn *pgx.Conn, role, attributes, may string) error {
	if err := dropRoles(ctx, conn, role); err != nil {
		return err
	}
	rights, err := column(ctx, conn, p.rights(role, may))
	if err != nil {
		return err
	}
	newer, err := batch(ctx, conn, "SELECT current_setting('server_version_num')::int >= 160000")
	if err != nil {
		return err
	}
	member := "" // who is no superuser takes things from a role as its member only
	if newer[0] == "t" {
		member = " WITH INHERIT TRUE, SET TRUE"
	}
	_, err = batch(ctx, conn, append(append([]string{"BEGIN", "SET LOCAL client_min_messages = error", "CREATE ROLE " + ident(role) + " " + attributes,
		"GRANT " + ident(role) + " TO CURRENT_USER" + member}, rights...), "COMMIT")...)
	return err
}

// rights is the query for the statements that let a role do what it may.
func (p *Pair) rights(role, may string) string {
	return strings.NewReplacer("$1", literal(p.publication()), "$2", literal(role)).Replace(may)
}

// dropRoles drops roles of godwit with all that they may; what they own becomes the engine's.
func dropRoles(ctx context.Context, conn *pgx.Conn, roles ...string) error {
	there, err := column(ctx, conn, "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = ANY ($1)", roles)
	if err != nil || len(there) == 0 {
		return err
	}
	list := strings.Join(there, ", ")
	_, err = batch(ctx, conn, "BEGIN", "SET LOCAL client_min_messages = error", "REASSIGN OWNED BY "+list+" TO CURRENT_USER", "DROP OWNED BY "+list,
		"DROP ROLE "+list, "COMMIT")
	return err
}

// dropOwnRoles drops godwit's roles on side.
func (b *Writer) dropOwnRoles(ctx context.Context, side string, roles ...string) error {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return err
	}
	return b.about(side, dropRoles(ctx, conn, roles...))
}

// enter opens a session on side as one of godwit's roles, with a new password.
func (b *Writer) enter(ctx context.Context, side, role string) (*pgx.Conn, error) {
	l, err := newLogin()
	if err != nil {
		return nil, err
	}
	if _, err := b.write(ctx, side, "ALTER ROLE "+ident(role)+" PASSWORD "+literal(l.verifier)); err != nil {
		return nil, err
	}
	config := b.side(side).Config.Copy()
	config.User, config.Password = role, l.password
	conn, err := open(ctx, config, ReaderName, false)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && strings.HasPrefix(pgErr.Code, "28") {
		err = fmt.Errorf("%w; what tables make run is run as a role that may do nothing else: let %s in with a password (scram-sha-256) in pg_hba.conf", err, role)
	}
	return conn, b.about(side, err)
}
