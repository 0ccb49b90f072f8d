// Package quote writes values of strangers into texts that something obeys: unit
// files of systemd, command lines of a shell, Jenkinsfiles, terminals.
//
// It guarantees: what reads the text gets the value, whole, at the place where it
// was put, and nothing else; a value that a language cannot say is refused, never
// changed. It has one function for each place that such a value can have.
//
// Everybody may import it. It is pure.
package quote

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./=:@%+-]+$`)

// Shell is a text as one word of a shell's command line.
func Shell(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(strings.ReplaceAll(text, "\x00", ""), "'", `'\''`) + "'"
}

// Terminal is a text as a terminal shows it: what it would obey is taken out, so
// that what a program wrote moves nobody's cursor, and reorders nobody's line.
func Terminal(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' && r != '\n' || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// Control finds the first control character of a text, or what is no UTF-8; nil
// when there is none but those in except.
func Control(text, except string) error {
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return fmt.Errorf("%q has byte %#x at %d, which is no UTF-8", text, text[i], i)
			}
		}
		if unicode.IsControl(r) && !strings.ContainsRune(except, r) {
			return fmt.Errorf("%q has the control character %U at %d", text, r, i)
		}
	}
	return nil
}

var colours = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// Painted is Terminal for a text that has colours in it; nothing but them stays.
func Painted(text string) string {
	var b strings.Builder
	from := 0
	for _, at := range colours.FindAllStringIndex(text, -1) {
		b.WriteString(Terminal(text[from:at[0]]))
		b.WriteString(text[at[0]:at[1]])
		from = at[1]
	}
	b.WriteString(Terminal(text[from:]))
	return b.String()
}
