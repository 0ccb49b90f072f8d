package quote

import (
	"regexp"
	"strings"
	"unicode"
)

// Groovy is a text as a single-quoted Groovy string: nothing in it is
// interpolated, and nothing can end it.
func Groovy(text string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range text {
		switch {
		case r == '\'', r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case !unicode.IsPrint(r):
			// A control character says nothing to a person. Groovy's own \u escapes
			// are replaced before strings are read: one would bring it back.
			b.WriteRune(unicode.ReplacementChar)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

var (
	plainIdentifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	groovyWord      = regexp.MustCompile(`^(abstract|as|assert|boolean|break|byte|case|catch|char|class|const|continue|def|default|do|double|else|enum|extends|` +
		`false|final|finally|float|for|goto|if|implements|import|in|instanceof|int|interface|long|native|new|null|package|private|protected|public|` +
		`return|short|static|strictfp|super|switch|synchronized|this|threadsafe|throw|throws|trait|transient|true|try|void|volatile|while)$`)
)

// GroovyName says that a name can be assigned to in Groovy.
func GroovyName(name string) bool {
	return plainIdentifier.MatchString(name) && !groovyWord.MatchString(name)
}

// GroovyRemark is a text as part of a // comment: one line of it.
func GroovyRemark(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
	return strings.ReplaceAll(text, `\`, "/") // \u000a would end the comment
}
