package quote

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// longestLine that systemd reads.
const longestLine = 1<<20 - 1

// unitWord is one quoted word for a line of a unit file, as systemd.syntax(7)
// has it. Specifiers begin with %.
func unitWord(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case c == '%':
			b.WriteString("%%")
		case c < 0x20 || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// UnitCommand is the value of ExecStart=: the program's path and its arguments,
// none of which is expanded.
func UnitCommand(words []string) (string, error) {
	if len(words) == 0 {
		return "", errors.New("there is no program")
	}
	// systemd takes these in no path of a program, quoted or not.
	if err := Control(words[0], ""); err != nil || strings.ContainsAny(words[0], `"'\`) {
		return "", errors.Join(err, fmt.Errorf("systemd starts no program with a quote, a backslash or a control character in its path: %q", words[0]))
	}
	if !path.IsAbs(words[0]) || path.Clean(words[0]) != words[0] {
		return "", fmt.Errorf("the program's path %q is not absolute and plain", words[0])
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		if !utf8.ValidString(w) || strings.ContainsRune(w, 0) {
			return "", fmt.Errorf("argument %d, %q, has a NUL or what is no UTF-8", i, w)
		}
		quoted[i] = unitWord(w)
	}
	return line(":" + strings.Join(quoted, " "))
}

// UnitVariable is the value of Environment=: one NAME=value.
func UnitVariable(assignment string) (string, error) {
	name, value, found := strings.Cut(assignment, "=")
	if !found || !plainIdentifier.MatchString(name) {
		return "", fmt.Errorf("systemd sets no variable called %q: letters, digits and underscores, no digit first", name)
	}
	if err := Control(value, "\t\n"); err != nil {
		return "", fmt.Errorf("variable %s: %w", name, err)
	}
	return line(unitWord(assignment))
}

// UnitPath is the value of a setting that takes one path, such as
// WorkingDirectory=, where nothing can be quoted or escaped.
func UnitPath(s string) (string, error) {
	if err := Control(s, ""); err != nil {
		return "", err
	}
	switch {
	case !path.IsAbs(s) || path.Clean(s) != s:
		return "", fmt.Errorf("path %q is not absolute and plain", s)
	case strings.TrimSpace(s) != s:
		return "", fmt.Errorf("path %q ends in a space, which a unit file cannot say", s)
	case strings.HasSuffix(s, `\`):
		return "", fmt.Errorf("path %q ends in a backslash, which would go on with the next line of a unit file", s)
	}
	return line(strings.ReplaceAll(s, "%", "%%"))
}

// UnitText is the value of a setting that takes a text for people, such as
// Description=.
func UnitText(s string) (string, error) {
	if err := Control(s, ""); err != nil {
		return "", err
	}
	if strings.TrimSpace(s) != s || strings.HasSuffix(s, `\`) {
		return "", fmt.Errorf("text %q begins or ends in what a unit file cannot say", s)
	}
	return line(strings.ReplaceAll(s, "%", "%%"))
}

func line(s string) (string, error) {
	if len(s) > longestLine {
		return "", fmt.Errorf("it takes %d bytes, and systemd reads %d of a line", len(s), longestLine)
	}
	return s, nil
}
