package image

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"godwit/internal/quote"
)

// Characters that a setting may have of those that control something. Official
// images have tabs in variables, and descriptions of several lines in labels,
// which nothing here reads.
const (
	inText  = "\t"
	inLabel = "\t\n\r"
)

// checkSettings finds what the settings of an image must not hold: control
// characters, which whoever reads the settings later could obey. It says all of it.
func checkSettings(c v1.Config) error {
	var found []error
	look := func(field, text, except string) {
		if err := quote.Control(text, except); err != nil {
			found = append(found, fmt.Errorf("%w: its %s %w; build it without", ErrUnsafe, field, err))
		}
	}
	for _, list := range []struct {
		field string
		words []string
	}{{"Entrypoint", c.Entrypoint}, {"Cmd", c.Cmd}, {"Env", c.Env}, {"Shell", c.Shell}} {
		for i, w := range list.words {
			look(fmt.Sprintf("%s[%d]", list.field, i), w, inText)
		}
	}
	for field, text := range map[string]string{"WorkingDir": c.WorkingDir, "User": c.User, "StopSignal": c.StopSignal,
		"Hostname": c.Hostname, "Domainname": c.Domainname} {
		look(field, text, "")
	}
	for name, value := range c.Labels {
		look("label", name, "")
		look(fmt.Sprintf("label %q", name), value, inLabel)
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(c.ExposedPorts)), slices.Collect(maps.Keys(c.Volumes))) {
		look("ports and volumes", name, "")
	}
	slices.SortFunc(found, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errors.Join(found...)
}
