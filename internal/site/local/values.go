package local

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/fleet"
	"godwit/internal/image"
	"godwit/internal/landscape"
	"godwit/internal/site"
)

// environ is the environment of an instance: what the image says, where to
// listen (HOST and PORT), and the release's own, which has the last word.
func (r *record) environ(release *fleet.Release, img image.Image, address netip.Addr) ([]string, error) {
	all := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp"}
	for _, e := range img.Env {
		name, value, _ := strings.Cut(e, "=")
		all[name] = value
	}
	all["PORT"] = strconv.Itoa(release.Port)
	all["HOST"] = address.String()
	for name, value := range release.Env {
		text, err := value.Resolve(r.resolve)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
		all[name] = text
	}
	var env []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env, nil
}

// resolve says what a reference means in this environment.
func (r *record) resolve(ref landscape.AttrRef) (string, error) {
	var host string
	var port int
	var address netip.Addr
	attributes := map[string]string{}
	switch ref.Kind {
	case "service":
		v, err := r.service(ref.Name)
		if err != nil {
			return "", err
		}
		host, port, address = landscape.ServiceHost(ref.Name), v.Port, v.Virtual
	case "database":
		d := r.Databases[ref.Name]
		if d == nil {
			return "", fmt.Errorf("database %q in environment %s: %w", ref.Name, r.Name, site.ErrNotFound)
		}
		host, port, address = landscape.DatabaseHost(ref.Name), landscape.DatabasePort, d.Address
		attributes["user"], attributes["password"], attributes["name"] = ref.Name, d.Password, ref.Name
	default:
		return "", fmt.Errorf("a %s has no value here: %w", ref.Kind, site.ErrInvalid)
	}
	if r.Loopback != 0 {
		host = r.real(address).String() // without isolation there is no hosts file of its own
	}
	attributes["host"], attributes["port"] = host, strconv.Itoa(port)
	attributes["url"] = "http://" + host + ":" + strconv.Itoa(port)
	if ref.Kind == "database" {
		attributes["url"] = databaseURL(ref.Name, attributes["password"], host, port, ref.Name)
	}
	value, ok := attributes[ref.Attr]
	if !ok {
		return "", fmt.Errorf("a %s has no %s: %w", ref.Kind, ref.Attr, site.ErrInvalid)
	}
	return value, nil
}

func databaseURL(user, password, host string, port int, name string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: host + ":" + strconv.Itoa(port),
		Path: "/" + name, RawQuery: "sslmode=disable"}
	return u.String()
}
