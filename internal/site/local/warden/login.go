//go:build linux

package warden

import (
	"context"
	"errors"
	"net/netip"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// query asks a Postgres something that it can only answer when it works. What it
// says instead, as that it is starting up or has no connection left, is an answer.
func (l *Login) query(ctx context.Context, at netip.AddrPort) error {
	config, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return err
	}
	config.Host, config.Port, config.User, config.Password, config.Database = at.Addr().String(), at.Port(), l.User, l.Password, l.Database
	config.Fallbacks = nil
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, "select 1")
	}
	var says *pgconn.PgError
	if errors.As(err, &says) {
		return refusedf("it says %s (%s)", says.Message, says.Code)
	}
	return err
}
