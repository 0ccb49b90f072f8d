package tofu

import (
	"encoding/json"
	"io"
	"strings"
)

// parsed is what a JSON document says; nothing says nothing, which is false of
// any other text.
func parsed(v any) (any, bool) {
	if v == nil {
		return nil, true
	}
	text, _ := v.(string)
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var document any
	if err := d.Decode(&document); err != nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	return document, true
}

// isPolicy: a document in which AWS takes one value for a list of one.
func isPolicy(document any) bool { return in(document, "Statement") != nil }
