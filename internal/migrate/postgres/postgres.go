// Package postgres is what Postgres must do when a database moves: logical
// replication, the fence, sequences, checksums. It uses the server's own
// engine; godwit only says when.
//
// Its nouns: a Pair is one database of a migration with its two sides; a Reader
// looks at both, a Writer changes them. Neither can be made of the other. The sides are symmetric. Each has schema
// godwit (marker, fence, state), a publication, a subscription to the other
// side, and guard triggers that refuse writes while its fence is raised. What
// moves a database from source to target moves it back with the names swapped.
//
// It guarantees:
//   - a raised fence refuses writes of every role, superusers included, and
//     lowering it restores exactly what was there before;
//   - everything is idempotent and works from fresh sessions and half states:
//     a Writer first ends the session of the engine before it, and no other's;
//   - looking changes nothing, waits for nobody and ends nobody;
//   - the two directions never stream at the same time.
//
// Only package migrate and the engine may import it.
package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// What an error of this package means.
var (
	// ErrState: the two sides are not in the state that the operation starts from.
	ErrState = errors.New("not in the state for this")
	// ErrChanged: tables or other objects were changed since sync.
	ErrChanged = errors.New("definitions changed since sync")
	// ErrPrepared: a prepared transaction is open, which no fence can stop.
	ErrPrepared = errors.New("prepared transaction is open")
	// ErrCopy: the initial copy fails again and again.
	ErrCopy = errors.New("initial copy fails")
	// ErrDiskFull: the server has no room left.
	ErrDiskFull = errors.New("disk is full")
	// ErrPooler: who answers hands the session on to servers, one or another: locks,
	// settings and replication cannot pass it.
	ErrPooler = errors.New("it is a connection pooler, not the server")
	// ErrUnreachable: a server does not answer.
	ErrUnreachable = errors.New("server does not answer")
	// ErrLate: the time that a fence was raised for is over.
	ErrLate = errors.New("too late")
	// ErrSource: nothing can be done on the source, which a command needs.
	ErrSource = errors.New("the source does not take part")
	// ErrTruthMoved: the target holds the truth already.
	ErrTruthMoved = errors.New("target holds the truth")
)

// Names of the sides.
const (
	Source = "source"
	Target = "target"
)

// Side is one of the two servers between which a database moves.
type Side struct {
	Name string // Source or Target
	// Config is how the engine reaches this side, as a superuser. It may carry a DialFunc.
	Config *pgx.ConnConfig
	// Peer is the address, host:port, at which the other side's Postgres reaches
	// this one, through the relay. How it connects there the URL of Config says.
	Peer string
	// FreeBytes is the room on the disk of this side; 0: not known.
	FreeBytes int64
	// Configurable: whoever runs this server gives it the settings that a sync needs.
	Configurable bool
}

// Dump is the program that reads the definitions of the source.
type Dump struct {
	Path string   // "" means pg_dump in PATH
	Env  []string // added to its environment
}

// Pair is one database of a migration, with both its sides.
type Pair struct {
	Migration string
	Database  string
	State     string // id of the state directory that moves it; a word
	Source    Side
	Target    Side
	Owner     string // role on the target that owns the copied objects; "" means the engine's own
	Dump      Dump
	// KeepWAL is how many bytes of its log a side keeps for the other one at most; 0: without end.
	KeepWAL int64
	// AutoKeys: tables without a key get a replica identity for the time of the migration.
	AutoKeys bool
	// EmptyUnlogged: the rows of unlogged tables may be lost.
	EmptyUnlogged bool
	// Known is shared by all who look at this database; it may be nil.
	Known *Known
}

// side returns a side by its name.
func (p *Pair) side(name string) *Side {
	if name == Target {
		return &p.Target
	}
	return &p.Source
}

// other is the name of the other side.
func other(name string) string {
	if name == Source {
		return Target
	}
	return Source
}

// name is the common part of all names of this pair: at most 55 bytes of
// [a-z0-9_], so that the suffixes below stay within Postgres's 63.
func (p *Pair) name() string {
	sum := sha256.Sum256([]byte(p.Migration + "/" + p.Database))
	plain := clean(p.Migration) + "_" + clean(p.Database)
	return "godwit_" + plain[:min(len(plain), 39)] + "_" + hex.EncodeToString(sum[:4])
}

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(s))
}

func (p *Pair) publication() string  { return p.name() }
func (p *Pair) subscription() string { return p.name() }

// outgoing is the slot on side from which the other side subscribes.
func (p *Pair) outgoing(side string) string { return p.name() + "_" + side[:1] }

// proof is the slot on side from which Prove reads.
func (p *Pair) proof(side string) string { return p.name() + "_p" + side[:1] }

// about says which database and side an error is about.
func (p *Pair) about(side string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("database %q, %s: %w", p.Database, side, explain(side, err))
}

func ident(names ...string) string { return pgx.Identifier(names).Sanitize() }

func literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
