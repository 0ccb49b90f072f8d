package packer

import (
	"bytes"
	"fmt"
	"strings"
	"text/template"
)

// renderUnit is the service's systemd unit, made from what the OCI image says.
func renderUnit(b Bake, c Contents) ([]byte, error) {
	words := make([]string, len(c.Entrypoint))
	for i, w := range c.Entrypoint {
		if strings.ContainsRune(w, 0) {
			return nil, fmt.Errorf("%w: the image's entrypoint holds a NUL", ErrInvalid)
		}
		words[i] = unitWord(w)
	}
	// The same standards as locally; what the image says itself comes later and wins.
	env := []string{unitWord("PATH=" + standardPath), unitWord("HOME=/tmp")}
	for _, e := range c.Env {
		env = append(env, unitWord(e))
	}
	t, err := template.New("unit").Parse(unitTemplate)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, struct {
		Contents
		Description, Command, Service string
		Env                           []string
		WorkDir                       string
	}{c, "service " + b.Service + " of landscape " + b.Landscape, strings.Join(words, " "), b.Service, env, unitPath(c.WorkDir)})
	return out.Bytes(), err
}

// unitWord quotes one word for a line of a unit file. Specifiers begin with %;
// variables are not expanded, for ExecStart has a colon in front.
func unitWord(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case c == '%':
			b.WriteString("%%")
		case c == '\n':
			b.WriteString(`\n`)
		case c < 0x20 || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// unitPath is for settings that take one path, which is not quoted.
func unitPath(s string) string {
	if s == "" {
		return "/"
	}
	return strings.ReplaceAll(s, "%", "%%")
}
