package terraform

import (
	"bytes"
	_ "embed"
	"fmt"

	"godwit/internal/landscape"
)

//go:embed readme.md
var readmeText []byte

// readme is the same for every landscape but for its roots.
func readme(l *landscape.Landscape) []byte {
	var roots bytes.Buffer
	for _, e := range l.Environments {
		fmt.Fprintf(&roots, "| `environments/%s` | environment %s, %s%s |\n", e.Name, e.Name, e.Network, protection(e))
	}
	text := bytes.ReplaceAll(readmeText, []byte("LANDSCAPE"), []byte(l.Name))
	return bytes.ReplaceAll(text, []byte("| ENVIRONMENTS |\n"), roots.Bytes())
}

func protection(e landscape.Environment) string {
	if e.Protected {
		return ", protected"
	}
	return ""
}
