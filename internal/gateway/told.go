package gateway

import (
	"regexp"
	"strings"
)

// quoted is how libraries repeat what they did not understand.
var quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)

// told is an error as the log gets it: without what an instance has sent. That may be
// anything, its configuration included, and the gateway knows no secret by which it
// could be concealed.
func told(err error) string {
	text, _, cut := strings.Cut(err.Error(), "malformed")
	if cut {
		text += "malformed: it is not HTTP"
	}
	return quoted.ReplaceAllString(text, `"…"`)
}
