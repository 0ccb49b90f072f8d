// Package postgres is where Postgres comes from on the local site, and how a
// server is prepared.
//
// Its nouns: an Installation is a set of server programs on this machine; a
// template is a cluster made once by initdb; a data directory is a copy of the
// template with its own administrator, password and configuration; a Server is
// one running on the host itself, for tests and for the demo's data centre.
//
// It guarantees: a data directory is either completely prepared or remade, and
// one that holds anything else is never touched; a password is never in an
// argument list or a log; a Server ends with the process that started it.
//
// Only the local site, the demo and tests may import it.
package postgres

import (
	"errors"
	"strconv"
)

// What an error of this package means.
var (
	// ErrNotInstalled: no Postgres with postgres, initdb and pg_dump on this
	// machine; see Install.
	ErrNotInstalled = errors.New("no usable Postgres found")
	// ErrInstall: the package manager could not get Postgres.
	ErrInstall = errors.New("Postgres can't be installed")
	// ErrOccupied: a directory holds something that this package did not make.
	ErrOccupied = errors.New("directory is occupied")
	// ErrUnreachable: the id that runs Postgres may not enter a directory.
	ErrUnreachable = errors.New("directory is not reachable for the server")
	// ErrSettings: the settings contradict themselves or Postgres refuses them.
	ErrSettings = errors.New("invalid settings")
	// ErrDied: the server ended when it should have run.
	ErrDied = errors.New("Postgres ended")
)

// Installation is a set of server programs on this machine.
type Installation struct {
	Bin     string // absolute directory with postgres, initdb and pg_dump
	Major   int    // 15
	Version string // "15.14"
	// Binds are the host paths, directories and files, that must be bind-mounted
	// read-only at the same place into an otherwise empty root for the server to
	// run there. No symbolic links are in them.
	Binds []string
	// Symlinks must be made in that root: absolute path to target ("/lib" to "usr/lib").
	Symlinks map[string]string
	// Env is what the programs need in their environment: NAME=value.
	Env []string
}

// Command is the argument list of a server on a prepared data directory. It
// stays in the foreground and logs to stderr; SIGINT ends it fast and clean.
func Command(inst Installation, dataDir, listenAddress string, port int) []string {
	return []string{
		inst.Bin + "/postgres", "-D", dataDir,
		"-c", "listen_addresses=" + listenAddress,
		"-p", strconv.Itoa(port),
	}
}
