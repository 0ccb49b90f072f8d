package packer

import (
	"bytes"
	"fmt"
	"text/template"

	"godwit/internal/quote"
)

// renderUnit is the service's systemd unit, made from what the OCI image says. No
// value gets into it but through package quote.
func renderUnit(b Bake, c Contents) ([]byte, error) {
	command, err := quote.UnitCommand(c.Entrypoint)
	if err != nil {
		return nil, fmt.Errorf("%w: the image's entrypoint: %w", ErrInvalid, err)
	}
	workDir, err := quote.UnitPath(orRoot(c.WorkDir))
	if err != nil {
		return nil, fmt.Errorf("%w: the image's working directory: %w", ErrInvalid, err)
	}
	// The same standards as locally; what the image says itself comes later and wins.
	var env []string
	for _, e := range append([]string{"PATH=" + standardPath, "HOME=/tmp"}, c.Env...) {
		variable, err := quote.UnitVariable(e)
		if err != nil {
			return nil, fmt.Errorf("%w: the image's environment: %w", ErrInvalid, err)
		}
		env = append(env, variable)
	}
	t, err := template.New("unit").Parse(unitTemplate)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{"Certificates": c.Certificates, "Static": c.Static, "Command": command, "WorkDir": workDir, "Env": env,
		"Service": b.Service, "Description": "service " + b.Service + " of landscape " + b.Landscape}) // names are checked
	return out.Bytes(), err
}

func orRoot(dir string) string {
	if dir == "" {
		return "/"
	}
	return dir
}
