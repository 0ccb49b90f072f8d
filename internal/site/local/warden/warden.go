// Package warden is the process that owns one environment of the local site.
//
// A warden is cloned into namespaces of its own: it is pid 1 of its pid
// namespace, and its network namespace is the router of the environment. All
// instances, links, mounts and rules of the environment live inside, so that
// whatever ends the warden ends them with it, and nothing can be left behind
// but the empty control groups of Bound.
// It survives the engine that started it.
//
// Its state directory holds control.sock (what Client talks to), two doors (see
// package door), the logs, and a lock that is held as long as the warden lives.
//
// The same warden serves the mode without isolation: then it makes no
// namespaces, instances are plain processes and virtual addresses are served by
// a balancer of its own.
//
// Only package local and the command line (for Main) may import it.
package warden

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"godwit/internal/site/local/network"
	"godwit/internal/site/local/runtime"
)

// What an error of a warden means.
var (
	// ErrRunning: a warden for this directory runs already.
	ErrRunning = errors.New("a warden runs already")
	// ErrNotRunning: no warden answers for this directory.
	ErrNotRunning = errors.New("no warden runs")
	// ErrSilent: a warden is there, and does not answer.
	ErrSilent = errors.New("it does not answer")
	// ErrNoInstance: the warden has no instance of that name.
	ErrNoInstance = errors.New("no such instance")
	// ErrUnbound: nothing bounds what an environment takes of the machine. The
	// text says why.
	ErrUnbound = errors.New("memory and processes of the environment are not bounded")
)

// Bounds are what an environment may take of the machine.
type Bounds struct {
	Memory    int64 // bytes, files in /tmp included; 0 means three quarters of the machine's
	Processes int   // and threads; 0 means 16384
}

// Name is the argument under which this program is a warden.
const Name = "warden"

// PlainPort of its router's address is held by a warden without isolation, so
// that nobody else takes the same part of the loopback network.
const PlainPort = 61777

// State of a warden.
type State struct {
	Config
	// Complete: it was given everything that its environment has. Who starts a warden
	// may end before it has done so.
	Complete bool
}

// Config of a warden.
type Config struct {
	Dir         string     `json:"dir"` // absolute; made and owned by the warden
	Environment string     `json:"environment"`
	Router      netip.Addr `json:"router"` // its own address in the environment
	// Trees are the host directories and files, besides Dir, that instances are
	// made of. They are shown read-only at the same place; of the rest of the
	// host's files a warden sees nothing.
	Trees []string `json:"trees,omitempty"`
	// Data is one more directory, shown writable; "" for none.
	Data  string `json:"data,omitempty"`
	Plain bool   `json:"plain,omitempty"` // without isolation
	// GatewayID and RelayID are the groups that may use the gateway's door and the
	// relays', when root starts the warden; 0 for none but root.
	GatewayID, RelayID int `json:"-"`
	// Program is the file that instances are started with, shown read-only; set
	// by Start.
	Program string `json:"program,omitempty"`
}

// Sockets of the warden with state directory dir: what Client talks to, and the
// doors of the gateway, the relays and the engine.
func ControlSocket(dir string) string { return filepath.Join(dir, "control.sock") }
func DoorSocket(dir string) string    { return filepath.Join(dir, "door.sock") }
func RelaySocket(dir string) string   { return filepath.Join(dir, "relay.sock") }
func AdminSocket(dir string) string   { return filepath.Join(dir, "admin.sock") }

// LogFile is where an instance's output goes.
func LogFile(dir, id string) string { return filepath.Join(dir, "logs", id+".log") }

// maxSocketPath: the kernel takes 107 bytes; some are left for longer names to come.
const maxSocketPath = 100

// trees are all that is shown, with whether it is writable; Dir comes first.
func (c Config) trees() []tree {
	all := []tree{{c.Dir, true}}
	if c.Data != "" {
		all = append(all, tree{c.Data, true})
	}
	for _, path := range c.Trees {
		all = append(all, tree{path, false})
	}
	if c.Program != "" {
		all = append(all, tree{c.Program, false})
	}
	return all
}

type tree struct {
	path     string
	writable bool
}

func (c Config) validate() error {
	if !filepath.IsAbs(c.Dir) {
		return fmt.Errorf("state directory %q is not absolute", c.Dir)
	}
	if p := ControlSocket(c.Dir); len(p) > maxSocketPath {
		return fmt.Errorf("the socket's path %s is %d bytes long, more than %d: choose a state directory with a shorter path",
			p, len(p), maxSocketPath)
	}
	if !c.Router.Is4() {
		return fmt.Errorf("router address %s is not IPv4", c.Router)
	}
	return nil
}

// Instance is what a warden keeps running: it is started, checked, and started
// again when it ends.
type Instance struct {
	Spec   runtime.Spec `json:"spec"`
	Health Health       `json:"health"`
	Last   bool         `json:"last,omitempty"` // ended after all others when the warden ends
	// After are addresses of those that it is of no use without: the gateway is let in
	// when they, too, have been ready once.
	After []netip.Addr    `json:"after,omitempty"`
	Meta  json.RawMessage `json:"meta,omitempty"` // the caller's own
}

// Health says when an instance is ready.
type Health struct {
	Port     uint16        `json:"port"`
	Path     string        `json:"path,omitempty"`  // "" asks only for a TCP connection
	Login    *Login        `json:"login,omitempty"` // it is a Postgres, and has to answer a query
	Interval time.Duration `json:"interval"`
	Timeout  time.Duration `json:"timeout"`
}

// Login is how a Postgres is asked.
type Login struct {
	User     string `json:"user"`
	Password string `json:"password"`
	Database string `json:"database"`
}

// Status is an instance as it is now.
type Status struct {
	ID        string          `json:"id"`
	Address   netip.Addr      `json:"address"`
	Running   bool            `json:"running"`
	Ready     bool            `json:"ready"`
	Stopped   bool            `json:"stopped"`  // on request; not started again
	Restarts  int             `json:"restarts"` // ends that nobody asked for
	StartedAt time.Time       `json:"started_at"`
	Reason    string          `json:"reason,omitempty"` // why it is not ready
	Meta      json.RawMessage `json:"meta,omitempty"`
}

// Probe is a question for real packets: can From reach To?
type Probe struct {
	From    string         `json:"from"` // an instance; "" is the router
	Network string         `json:"network"`
	To      netip.AddrPort `json:"to"`
	Timeout time.Duration  `json:"timeout"`
}

// Answer to a probe.
type Answer struct {
	Outcome network.Outcome `json:"outcome"`
	Error   string          `json:"error,omitempty"` // the question could not be asked
}
