package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// settings of the router. ICMP errors are not rationed: they are how a denied
// caller learns it at once. Strict reverse path filtering: a port can't send in
// another's name. IPv6 is off: an environment's network is IPv4.
var settings = map[string]string{
	"net/ipv4/ip_forward":              "1",
	"net/ipv4/conf/all/rp_filter":      "1",
	"net/ipv4/conf/default/rp_filter":  "1",
	"net/ipv4/conf/all/send_redirects": "0",
	"net/ipv4/icmp_ratelimit":          "0",
	"net/ipv4/icmp_ratemask":           "0",
}

// prepareRouter makes the calling thread's network namespace the router at address.
func prepareRouter(address netip.Addr) error {
	for name, value := range settings {
		if err := sysctl(name, value); err != nil {
			return err
		}
	}
	for _, where := range []string{"all", "default"} {
		err := sysctl("net/ipv6/conf/"+where+"/disable_ipv6", "1")
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6 has none to turn off
			return err
		}
	}
	lo, err := loopback()
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: host(address)}); err != nil {
		return fmt.Errorf("give the router its address %s: %w", address, err)
	}
	return nil
}

// AddPort connects the network namespace of process pid, under address, with
// the router. ConfigureInstance is the other half; then OpenPort.
func AddPort(pid int, address netip.Addr) error {
	name := PortName(address)
	port := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: name, HardwareAddr: routerMAC},
		PeerName:         InstanceLink,
		PeerHardwareAddr: instanceMAC(address),
		PeerNamespace:    netlink.NsPid(pid),
	}
	if err := netlink.LinkAdd(port); err != nil {
		return fmt.Errorf("port for %s: %w", address, err)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("port for %s: %w", address, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("port for %s up: %w", address, err)
	}
	return setNeighbour(link, address, instanceMAC(address))
}

// OpenPort leads the way to an address whose instance has configured its end. A
// connection that is tried before is refused at once; over a way that leads to
// nobody yet its first packet would be lost, and the next one comes a second later.
func OpenPort(address, router netip.Addr) error {
	link, err := netlink.LinkByName(PortName(address))
	if err != nil {
		return fmt.Errorf("port for %s: %w", address, err)
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK,
		Dst: host(address), Src: router.AsSlice()}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("route to %s: %w", address, err)
	}
	return nil
}

// RemovePort takes away the port of an address, both ends. No error when there is none.
func RemovePort(address netip.Addr) error {
	link, err := netlink.LinkByName(PortName(address))
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("port of %s: %w", address, err)
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("remove port of %s: %w", address, err)
	}
	return nil
}

// ConfigureInstance runs inside the instance: its one link gets its address and
// the way to the router, by static entries, so that nothing has to be learned.
func ConfigureInstance(address, router netip.Addr) error {
	if _, err := loopback(); err != nil {
		return err
	}
	// Programs listen on :80 without a capability: the namespace is theirs alone.
	if err := sysctl("net/ipv4/ip_unprivileged_port_start", "0"); err != nil {
		return err
	}
	err := sysctl("net/ipv6/conf/"+InstanceLink+"/disable_ipv6", "1")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	link, err := netlink.LinkByName(InstanceLink)
	if err != nil {
		return fmt.Errorf("link %s: %w", InstanceLink, err)
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: host(address)}); err != nil {
		return fmt.Errorf("address %s: %w", address, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("link %s up: %w", InstanceLink, err)
	}
	if err := setNeighbour(link, router, routerMAC); err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: router.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("route to the router %s: %w", router, err)
	}
	return nil
}

// InstanceLink is the name of the one link that an instance has besides its loopback.
const InstanceLink = "eth0"

// routerMAC is the same on every port: each port is a link of its own.
var routerMAC = net.HardwareAddr{0x02, 'g', 'o', 'd', 'w', 0x01}

func instanceMAC(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, 0x67, b[0], b[1], b[2], b[3]}
}

// PortName is the name of an address's link at the router.
func PortName(a netip.Addr) string {
	b := a.As4()
	return fmt.Sprintf("gw%02x%02x%02x%02x", b[0], b[1], b[2], b[3])
}

func host(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)}
}

func loopback() (netlink.Link, error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("loopback: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return nil, fmt.Errorf("loopback up: %w", err)
	}
	return lo, nil
}

// setNeighbour writes down who has an address: a fresh link would otherwise
// stall for up to a second while it asks.
func setNeighbour(link netlink.Link, a netip.Addr, mac net.HardwareAddr) error {
	err := netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: unix.NUD_PERMANENT,
		IP: a.AsSlice(), HardwareAddr: mac})
	if err != nil {
		return fmt.Errorf("neighbour %s: %w", a, err)
	}
	return nil
}

func sysctl(name, value string) error {
	err := os.WriteFile("/proc/sys/"+name, []byte(value), 0)
	if err != nil {
		return fmt.Errorf("set %s to %s: %w", strings.ReplaceAll(name, "/", "."), value, err)
	}
	return nil
}
