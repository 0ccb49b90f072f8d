// Package confine takes from a process what it does not need: system calls, files,
// capabilities. It works on the calling thread, which then executes a program.
//
// It imports nothing of godwit; the instances of the local site and the gateway
// are confined by it.
package confine

import (
	"errors"
	"hash/fnv"
	"os"
)

// ErrNotExecutable: the ids of the gateway may not execute this program.
var ErrNotExecutable = errors.New("the gateway's own ids may not execute this program: chmod a+rx it")

// GatewayID is the uid and the gid of the gateway of a state directory, when root
// runs it: one that nobody else has, above those of all environments.
func GatewayID(dir string) int {
	if os.Geteuid() != 0 {
		return os.Getuid()
	}
	const first, places = 0x7e800000, 65536
	h := fnv.New32a()
	h.Write([]byte(dir))
	return first + int(h.Sum32()%places)
}
