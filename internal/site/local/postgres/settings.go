package postgres

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// defaults of postgresql.conf: a server that is modest, durable, and can be
// either side of a logical replication at once.
var defaults = map[string]string{
	"max_connections":                 "100",
	"shared_buffers":                  "32MB",
	"password_encryption":             "scram-sha-256",
	"unix_socket_directories":         "",
	"wal_level":                       "logical",
	"max_wal_senders":                 "20",
	"max_replication_slots":           "20",
	"max_logical_replication_workers": "16",
	"max_worker_processes":            "32",
	"wal_retrieve_retry_interval":     "200ms",
	"huge_pages":                      "off",
	// Works in a root without /dev/shm.
	"dynamic_shared_memory_type": "mmap",
	// Costs a start-up of LLVM to save milliseconds; and cached installations leave LLVM out.
	"jit": "off",
	// The one zone that needs no zone files.
	"timezone":     "GMT",
	"log_timezone": "GMT",
	"datestyle":    "iso, mdy",
	"lc_messages":  "C",

	"default_text_search_config": "pg_catalog.english",

	"log_destination":   "stderr",
	"logging_collector": "off",
	"log_checkpoints":   "off",
	"log_line_prefix":   "%m [%p] %q%u@%d ",
}

var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// complete fills in what was left open and checks the rest.
func (s *Settings) complete() error {
	if s.AdminUser == "" {
		s.AdminUser = bootstrapUser
	}
	if s.AdminPassword == "" {
		return fmt.Errorf("%w: no password for the administrator", ErrSettings)
	}
	for what, value := range map[string]string{"administrator": s.AdminUser, "password": s.AdminPassword} {
		if strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("%w: the %s contains a character that can't be printed", ErrSettings, what)
		}
	}
	for _, network := range s.Networks {
		if _, err := netip.ParsePrefix(network); err != nil {
			return fmt.Errorf("%w: network %q: %v", ErrSettings, network, err)
		}
	}
	for name, value := range s.Config {
		if !settingName.MatchString(name) || strings.ContainsAny(value, "\n\r\x00") {
			return fmt.Errorf("%w: %s = %q is no line of postgresql.conf", ErrSettings, name, value)
		}
	}
	return nil
}

// conf is the whole postgresql.conf.
func (s Settings) conf() string {
	all := maps.Clone(defaults)
	for name, value := range s.Config {
		all[strings.ToLower(name)] = value
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.NewReplacer(`'`, `''`, `\`, `\\`).Replace(all[name]))
	}
	return b.String()
}

// hba is the whole pg_hba.conf: everybody with a password, from the networks
// that may connect; nobody without.
func (s Settings) hba() string {
	networks := s.Networks
	if len(networks) == 0 {
		networks = []string{"0.0.0.0/0", "::/0"}
	}
	var b strings.Builder
	for _, network := range networks {
		fmt.Fprintf(&b, "host all         all %s scram-sha-256\n", network)
		fmt.Fprintf(&b, "host replication all %s scram-sha-256\n", network)
	}
	return b.String()
}
