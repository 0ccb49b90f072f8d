package postgres

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
)

// stateLink is where a side keeps the password of the other's streamer: a
// subscription has that of a role which replicates and reads what is published, not
// of a superuser.
const stateLink = "link"

// hush keeps what has a password out of the log of a server whose settings the
// engine's role may change.
const hush = "SELECT set_config('log_statement', 'none', true), set_config('log_min_error_statement', 'panic', true) WHERE " + amSuper

// makeStreamer makes the streamer at the server of peer, and returns its password;
// "" when the engine's role cannot make one there.
func (p *Pair) makeStreamer(ctx context.Context, peer *pgx.Conn, keep func(password string) error) error {
	replicates, err := batch(ctx, peer, mayReplicate)
	if err != nil || replicates[0] == "" {
		return err
	}
	l, err := newLogin()
	if err != nil {
		return err
	}
	if err := keep(l.password); err != nil { // first: a role is never without somebody who knows its password
		return err
	}
	return p.makeRole(ctx, peer, p.streamer(), fmt.Sprintf("LOGIN PASSWORD %s %s", literal(l.verifier), replicates[0]), mayRead)
}

// peerInfo is what the Postgres on side, in which conn is a session, connects with to
// the other one's; as the engine's role there when role is "".
func (p *Pair) peerInfo(ctx context.Context, conn *pgx.Conn, side, role, password string) (string, error) {
	peer := p.side(other(side))
	given := map[string]string{"user": peer.Config.User, "password": peer.Config.Password, "connect_timeout": "5"}
	if role != "" {
		given["user"], given["password"] = role, password
	}
	file := said(peer.Config).Get("sslrootcert")
	if file != "" && file != "system" {
		path, err := p.carryRoot(ctx, conn, file)
		if err != nil {
			return "", err
		}
		given["sslrootcert"] = path
	}
	return conninfo(peer.Config, peer.Peer, given), nil
}

// carryRoot puts the certificate of a CA where the Postgres of conn can read it, and
// returns that path.
func (p *Pair) carryRoot(ctx context.Context, conn *pgx.Conn, file string) (string, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%w names a file that cannot be read: %w", ErrURL, err)
	}
	path, err := batch(ctx, conn, "SELECT current_setting('data_directory') || "+literal("/"+p.name()+".crt"))
	if err != nil {
		return "", err
	}
	_, err = batch(ctx, conn, fmt.Sprintf("COPY (SELECT unnest(string_to_array(%s, %s))) TO %s", literal(string(pem)), literal("\n"), literal(path[0])))
	return path[0], err
}

// linkInfo is peerInfo for the subscription of side, as the streamer that it has.
func (b *Writer) linkInfo(ctx context.Context, side string) (string, error) {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return "", err
	}
	noted, err := batch(ctx, conn, "SELECT value FROM godwit.state WHERE key = "+literal(stateLink))
	if err != nil {
		return "", b.about(side, err)
	}
	role := ""
	if noted[0] != "" {
		role = b.streamer()
	}
	info, err := b.peerInfo(ctx, conn, side, role, noted[0])
	return info, b.about(side, err)
}

// disown are the statements that give a subscription that was just made to the
// applier. Before Postgres 16 only a superuser can get it, who is none any more when
// the transaction ends; its workers begin after that.
func (p *Pair) disown() []string {
	role := ident(p.applier())
	return []string{"ALTER ROLE " + role + " SUPERUSER", "ALTER SUBSCRIPTION " + ident(p.subscription()) + " OWNER TO " + role, "ALTER ROLE " + role + " NOSUPERUSER"}
}
