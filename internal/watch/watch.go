//go:build unix

// Package watch keeps the processes of a state directory running: the engine, the
// gateway, and two watchdogs, first and second. A process that is killed or hangs
// is replaced without a human, whoever else was killed with it.
//
// Three watch, so that of any two that are killed at once one is left: each
// watchdog starts the engine, the gateway and the other watchdog; the engine
// starts the gateway and the watchdogs. The gateway faces clients and starts
// nothing. All of them hold the listening sockets of all: connections queue while
// whoever serves them is away.
//
// Who may start what is decided by one lock for each role. Whoever starts a
// process takes its role's lock first and has the process inherit it, so that two
// never run; whoever waits for a lock knows, when it gets it, that the process has
// ended. A process that has the lock and does not answer is killed.
//
// The engine is wanted from the start of one until it is told to end; the gateway
// as long as its socket for clients is kept. Where nothing is wanted any more the
// watchdogs end.
//
// The engine and the command line (for Main) import it.
package watch

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"godwit/internal/sockets"
)

// Role of a process. Of each there is one for a state directory. What a watchdog is
// asked on is kept under the name of its role.
type Role string

const (
	Engine  Role = "engine"
	Gateway Role = "gateway"
	First   Role = "first"
	Second  Role = "second"
)

// Place is a state directory, as far as the watch knows it.
type Place struct{ dir string }

// At is the place of a state directory.
func At(dir string) Place { return Place{dir} }

// Dir is the state directory.
func (p Place) Dir() string { return p.dir }

func (p Place) own() string            { return filepath.Join(p.dir, "watch") }
func (p Place) lock(r Role) string     { return filepath.Join(p.own(), string(r)+".lock") }
func (p Place) watchdog(r Role) string { return filepath.Join(p.own(), string(r)+".sock") }
func (p Place) wanted() string         { return filepath.Join(p.own(), "wanted") }

// APISocket is where the engine's API is found.
func (p Place) APISocket() string { return filepath.Join(p.dir, "engine.sock") }

// AdminSocket is where the engine finds the gateway.
func (p Place) AdminSocket() string { return filepath.Join(p.dir, "gateway.sock") }

// EngineLog and GatewayLog are what these processes say.
func (p Place) EngineLog() string  { return filepath.Join(p.dir, "engine.log") }
func (p Place) GatewayLog() string { return filepath.Join(p.dir, "gateway.log") }

// GatewayDir is the gateway's own: its table, and the socket on which it hands
// over to another.
func (p Place) GatewayDir() string { return filepath.Join(p.dir, gatewayDir) }

const (
	gatewayDir = "gateway"
	tableFile  = "table.json"
)

// Table is the gateway's last good one.
func (p Place) Table() string { return filepath.Join(p.GatewayDir(), tableFile) }

// Make makes the directory of the watch. The gateway, whom nobody trusts, has to
// pass through the state directory.
func (p Place) Make() error {
	if _, err := os.Stat(p.own()); err == nil {
		return nil // a disk that is full or read-only has it already
	}
	if err := os.MkdirAll(p.dir, 0o711); err != nil {
		return err
	}
	info, err := os.Stat(p.dir)
	if err == nil && os.Geteuid() == 0 && info.Mode()&0o001 == 0 {
		err = os.Chmod(p.dir, info.Mode().Perm()|0o001)
	}
	return errors.Join(err, os.MkdirAll(p.own(), 0o700))
}

// Want has the engine be started again whenever it ends, until Unwant.
func (p Place) Want() error {
	if err := p.Make(); err != nil || p.Wanted() {
		return err
	}
	f, err := os.OpenFile(p.wanted(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Unwant lets the engine end for good.
func (p Place) Unwant() error {
	if err := os.Remove(p.wanted()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Wanted reports whether an engine should run.
func (p Place) Wanted() bool {
	_, err := os.Stat(p.wanted())
	return err == nil
}

// Watch is what one process knows of the others that it watches.
type Watch struct {
	Place
	Sockets *sockets.Set
	log     *slog.Logger
}

// New is a watch over a place that holds these sockets.
func New(p Place, s *sockets.Set, log *slog.Logger) *Watch {
	return &Watch{Place: p, Sockets: s, log: log}
}

// wants reports whether a process of this role should run.
func (w *Watch) wants(r Role) bool {
	switch r {
	case Engine:
		return w.Wanted()
	case Gateway:
		return w.Sockets.Has(sockets.Clients)
	}
	// One without a socket could not be told what to keep, nor that it is over.
	return w.Sockets.Has(string(r)) && (w.Wanted() || w.Sockets.Has(sockets.Clients))
}
