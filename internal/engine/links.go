package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/migrate"
	"godwit/internal/migrate/postgres"
	"godwit/internal/site"
	localpostgres "godwit/internal/site/local/postgres"
)

// links are an operation's ways to both sides of a migration, one pair a
// database, with what looks at them and what changes them.
type links struct {
	pairs   []postgres.Pair
	readers []*postgres.Reader
	writers []*postgres.Writer
	missing []error // of each database that there is no way to, why
}

func (l *links) close() {
	closeReaders(l.readers)
	for _, w := range l.writers {
		w.Close()
	}
}

func closeReaders(readers []*postgres.Reader) {
	for _, r := range readers {
		r.Close()
	}
}

func (l *links) databases() []string {
	var names []string
	for _, p := range l.pairs {
		names = append(names, p.Database)
	}
	return names
}

// configure has the environment's servers set up for what comes from the source, where
// the site runs them. They may have been started again: all sessions are new then.
func (l *links) configure(ctx context.Context, m *migration) error {
	for i, r := range l.readers {
		if !l.pairs[i].Target.Configurable {
			continue
		}
		settings, err := r.TargetSettings(ctx)
		if err != nil {
			return err
		}
		if err := m.engine.healed(m.world).configure(ctx, m.Environment, l.pairs[i].Database, settings); err != nil {
			return err
		}
	}
	l.close()
	return nil
}

// add makes reader and writer of a pair; no session is opened yet.
func (l *links) add(p postgres.Pair, self identity) {
	p.State = self.State
	l.pairs = append(l.pairs, p)
	l.readers = append(l.readers, postgres.NewReader(p))
	l.writers = append(l.writers, postgres.NewWriter(p, self.Generation))
}

// check judges both sides, and lets each reach the other.
func (l *links) check(ctx context.Context) (landscape.Findings, error) {
	found, err := migrate.Check(ctx, l.readers)
	if err != nil {
		return found, err
	}
	between, err := migrate.Reachable(ctx, l.pairs)
	return append(found, between...), err
}

// opening opens a migration's links, for an operation that closes them.
type opening func(context.Context, *migration) error

// whole opens the links to all databases, with the ways between both sides. The
// error has every database that there is no way to.
func whole(ctx context.Context, m *migration) error {
	if err := possible(ctx, m); err != nil {
		return err
	}
	return errors.Join(m.links.missing...) // no session is open yet
}

// possible opens the links that there are: what is wrong with one database says
// nothing of the next. The error is that nobody answered any more.
func possible(ctx context.Context, m *migration) error {
	return m.open(ctx, func(ctx context.Context, d landscape.SourceEndpoint) (postgres.Pair, error) { return m.joined(ctx, d) })
}

// last are for whoever takes a migration back, or ends it: no way between both
// sides is opened for that. Where nobody can say how the environment's is reached,
// that is a server that does not answer: the source must not stay fenced, nor keep
// its log, because the environment is away.
func last(ctx context.Context, m *migration) error {
	return m.open(ctx, func(ctx context.Context, d landscape.SourceEndpoint) (postgres.Pair, error) {
		pair, err := m.ends(ctx, d)
		if err == nil || pair.Source.Config == nil {
			return pair, err
		}
		m.engine.log.Warn("going on without the way to the environment", "migration", m.Name, "database", d.Name, "error", err)
		pair.Target.Config = awayConfig(err)
		return pair, nil
	})
}

// wholeOrLast are for a switch that is to be taken back: the streams go on where
// they can.
func wholeOrLast(ctx context.Context, m *migration) error {
	if err := whole(ctx, m); err == nil || ctx.Err() != nil {
		return err
	}
	return last(ctx, m)
}

// open makes the links, each by a way to find a database's.
func (m *migration) open(ctx context.Context, find func(context.Context, landscape.SourceEndpoint) (postgres.Pair, error)) error {
	self, err := m.engine.self.of(ctx, m.engine.store)
	if err != nil {
		return err
	}
	l := &links{}
	err = m.ask(ctx, func(ctx context.Context) error {
		for _, d := range m.source().Databases {
			pair, err := find(ctx, d)
			if err == nil {
				l.add(pair, self)
				continue
			}
			l.missing = append(l.missing, fmt.Errorf("database %s: %w", d.Name, err))
			if ctx.Err() != nil {
				return errors.Join(l.missing...)
			}
		}
		return nil
	})
	m.links = l
	return err
}

// ask bounds asking the site for the ways to databases.
func (m *migration) ask(ctx context.Context, ask func(context.Context) error) error {
	return m.engine.asking(ctx, m.world, "the ways to the databases of "+m.Environment, ask)
}

// readers look at both sides of a migration: no relay is opened for that, nor
// anything that could change something. Close them.
func (m *migration) readers(ctx context.Context) ([]*postgres.Reader, error) {
	var readers []*postgres.Reader
	err := m.ask(ctx, func(ctx context.Context) error {
		for _, d := range m.source().Databases {
			pair, err := m.ends(ctx, d)
			if err != nil {
				return fmt.Errorf("database %s: %w", d.Name, err)
			}
			readers = append(readers, postgres.NewReader(pair))
		}
		return nil
	})
	return readers, err
}

// ends are one database of a migration with the engine's own ways to both sides;
// with that to the source, if there is none to the other.
func (m *migration) ends(ctx context.Context, d landscape.SourceEndpoint) (postgres.Pair, error) {
	pair := postgres.Pair{Migration: m.Name, Database: d.Name, KeepWAL: m.KeepWAL, AutoKeys: m.AutoKeys, EmptyUnlogged: m.EmptyUnlogged, Known: &m.engine.known,
		Source: postgres.Side{Name: postgres.Source}, Target: postgres.Side{Name: postgres.Target}}
	_, pair.Target.Configurable = m.world.site.(site.Configurer)
	var err error
	if pair.Source.Config, err = m.world.settings.database(d); err != nil {
		return pair, err
	}
	access, err := m.engine.healed(m.world).access(ctx, m.Environment, d.Name)
	if err != nil {
		return pair, err
	}
	pair.Owner = access.Owner
	pair.Target.Config, err = configOf(access)
	return pair, err
}

// joined are the ends with the way between them, which it opens.
func (m *migration) joined(ctx context.Context, d landscape.SourceEndpoint) (postgres.Pair, error) {
	pair, err := m.ends(ctx, d)
	if err != nil {
		return pair, err
	}
	relay, err := m.openRelay(ctx, d.Name, pair.Source.Config)
	if err != nil {
		return pair, err
	}
	inst, err := localpostgres.Find(ctx)
	if err != nil {
		return pair, err
	}
	pair.Source.Peer, pair.Target.Peer = relay.Source, relay.Target
	pair.Dump = postgres.Dump{Path: filepath.Join(inst.Bin, "pg_dump"), Env: inst.Env}
	return pair, nil
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

// openRelay opens the way between both databases, where the site has walls.
func (m *migration) openRelay(ctx context.Context, database string, from *pgx.ConnConfig) (site.Relay, error) {
	if strings.HasPrefix(from.Host, "/") {
		return site.Relay{}, api.Fail(api.Usage, "the source database is reached through a unix socket, which the environment cannot: give its url a host and a port")
	}
	return m.engine.healed(m.world).openRelay(ctx, m.Environment, database, postgres.Address(from))
}

// closeRelays ends the ways between both sides.
func (m *migration) closeRelays(ctx context.Context) error {
	relayer, ok := m.world.site.(site.Relayer)
	if !ok {
		return nil
	}
	for _, d := range m.source().Databases {
		if err := relayer.CloseRelay(ctx, m.Environment, d.Name); err != nil {
			return fmt.Errorf("relay of database %s: %w", d.Name, err)
		}
	}
	return nil
}
