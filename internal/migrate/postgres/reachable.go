package postgres

import (
	"context"
	"errors"
	"fmt"

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
	peer := p.side(other(side))
	if peer.PeerConnInfo == "" {
		return nil, nil // no relay yet
	}
	conn, err := p.connect(ctx, side, "godwit-probe", true)
	if err != nil {
		return nil, ctx.Err() // Check says that it can't be reached
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// A subscription that is rolled back: its creation connects.
	_, err = batch(ctx, conn, "BEGIN", "SET LOCAL client_min_messages = error", "SET LOCAL statement_timeout = '5s'",
		fmt.Sprintf("CREATE SUBSCRIPTION %s CONNECTION %s PUBLICATION %[1]s WITH (create_slot = false, slot_name = NONE, copy_data = false, enabled = false)",
			ident(p.name()+"_x"), literal(peer.PeerConnInfo)), "ROLLBACK")
	if err == nil || refusedByFence(err) { // behind a fence the subscription is there already
		return nil, nil
	}
	return landscape.Findings{p.finding(side, landscape.Error, fmt.Sprintf("its server can't connect to the %s's: %v", peer.Name, err),
		"open the way between the two servers (the relay), and check role, password and pg_hba.conf")}, nil
}

func refusedByFence(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "25006"
}
