// Package confine takes from a process what it does not need: system calls, files,
// ports, capabilities. It works on the calling thread, which then executes a program.
//
// It imports nothing of godwit; the instances of the local site and all processes
// of godwit that run on are confined by it.
package confine

import (
	"errors"
	"hash/fnv"
	"os"
)

// ErrNotExecutable: ids that root does not have may not execute this program.
var ErrNotExecutable = errors.New("ids of its own, as a gateway, a relay and a supervisor have, may not execute this program: chmod a+rx it")

// Each kind of process has a range of ids that nobody else has, above those of all
// environments.
const (
	gatewayIDs = 0x7e800000
	relayIDs   = gatewayIDs + idRange
	idRange    = 65536
)

// GatewayID is the uid and the gid of the gateway of a state directory, when root
// runs it.
func GatewayID(dir string) int { return idOf(gatewayIDs, dir) }

// RelayID is the same of the relays of an environment, which has this directory.
func RelayID(dir string) int { return idOf(relayIDs, dir) }

func idOf(first int, dir string) int {
	if os.Geteuid() != 0 {
		return os.Getuid()
	}
	h := fnv.New32a()
	h.Write([]byte(dir))
	return first + int(h.Sum32()%idRange)
}
