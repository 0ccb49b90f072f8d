//go:build linux

package local_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site/local/network"
	"godwit/internal/site/local/warden"
)

// TestIsolationFindsSabotage: whoever has the power tears down one wall after
// the other, behind the back of everything that builds them; the packet test
// must say so each time.
func TestIsolationFindsSabotage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can get at an environment from here")
	}
	b := newBench(t)
	l := bistro()
	b.apply(l, "test")
	b.up(release("test", "menu", 1, 1, shared.good))
	b.up(release("test", "till", 1, 1, shared.good))
	b.isolated(l)
	pid, err := warden.Pid(filepath.Join(b.config.StateDir, "w", "test"))
	b.ok(err)
	e, err := b.Observe(t.Context(), "test")
	b.ok(err)
	menu := e.Fleets[slices.IndexFunc(e.Fleets, func(f fleet.Fleet) bool { return f.Service == "menu" })].Instances[0].Address.Addr()

	t.Run("a link to the host", func(t *testing.T) {
		cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "gwsabotage"}, PeerName: "cable", PeerNamespace: netlink.NsPid(pid)}
		b.ok(netlink.LinkAdd(cable)) // both ends stay down, without an address
		b.sabotaged(t, l, "test/gateway has a link cable")
		b.ok(netlink.LinkDel(cable))
	})
	t.Run("a link past the router", func(t *testing.T) {
		b.ok(network.Within(pid, func() error {
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "past0"}, PeerName: "past1",
				PeerNamespace: netlink.NsPid(b.child(pid, "menu-1-1"))})
		}))
		b.sabotaged(t, l, "test/menu-1-1 has a link past1", "test/gateway has a link past0")
		b.ok(network.Within(pid, func() error {
			link, err := netlink.LinkByName("past0")
			if err == nil {
				err = netlink.LinkDel(link)
			}
			return err
		}))
	})
	b.isolated(l)
	t.Run("no rules", func(t *testing.T) {
		b.ok(network.Within(pid, func() error {
			conn, err := nftables.New()
			if err != nil {
				return err
			}
			conn.FlushRuleset()
			return conn.Flush()
		}))
		b.sabotaged(t, l,
			"test/menu-1-1 -> test/db.till (tcp "+address(e.Databases[0].Address.Addr(), 5432)+"): open",
			"test/menu-1-1 -> test/db.till (tcp "+address(e.Databases[0].Address.Addr(), 9)+"): refused",
			"test/till-1-1 -> test/menu-1-1 (udp "+address(menu, 8080)+"): refused",
			"test/db.till -> test/menu-1-1 (tcp "+address(menu, 8080)+"): open",
			"test/menu-1-1 -> test/gateway (tcp")
	})
	t.Run("mended by applying again", func(t *testing.T) {
		b.ok(b.Apply(t.Context(), l, "test"))
		b.isolated(l)
	})
}

// sabotaged checks that the packet test finds each of these.
func (b *bench) sabotaged(t *testing.T, l *landscape.Landscape, want ...string) {
	t.Helper()
	found, err := b.CheckIsolation(t.Context(), l)
	b.ok(err)
	all := strings.Join(found.Details, "\n")
	for _, w := range want {
		if found.Wrong == 0 || !strings.Contains(all, w) {
			t.Errorf("%d wrong; not found: %s; found:\n%s", found.Wrong, w, all)
		}
	}
}

func address(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

// child of a warden by its hostname.
func (b *bench) child(pid int, name string) int {
	b.Helper()
	names, _ := filepath.Glob("/proc/[0-9]*/root/etc/hostname")
	for _, path := range names {
		var child, parent int
		text, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(text)) != name {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + strings.Split(path, "/")[2] + "/stat")
		fmt.Sscanf(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " %c %d", new(rune), &parent)
		fmt.Sscan(strings.Split(path, "/")[2], &child)
		if parent == pid {
			return child
		}
	}
	b.Fatalf("no process %s", name)
	return 0
}
