package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// poll is how often a condition is looked at inside the write pause.
const poll = 500 * time.Microsecond

// patience is how long a server may take to accept a session.
const patience = 5 * time.Second

// connect opens a session whose settings don't depend on those of the
// database: a raised fence must not bind the engine, and both sides must print
// values alike. A session that is not to change anything is read-only.
func (p *Pair) connect(ctx context.Context, side, name string, changes bool) (*pgx.Conn, error) {
	conn, err := open(ctx, p.side(side).Config.Copy(), name, changes)
	return conn, p.about(side, err)
}

// open is connect with another Config.
func open(ctx context.Context, config *pgx.ConnConfig, name string, changes bool) (*pgx.Conn, error) {
	for name, value := range map[string]string{
		"application_name": name, "default_transaction_read_only": map[bool]string{true: "off", false: "on"}[changes],
		"default_transaction_isolation": "read committed",
		"statement_timeout":             "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0", "synchronous_commit": "on",
		"client_encoding": "UTF8", "standard_conforming_strings": "on", "search_path": "pg_catalog", "timezone": "UTC",
		"datestyle": "ISO, YMD", "intervalstyle": "postgres", "extra_float_digits": "1", "bytea_output": "hex", "row_security": "off",
	} {
		config.RuntimeParams[name] = value
	}
	conn, err := openWith(ctx, config)
	if err != nil {
		return nil, pooled(err)
	}
	backend, err := batch(ctx, conn, "SELECT pg_backend_pid()", noViews)
	if err == nil && backend[0] != strconv.FormatUint(uint64(conn.PgConn().PID()), 10) {
		err = ErrPooler
	}
	if err != nil {
		conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// pooled names a pooler by its words: it takes no settings for a session that is not
// one of the server's.
func pooled(err error) error {
	if err != nil && strings.Contains(err.Error(), "unsupported startup parameter") {
		return fmt.Errorf("%w: %w", ErrPooler, err)
	}
	return err
}

// openWith opens a session with the settings of a Config, and no others.
func openWith(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = patience
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // one round trip per query
	conn, err := pgx.ConnectConfig(ctx, config)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil { // of the connection's own time
		err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return conn, err
}

// noViews has a session read no view in the place of what it asked for, which anybody
// could have put there who owned that. Servers know it since August 2024.
const noViews = "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'"

// views takes it back for a transaction.
const views = "SELECT set_config(name, '', true) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'"

// trusted is a condition on pg_namespace n: schema godwit of a role that made it for
// godwit. Whoever owns it decides what a session that reads in it runs.
const trusted = `n.nspname = 'godwit' AND (pg_get_userbyid(n.nspowner) = current_user OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = n.nspowner AND r.rolsuper))`

// apparatusIn is the query for a relation of godwit's own schema; nothing where there is none.
func apparatusIn(relation string) string {
	return "SELECT to_regclass('godwit." + relation + "') FROM pg_namespace n WHERE " + trusted
}

// batch sends several statements in one round trip and returns the first
// column of the first row of each, "" where there is none. After an error the
// session has no open transaction.
func batch(ctx context.Context, conn *pgx.Conn, statements ...string) ([]string, error) {
	var sql string
	for _, s := range statements {
		sql += s + ";\n"
	}
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		if !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
			_, rollback := conn.Exec(ctx, "ROLLBACK")
			err = errors.Join(err, rollback)
		}
		return nil, err
	}
	values := make([]string, len(results))
	for i, r := range results {
		if len(r.Rows) > 0 && len(r.Rows[0]) > 0 {
			values[i] = string(r.Rows[0][0])
		}
	}
	return values, nil
}

// explain turns what a server or the driver said into an error of this package.
func explain(side string, err error) error {
	var pgErr *pgconn.PgError
	switch {
	case errors.As(err, &pgErr) && pgErr.Code == "53100":
		return fmt.Errorf("%w: %w; make room on the disk of the %s, then run the command again", ErrDiskFull, err, side)
	case errors.As(err, &pgErr) && pgErr.Code == "GW001":
		return fmt.Errorf("%w: %w", ErrLate, err)
	case errors.As(err, &pgErr) && pgErr.Code == "GW002":
		return fmt.Errorf("%w: %w", ErrState, err)
	case errors.As(err, &pgErr) && strings.HasPrefix(pgErr.Code, "57P"): // shutdowns
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	case pgErr == nil && broken(err):
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// broken says whether an error means that a connection was lost, or could not be made.
func broken(err error) bool {
	var network *net.OpError
	var connect *pgconn.ConnectError
	if err == nil || errors.Is(err, ErrUnreachable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	return errors.As(err, &network) || errors.As(err, &connect) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || strings.HasSuffix(err.Error(), "conn closed")
}

// until looks at a condition until it holds.
func until(ctx context.Context, every time.Duration, holds func() (bool, error)) error {
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		if err := pause(ctx, every); err != nil {
			return err
		}
	}
}

// pause waits, or returns the reason why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
