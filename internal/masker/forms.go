package masker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

const (
	// Shortest secret that is masked: what is shorter would mask half of every
	// text, and tell itself by that.
	Shortest = 4
	// shortestLine of a secret with several lines that is masked by itself.
	shortestLine = 8
	// longestForms bounds the secrets that are also looked for in other forms.
	longestForms = 8 << 10
)

// Parts of a value that are secret: of a URL with a host what lets somebody in,
// for hosts and ports have to be talked about; of anything else all.
func Parts(value string) []string {
	u, err := url.Parse(strings.TrimSpace(value))
	if err != nil || u.Scheme == "" || u.Host == "" {
		return []string{value}
	}
	return access(strings.TrimSpace(value), u)
}

// access is what a URL holds that lets somebody in: the password, as it is and as
// it is written, user and password together, and passwords among the parameters.
func access(value string, u *url.URL) []string {
	var all []string
	if password, ok := u.User.Password(); ok {
		_, written, _ := strings.Cut(rawUser(value), ":")
		all = append(all, password, written, rawUser(value), u.User.String())
	}
	for name, values := range u.Query() {
		if name = strings.ToLower(name); strings.Contains(name, "password") || strings.Contains(name, "secret") || strings.Contains(name, "token") {
			all = append(all, values...)
		}
	}
	return all
}

// forms are the texts by which a secret may show itself.
func forms(value string) []string {
	value = strings.Trim(value, " \t\r\n")
	if len(value) < Shortest {
		return nil
	}
	all := []string{value}
	if lines := strings.Split(strings.ReplaceAll(value, "\r\n", "\n"), "\n"); len(lines) > 1 {
		all = append(all, strings.Join(lines, "\n"), strings.Join(lines, "\r\n"))
		for _, line := range lines {
			if line = strings.TrimSpace(line); len(line) >= shortestLine {
				all = append(all, line)
			}
		}
	}
	if len(value) <= longestForms {
		all = append(all, otherForms(value)...)
	}
	if u, err := url.Parse(value); err == nil && u.Host != "" {
		for _, part := range access(value, u) {
			if len(part) >= Shortest {
				all = append(append(all, part), otherForms(part)...)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// otherForms are a value as programs write it into other texts.
func otherForms(value string) []string {
	inner := func(quoted string) string { return strings.TrimSuffix(strings.TrimPrefix(quoted, `"`), `"`) }
	all := []string{url.QueryEscape(value), url.PathEscape(value), inner(fmt.Sprintf("%q", value)), strings.ReplaceAll(value, "'", `'\''`)}
	for _, text := range []string{value, value + "\n"} {
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			all = append(all, e.EncodeToString([]byte(text)))
		}
	}
	all = append(all, within(value)...)
	if text, err := json.Marshal(value); err == nil {
		all = append(all, inner(string(text)))
	}
	return all
}

// within is how a value looks in the base64 of a longer text, whatever comes
// before and after it: of three places where it can begin, what depends on it
// alone. A short value is left out there: the rest of it would say little.
func within(value string) (all []string) {
	const least = 8 // characters that a match needs, so that it is no chance
	for before := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + value))
		from := (before*8 + 5) / 6          // characters that depend on what is before
		to := (before + len(value)) * 8 / 6 // and on what comes after
		if from = min(from, to); to-from >= least {
			all = append(all, text[from:to], strings.NewReplacer("+", "-", "/", "_").Replace(text[from:to]))
		}
	}
	return all
}

// rawUser is user:password of a URL as it is written.
func rawUser(value string) string {
	_, rest, _ := strings.Cut(value, "://")
	end := strings.LastIndexByte(rest, '@')
	return rest[:max(end, 0)]
}
