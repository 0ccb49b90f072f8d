package landscape

import (
	"fmt"
	"strings"
)

// Literal is a Value without references.
func Literal(s string) Value {
	if s == "" {
		return Value{}
	}
	return Value{Parts: []Part{{Literal: s}}}
}

// Resolve puts the value together, asking resolve for each reference. The error
// of resolve is returned as it is, with the reference in front.
func (v Value) Resolve(resolve func(AttrRef) (string, error)) (string, error) {
	var b strings.Builder
	for _, p := range v.Parts {
		if p.Ref == nil {
			b.WriteString(p.Literal)
			continue
		}
		s, err := resolve(*p.Ref)
		if err != nil {
			return "", fmt.Errorf("%s: %w", p.Ref, err)
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// Refs are the references in the value, in order.
func (v Value) Refs() []AttrRef {
	var refs []AttrRef
	for _, p := range v.Parts {
		if p.Ref != nil {
			refs = append(refs, *p.Ref)
		}
	}
	return refs
}

// String is the value with its references as ${…} and each $ of a literal
// doubled; two values mean the same exactly when their strings are equal.
func (v Value) String() string {
	var b strings.Builder
	for _, p := range v.Parts {
		if p.Ref != nil {
			b.WriteString("${" + p.Ref.String() + "}")
		} else {
			b.WriteString(strings.ReplaceAll(p.Literal, "$", "$$"))
		}
	}
	return b.String()
}

// MarshalText writes String; with it a Value is a string in JSON.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (v *Value) UnmarshalText(text []byte) error {
	var parts builder
	rest := string(text)
	for rest != "" {
		i := strings.IndexByte(rest, '$')
		if i < 0 {
			parts.literal(rest)
			break
		}
		parts.literal(rest[:i])
		rest = rest[i+1:]
		switch {
		case strings.HasPrefix(rest, "$"):
			parts.literal("$")
			rest = rest[1:]
		case strings.HasPrefix(rest, "{"):
			name, after, closed := strings.Cut(rest[1:], "}")
			ref, ok := parseAttrRef(name)
			if !closed || !ok {
				return fmt.Errorf("landscape value: %q is not a reference; write ${kind.name.attribute} or ${env.NAME}", name)
			}
			parts.ref(ref)
			rest = after
		default:
			return fmt.Errorf("landscape value: a lone $; write $$ for the sign itself")
		}
	}
	*v = parts.value()
	return nil
}

// builder collects parts and keeps neighbouring literals as one.
type builder struct{ parts []Part }

func (b *builder) literal(s string) {
	if s == "" {
		return
	}
	if n := len(b.parts); n > 0 && b.parts[n-1].Ref == nil {
		b.parts[n-1].Literal += s
		return
	}
	b.parts = append(b.parts, Part{Literal: s})
}

func (b *builder) ref(r AttrRef) { b.parts = append(b.parts, Part{Ref: &r}) }

func (b *builder) value() Value { return Value{Parts: b.parts} }

// String is the reference as it is written in the file.
func (r AttrRef) String() string {
	if r.Attr == "" {
		return r.Kind + "." + r.Name
	}
	return r.Kind + "." + r.Name + "." + r.Attr
}

// String is the reference as it is written in the file.
func (r Ref) String() string { return r.Kind + "." + r.Name }

func parseAttrRef(s string) (AttrRef, bool) {
	names := strings.Split(s, ".")
	for _, n := range names {
		if n == "" {
			return AttrRef{}, false
		}
	}
	switch {
	case len(names) == 2 && names[0] == kindEnv:
		return AttrRef{Kind: kindEnv, Name: names[1]}, true
	case len(names) == 3 && names[0] != kindEnv:
		return AttrRef{Kind: names[0], Name: names[1], Attr: names[2]}, true
	}
	return AttrRef{}, false
}
