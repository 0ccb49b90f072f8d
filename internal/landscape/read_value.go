package landscape

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// attributes are what a Value may ask of a service or database.
var attributes = []string{"host", "port", "url"}

const secretMend = "refer to the environment of the engine, env.%s, and keep the secret out of the file"

// sourceURL reads where something runs in the data centre. Only env.NAME may be
// referred to: services and databases of the landscape are not there.
func (b *body) sourceURL() Value {
	e, at, ok := b.expr("url")
	if !ok {
		return Value{}
	}
	v, ok := asValue(e, nil)
	if !ok || len(v.Parts) == 0 {
		b.must(at, "url", "a URL, or a reference env.NAME")
		return Value{}
	}
	for _, ref := range v.Refs() {
		if ref.Kind != kindEnv {
			b.must(at, "url", "a URL; of references only env.NAME means something in a source")
			return Value{}
		}
	}
	if passwordInClear(v) {
		b.add(at, Error, "url of "+b.title+" has a password written in clear", fmt.Sprintf(secretMend, "DATACENTER_DATABASE_URL"))
		return v
	}
	if len(v.Refs()) == 0 && !goodURL(v.Parts[0].Literal, b.kind) {
		b.must(at, "url", "a URL with scheme "+strings.Join(schemes(b.kind), " or ")+" and a host")
	}
	return v
}

func schemes(kind string) []string {
	if kind == kindDatabase {
		return []string{"postgres", "postgresql"}
	}
	return []string{"http", "https"}
}

func goodURL(s, kind string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && slices.Contains(schemes(kind), u.Scheme)
}

// env reads the configuration of a service and returns where each value stands.
func (b *body) env() (map[string]Value, []envUse) {
	e, at, ok := b.expr("env")
	if !ok {
		return nil, nil
	}
	pairs, ok := asMap(e)
	if !ok {
		b.must(at, "env", "a map of names to values")
		return nil, nil
	}
	values, seen := map[string]Value{}, map[string]bool{}
	var uses []envUse
	for _, p := range pairs {
		at := b.src.at(p.at)
		switch {
		case !envName.MatchString(p.key):
			b.add(at, Error, "env of "+b.title+" has a name that is none", "use letters, digits and underscores, no digit first")
			continue
		case seen[p.key]:
			b.add(at, Error, fmt.Sprintf("env of %s sets %s twice", b.title, p.key), "keep one of the two")
			continue
		}
		seen[p.key] = true
		v, ok := b.envValue(p)
		if !ok {
			continue
		}
		values[p.key] = v
		for _, ref := range v.Refs() {
			uses = append(uses, envUse{ref, b.src.at(p.value.Range().Start), p.key})
		}
	}
	return values, uses
}

// envUse is a reference in a value of env.
type envUse struct {
	ref AttrRef
	at  place
	key string
}

// envValue reads one value. Its messages never quote it: it may be a secret.
func (b *body) envValue(p pair) (Value, bool) {
	at := b.src.at(p.value.Range().Start)
	v, ok := asValue(p.value, b.src.bytes)
	if !ok {
		b.add(at, Error, fmt.Sprintf("%s in env of %s must be a string or a reference", p.key, b.title), envMend(p.value))
		return Value{}, false
	}
	if strings.ContainsRune(v.String(), 0) {
		b.add(at, Error, fmt.Sprintf("%s in env of %s has a NUL character", p.key, b.title), "remove it; no program can receive it")
	}
	if passwordInClear(v) || secretName(p.key) && secretLiteral(v) {
		b.add(at, Error, fmt.Sprintf("%s in env of %s is a secret written in clear", p.key, b.title), fmt.Sprintf(secretMend, p.key))
	}
	for _, ref := range v.Refs() {
		b.checkAttr(ref, at)
	}
	return v, true
}

// envMend knows the mistake of leaving an attribute out: database.till.
func envMend(e hclsyntax.Expression) string {
	if ref, ok := asRef(e); ok && (ref.Kind == kindDatabase || ref.Kind == kindService) {
		return fmt.Sprintf("name an attribute as well: %s.url", ref)
	}
	return "write a string in quotes, database.NAME.url, service.NAME.url or env.NAME"
}

// checkAttr checks kind and attribute of a reference; the name is checked when
// all are known.
func (b *body) checkAttr(ref AttrRef, at place) {
	switch ref.Kind {
	case kindEnv:
		if !envName.MatchString(ref.Name) {
			b.add(at, Error, quoted(ref.String())+" is no name of an environment variable", "use letters, digits and underscores")
		}
	case kindService, kindDatabase:
		if !slices.Contains(attributes, ref.Attr) {
			b.add(at, Error, fmt.Sprintf("%s has no attribute %s", ref.Kind, quoted(ref.Attr)), b.mend(ref.Attr, attributes))
		}
	default:
		b.add(at, Error, quoted(ref.Kind)+" is nothing that a value can refer to", b.mend(ref.Kind, []string{kindDatabase, kindEnv, kindService}))
	}
}
