package pipeline

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longestLine is what is shown of one.
const longestLine = 2000

// lineCutter cuts output into lines that a terminal can bear: of bounded length,
// without control characters.
type lineCutter struct {
	line func(string)
	held []byte
	lost int
}

func (c *lineCutter) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case b == '\n':
			c.flush()
		case len(c.held) < longestLine:
			c.held = append(c.held, b)
		default:
			c.lost++
		}
	}
	return len(p), nil
}

func (c *lineCutter) flush() {
	if len(c.held) == 0 && c.lost == 0 {
		return
	}
	text := clean(c.held)
	if c.lost > 0 {
		text += " [and " + strconv.Itoa(c.lost) + " bytes]"
	}
	c.held, c.lost = c.held[:0], 0
	c.line(text)
}

// escapes are the sequences that move a cursor, change a title, or colour.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])`)

// clean is text without what would drive a terminal.
func clean(raw []byte) string {
	raw = escapes.ReplaceAll(raw, nil)
	var b strings.Builder
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteRune(utf8.RuneError)
		case r == '\t':
			b.WriteString("    ")
		case unicode.IsPrint(r):
			b.WriteRune(r)
		}
		raw = raw[n:]
	}
	return b.String()
}
