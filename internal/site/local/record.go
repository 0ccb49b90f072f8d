package local

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
)

// record is what the site remembers of an environment. It holds secrets.
type record struct {
	Name      string                     `json:"name"`
	Network   netip.Prefix               `json:"network"`
	Router    netip.Addr                 `json:"router"`
	Pool      netip.Prefix               `json:"pool"` // addresses of instances
	Next      uint32                     `json:"next"` // where the search for a free one goes on
	Loopback  uint8                      `json:"loopback,omitempty"`
	Services  map[string]*serviceRecord  `json:"services"`
	Databases map[string]*databaseRecord `json:"databases"`
	Instances map[string]*instanceRecord `json:"instances"`
	Relays    map[string]*relayRecord    `json:"relays"`            // by database
	Removed   bool                       `json:"removed,omitempty"` // its removal was begun
	Making    bool                       `json:"making,omitempty"`  // it never ran yet: it cannot have died
}

type serviceRecord struct {
	Virtual  netip.Addr             `json:"virtual"`
	Port     int                    `json:"port"`
	Needs    []landscape.Ref        `json:"needs"`
	Ingress  bool                   `json:"ingress"` // the gateway may reach it
	Weights  fleet.Weights          `json:"weights"`
	Releases map[int]*fleet.Release `json:"releases"`
	// Undeclared: the landscape last applied does not have it any more.
	Undeclared bool `json:"undeclared,omitempty"`
}

type databaseRecord struct {
	Address       netip.Addr `json:"address"`
	AdminPassword string     `json:"admin_password"`
	Password      string     `json:"password"` // of the role named like the database, which owns it
	Ready         bool       `json:"ready"`    // role and database were made
}

type instanceRecord struct {
	Service string     `json:"service"`
	Release int        `json:"release"`
	Address netip.Addr `json:"address"`
}

type relayRecord struct {
	SourceAddress string `json:"source_address"`
	Port          uint16 `json:"port"`             // of the router, where the database finds the source
	HostListen    string `json:"host_listen"`      // where the source finds the database
	Untold        bool   `json:"untold,omitempty"` // that it listens there now
	Pid           int    `json:"pid"`
	Started       string `json:"started"` // with the pid, says whether it is still the same process
}

func newRecord(name string) *record {
	return &record{Name: name, Services: map[string]*serviceRecord{}, Databases: map[string]*databaseRecord{},
		Instances: map[string]*instanceRecord{}, Relays: map[string]*relayRecord{}}
}

func (s *Site) recordPath(environment string) string {
	return filepath.Join(s.recordDir(), environment+".json")
}

// load reads an environment's record. site.ErrNotFound when there is none.
func (s *Site) load(environment string) (*record, error) {
	if environment == "" || strings.ContainsAny(environment, "/\x00") || environment[0] == '.' {
		return nil, fmt.Errorf("environment %q: %w", environment, site.ErrNotFound)
	}
	text, err := os.ReadFile(s.recordPath(environment))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("environment %q: %w", environment, site.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	r := newRecord(environment)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("record %s: %w", s.recordPath(environment), err)
	}
	return r, nil
}

// save writes a record down for good: it is there whole, old or new, whatever happens.
func (s *Site) save(r *record) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	path := s.recordPath(r.Name)
	if err := writeDurably(path, text); err != nil {
		return fmt.Errorf("save record of %s: %w", r.Name, err)
	}
	return nil
}

func writeDurably(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".writing-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func newSecret() string { return rand.Text() }

// takeAddress finds a free address for an instance. It goes around, so that an
// address is not used again soon: a connection that is still tracked can't
// reach somebody else.
func (r *record) takeAddress() (netip.Addr, error) {
	taken := map[netip.Addr]bool{}
	for _, i := range r.Instances {
		taken[i.Address] = true
	}
	size := uint32(1)<<(32-r.Pool.Bits()) - 2
	for range size {
		a := plus(r.Pool.Addr(), 1+r.Next%size)
		r.Next++
		if !taken[a] {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("environment %s: all %d addresses for instances are taken: give it a larger network", r.Name, size)
}

func plus(a netip.Addr, n uint32) netip.Addr {
	b := a.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += n
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// number of an address within the network.
func (r *record) number(a netip.Addr) int {
	x, y := r.Network.Addr().As4(), a.As4()
	n := 0
	for i := range x {
		n = n<<8 + int(y[i]) - int(x[i])
	}
	return n
}

// real is the address that is used for an environment's address: the same,
// except without isolation, where it is one of the loopback's.
func (r *record) real(a netip.Addr) netip.Addr {
	if r.Loopback == 0 {
		return a
	}
	b := a.As4()
	return netip.AddrFrom4([4]byte{127, r.Loopback, b[2], b[3]})
}

func (r *record) realPort(a netip.Addr, port int) netip.AddrPort {
	return netip.AddrPortFrom(r.real(a), uint16(port))
}

// instancesOf a release, by id; of all releases of the service when release is 0.
func (r *record) instancesOf(service string, release int) []string {
	var ids []string
	for id, i := range r.Instances {
		if i.Service == service && (release == 0 || i.Release == release) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (r *record) service(name string) (*serviceRecord, error) {
	v := r.Services[name]
	if v == nil {
		return nil, fmt.Errorf("service %q in environment %s: %w", name, r.Name, site.ErrNotFound)
	}
	return v, nil
}

// databaseID is the id of a database's instance.
func databaseID(name string) string { return "db." + name }
