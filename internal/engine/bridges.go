package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/migrate"
	"godwit/internal/migrate/postgres"
	"godwit/internal/site"
	localpostgres "godwit/internal/site/local/postgres"
)

// bridges are the engine's ways to both sides of a migration, one pair a
// database, and the writers that an operation changes them with.
type bridges struct {
	pairs   []postgres.Pair
	readers []*postgres.Reader
	list    []*postgres.Writer
	missing []error // of each database that there is no way to, why
}

func (b *bridges) close() {
	for _, r := range b.readers {
		r.Close()
	}
	for _, w := range b.list {
		w.Close()
	}
}

func (b *bridges) databases() []string {
	var names []string
	for _, p := range b.pairs {
		names = append(names, p.Database)
	}
	return names
}

// add makes reader and writer of a pair; no session is opened yet.
func (b *bridges) add(p postgres.Pair, self identity) {
	p.State = self.State
	b.pairs = append(b.pairs, p)
	b.readers = append(b.readers, postgres.NewReader(p))
	b.list = append(b.list, postgres.NewWriter(p, self.Generation))
}

// check judges both sides, and lets each reach the other.
func (b *bridges) check(ctx context.Context) (landscape.Findings, error) {
	found, err := migrate.Check(ctx, b.readers)
	if err != nil {
		return found, err
	}
	between, err := migrate.Reachable(ctx, b.pairs)
	return append(found, between...), err
}

// readers look at both sides of a migration: no relay is opened for that, nor
// anything that could change something. Close them.
func (e *Engine) readers(ctx context.Context, w *world, m landscape.Migration) ([]*postgres.Reader, error) {
	src, _ := w.landscape.Source(m.Source)
	var readers []*postgres.Reader
	err := e.asking(ctx, w, "the ways to the databases of "+m.Environment, func(ctx context.Context) error {
		for _, d := range src.Databases {
			pair, err := e.ends(ctx, w, m, d)
			if err != nil {
				return fmt.Errorf("database %s: %w", d.Name, err)
			}
			readers = append(readers, postgres.NewReader(pair))
		}
		return nil
	})
	return readers, err
}

// bridges makes a migration's bridges and opens the relays that they need. The
// error has every database that none can be made for.
func (e *Engine) bridges(ctx context.Context, w *world, m landscape.Migration) (*bridges, error) {
	b, err := e.bridgesThere(ctx, w, m)
	if err == nil {
		err = errors.Join(b.missing...)
	}
	if err != nil {
		return nil, err // no session is open yet
	}
	return b, nil
}

// bridgesThere makes the bridges that can be made: what is wrong with one database
// says nothing of the next. The error is that nobody answered any more.
func (e *Engine) bridgesThere(ctx context.Context, w *world, m landscape.Migration) (*bridges, error) {
	self, err := e.self.of(ctx, e.store)
	if err != nil {
		return nil, err
	}
	src, _ := w.landscape.Source(m.Source)
	b := &bridges{}
	err = e.asking(ctx, w, "the ways to the databases of "+m.Environment, func(ctx context.Context) error {
		for _, d := range src.Databases {
			pair, err := e.pair(ctx, w, m, d)
			if err == nil {
				b.add(pair, self)
				continue
			}
			b.missing = append(b.missing, fmt.Errorf("database %s: %w", d.Name, err))
			if ctx.Err() != nil {
				return errors.Join(b.missing...)
			}
		}
		return nil
	})
	return b, err
}

// lastBridges are for whoever takes a migration back. Where the site cannot say
// how its side is reached, that is a server that does not answer: the source must
// not stay fenced, nor keep its log, because AWS is away.
func (e *Engine) lastBridges(ctx context.Context, w *world, m landscape.Migration) (*bridges, error) {
	b, err := e.bridges(ctx, w, m)
	if err == nil || !w.fronted() || ctx.Err() != nil {
		return b, err
	}
	e.log.Warn("going on without the way to the environment", "migration", m.Name, "error", err)
	self, failure := e.self.of(ctx, e.store)
	if failure != nil {
		return nil, failure
	}
	src, _ := w.landscape.Source(m.Source)
	b = &bridges{}
	for _, d := range src.Databases {
		from, failure := w.settings.database(d)
		if failure != nil {
			return nil, fmt.Errorf("database %s: %w", d.Name, failure)
		}
		b.add(postgres.Pair{Migration: m.Name, Database: d.Name,
			Source: postgres.Side{Config: from}, Target: postgres.Side{Config: e.lastTarget(ctx, w, m, d.Name, err)}}, self)
	}
	return b, nil
}

// lastTarget is the way to an environment's database when no bridge could be
// made: between both databases there may be none any more, from here there is.
func (e *Engine) lastTarget(ctx context.Context, w *world, m landscape.Migration, database string, why error) *pgx.ConnConfig {
	if !errors.Is(why, site.ErrInvalid) {
		return awayConfig(why)
	}
	to, err := e.targetConfig(ctx, w, m.Environment, database)
	if err != nil {
		return awayConfig(err)
	}
	return to
}

// awayConfig is of a server that cannot be dialed, and says why.
func awayConfig(why error) *pgx.ConnConfig {
	config, err := pgx.ParseConfig("postgres://away")
	if err != nil {
		panic(err) // it is a URL
	}
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New(why.Error()) // what it was is no matter: a deadline of then is none of now
	}
	return config
}

// ends are one database of a migration with the engine's own ways to both sides.
func (e *Engine) ends(ctx context.Context, w *world, m landscape.Migration, d landscape.SourceEndpoint) (postgres.Pair, error) {
	var none postgres.Pair
	from, err := w.settings.database(d)
	if err != nil {
		return none, err
	}
	access, err := e.healed(w).access(ctx, m.Environment, d.Name)
	if err != nil {
		return none, err
	}
	to, err := configOf(access)
	if err != nil {
		return none, err
	}
	return postgres.Pair{
		Migration: m.Name,
		Database:  d.Name,
		Source:    postgres.Side{Name: postgres.Source, Config: from},
		Target:    postgres.Side{Name: postgres.Target, Config: to},
		Owner:     access.Owner,
	}, nil
}

// pair are the ends with the way between them, which it opens.
func (e *Engine) pair(ctx context.Context, w *world, m landscape.Migration, d landscape.SourceEndpoint) (postgres.Pair, error) {
	pair, err := e.ends(ctx, w, m, d)
	if err != nil {
		return pair, err
	}
	relay, err := e.openRelay(ctx, w, m.Environment, d.Name, pair.Source.Config)
	if err != nil {
		return pair, err
	}
	inst, err := localpostgres.Find(ctx)
	if err != nil {
		return pair, err
	}
	pair.Source.PeerConnInfo = conninfo(pair.Source.Config, relay.Source)
	pair.Target.PeerConnInfo = conninfo(pair.Target.Config, relay.Target)
	pair.Dump = postgres.Dump{Path: filepath.Join(inst.Bin, "pg_dump")}
	return pair, nil
}

// openRelay opens the way between both databases, where the site has walls.
func (e *Engine) openRelay(ctx context.Context, w *world, environment, database string, from *pgx.ConnConfig) (site.Relay, error) {
	if strings.HasPrefix(from.Host, "/") {
		return site.Relay{}, api.Fail(api.Usage, "the source database is reached through a unix socket, which the environment cannot: give its url a host and a port")
	}
	return e.healed(w).openRelay(ctx, environment, database, net.JoinHostPort(from.Host, strconv.Itoa(int(from.Port))))
}

func (w *world) closeRelays(ctx context.Context, m landscape.Migration) error {
	relayer, ok := w.site.(site.Relayer)
	if !ok {
		return nil
	}
	src, _ := w.landscape.Source(m.Source)
	for _, d := range src.Databases {
		if err := relayer.CloseRelay(ctx, m.Environment, d.Name); err != nil {
			return fmt.Errorf("relay of database %s: %w", d.Name, err)
		}
	}
	return nil
}

// conninfo is what libpq of the other side connects with.
func conninfo(c *pgx.ConnConfig, address string) string {
	host, port, _ := net.SplitHostPort(address)
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	var b strings.Builder
	for _, kv := range [][2]string{{"host", host}, {"port", port}, {"dbname", c.Database}, {"user", c.User}, {"password", c.Password}} {
		fmt.Fprintf(&b, "%s='%s' ", kv[0], escape.Replace(kv[1]))
	}
	return b.String() + "connect_timeout='5'"
}
