package landscape

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const mask = "***"

// clearPassword is strict, for it makes findings; the other two only mask, and
// may take too much.
var (
	clearPassword = regexp.MustCompile(`(?i)://[^/\s:@"]*:[^/\s"]+@|(?:^|[?&\s])(?:ssl)?password=\S`)
	urlPassword   = regexp.MustCompile(`[^\s:@"]*:([^\s"]+)@`)
	pairSecret    = regexp.MustCompile(`(?i)(?:password|passwd|passphrase|secret|token|api_?key)["']?\s*[=:]\s*["']?([^\s"'&${][^\s"'&]*)`)
)

// secretWords mark a name whose value must not be written in clear;
// harmlessEnds take it back: PASSWORD_FILE, TOKEN_TTL.
var (
	secretWords = map[string]bool{
		"password": true, "passwd": true, "passphrase": true, "pwd": true, "secret": true, "secrets": true, "token": true,
		"key": true, "apikey": true, "credential": true, "credentials": true, "authorization": true, "dbpass": true, "pass": true,
	}
	harmlessEnds = map[string]bool{
		"file": true, "path": true, "dir": true, "url": true, "uri": true, "ttl": true, "timeout": true, "expiry": true, "name": true,
		"prefix": true, "length": true, "min": true, "max": true, "type": true, "issuer": true, "audience": true, "id": true, "count": true, "limit": true,
	}
)

// secretName reports whether a value under this name is probably a secret.
func secretName(name string) bool {
	words := splitWords(name)
	if len(words) == 0 || harmlessEnds[words[len(words)-1]] {
		return false
	}
	for i, w := range words {
		if secretWords[w] && !(w == "key" && i > 0 && words[i-1] == "public") {
			return true
		}
	}
	return false
}

// splitWords cuts DB_PASSWORD, db-password and dbPassword into lower-case words.
func splitWords(name string) []string {
	var words []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = word[:0]
		}
	}
	lower := false
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			flush()
			lower = false
			continue
		case unicode.IsUpper(r) && lower:
			flush()
		}
		lower = unicode.IsLower(r)
		word = append(word, r)
	}
	flush()
	return words
}

// secretLiteral reports whether a value that stands under a secret's name is
// written in clear.
func secretLiteral(v Value) bool {
	s := v.String()
	return len(v.Refs()) == 0 && s != "" && s != "true" && s != "false"
}

// passwordInClear reports whether a literal holds scheme://user:password@ or
// password=….
func passwordInClear(v Value) bool {
	for _, p := range v.Parts {
		if p.Ref == nil && clearPassword.MatchString(p.Literal) {
			return true
		}
	}
	return false
}

// span is a range of bytes, from inclusive, to exclusive.
type span struct{ from, to int }

// secretSpans finds the values that stand under secrets' names. It looks at
// tokens, not at the parsed file, because a line must be masked even when it
// cannot be parsed.
func secretSpans(tokens hclsyntax.Tokens) []span {
	var spans []span
	for i := 0; i+1 < len(tokens); i++ {
		t := tokens[i]
		if t.Type != hclsyntax.TokenEqual && t.Type != hclsyntax.TokenColon {
			continue
		}
		if !secretName(keyBefore(tokens, i)) || isReference(tokens[i+1:]) {
			continue
		}
		end := valueEnd(tokens, i+1)
		spans = append(spans, span{tokens[i+1].Range.Start.Byte, tokens[end].Range.End.Byte})
		i = end
	}
	return spans
}

// keyBefore is the name in front of the sign at i, quoted or not.
func keyBefore(tokens hclsyntax.Tokens, i int) string {
	switch {
	case i >= 1 && tokens[i-1].Type == hclsyntax.TokenIdent:
		return string(tokens[i-1].Bytes)
	case i >= 2 && tokens[i-1].Type == hclsyntax.TokenCQuote && tokens[i-2].Type == hclsyntax.TokenQuotedLit:
		return string(tokens[i-2].Bytes)
	}
	return ""
}

// isReference reports whether a value begins with kind and dot.
func isReference(tokens hclsyntax.Tokens) bool {
	if len(tokens) < 2 || tokens[0].Type != hclsyntax.TokenIdent || tokens[1].Type != hclsyntax.TokenDot {
		return false
	}
	switch string(tokens[0].Bytes) {
	case kindEnv, kindDatabase, kindService:
		return true
	}
	return false
}

// valueEnd is the index of the last token of the value that begins at i.
func valueEnd(tokens hclsyntax.Tokens, i int) int {
	depth, last := 0, i
	for ; i < len(tokens); i++ {
		switch tokens[i].Type {
		case hclsyntax.TokenNewline, hclsyntax.TokenComma, hclsyntax.TokenComment:
			if depth == 0 {
				return last
			}
		}
		depth += nesting(tokens[i].Type)
		if depth < 0 {
			return last
		}
		last = i
	}
	return last
}

// nesting is +1 for a token that opens, -1 for one that closes.
func nesting(t hclsyntax.TokenType) int {
	switch t {
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenOQuote,
		hclsyntax.TokenOHeredoc, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
		return 1
	case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCQuote,
		hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
		return -1
	}
	return 0
}

// maskText cuts a text off where a secret begins, so that not even its length
// is told.
func maskText(s string) string {
	cut := len(s)
	for _, pattern := range []*regexp.Regexp{urlPassword, pairSecret} {
		if m := pattern.FindStringSubmatchIndex(s); m != nil && m[2] >= 0 {
			cut = min(cut, m[2])
		}
	}
	if cut == len(s) {
		return s
	}
	return s[:cut] + mask
}
