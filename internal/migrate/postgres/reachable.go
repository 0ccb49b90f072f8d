package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/landscape"
)

// Reachable lets each server itself connect to the other, as its subscription
// will. It needs a session that may write, for a moment, and takes back what it
// did there: no Reader can do that, and nobody is ended for it.
func Reachable(ctx context.Context, p Pair) (landscape.Findings, error) {
	p.Source.Name, p.Target.Name = Source, Target
	var all landscape.Findings
	for _, side := range []string{Source, Target} {
		found, err := p.reaches(ctx, side)
		all = append(all, found...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

func (p *Pair) reaches(ctx context.Context, side string) (landscape.Findings, error) {
	if p.side(other(side)).Peer == "" {
		return nil, nil // no relay yet
	}
	var sessions [2]*pgx.Conn
	for i, name := range []string{side, other(side)} {
		conn, err := p.connect(ctx, name, "godwit-probe", true)
		if err != nil {
			return nil, ctx.Err() // Check says that it can't be reached
		}
		defer conn.Close(context.WithoutCancel(ctx))
		sessions[i] = conn
	}
	if err := p.reach(ctx, side, sessions[0], sessions[1]); err != nil {
		return landscape.Findings{p.finding(side, landscape.Error, fmt.Sprintf("its server can't connect to the %s's: %v", other(side), err),
			fmt.Sprintf("open the way between the two servers (the relay), and let roles %s, %s and %s in with a password (scram-sha-256) in pg_hba.conf",
				p.prober(), p.streamer(), p.comparer()))}, nil
	}
	return nil, nil
}

// reach makes a subscription and takes it back: its creation connects, as a role like
// the one that the real one will have.
func (p *Pair) reach(ctx context.Context, side string, conn, peer *pgx.Conn) error {
	var free bool // another one may be asking the same: two would drop each other's role
	if err := peer.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", int32(lockSpace+1), p.lockKey()).Scan(&free); err != nil || !free {
		return err
	}
	l, err := newLogin()
	if err != nil {
		return err
	}
	replicates, err := batch(ctx, peer, mayReplicate)
	if err != nil {
		return err
	}
	role := ""
	if replicates[0] != "" {
		role = p.prober()
		defer dropRoles(context.WithoutCancel(ctx), peer, role)
		if err := p.makeRole(ctx, peer, role, fmt.Sprintf("LOGIN PASSWORD %s %s", literal(l.verifier), replicates[0]), mayConnect); err != nil {
			return err
		}
	}
	info, err := p.peerInfo(ctx, conn, side, role, l.password)
	if err != nil {
		return err
	}
	_, err = batch(ctx, conn, "BEGIN", "SET LOCAL client_min_messages = error", "SET LOCAL statement_timeout = '5s'", hush,
		fmt.Sprintf("CREATE SUBSCRIPTION %s CONNECTION %s PUBLICATION %[1]s WITH (create_slot = false, slot_name = NONE, copy_data = false, enabled = false)",
			ident(p.name()+"_x"), literal(info)), "ROLLBACK")
	if refusedByFence(err) { // behind a fence the subscription is there already
		return nil
	}
	return err
}

func refusedByFence(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "25006"
}
