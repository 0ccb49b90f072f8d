package landscape

import "fmt"

func (r *reader) probe(b *body) {
	r.declare(b)
	p := Probe{Name: b.name, Ingress: b.ref("ingress", kindIngress)}
	seen := map[Ref]bool{}
	ledgers := map[string]place{}
	for _, c := range b.children() {
		r.innerName(b, c, seen)
		switch c.kind {
		case "request":
			req, at := c.request()
			p.Requests = append(p.Requests, req)
			if req.Ledger != "" {
				ledgers[req.Ledger] = at
			}
		case "ledger":
			query, _ := c.text("query", "")
			p.Ledger = append(p.Ledger, ProbeLedger{c.name, c.ref("database", kindDatabase), query})
		case "invariant":
			query, _ := c.text("query", "")
			p.Invariants = append(p.Invariants, ProbeInvariant{c.name, c.ref("database", kindDatabase), query})
		}
	}
	if len(p.Requests) == 0 && !r.partial {
		r.add(b.at, Error, b.title+" sends no request", `add a block request "name" { path = "/" }`)
	}
	r.checkLedgers(b, p, ledgers)
	r.landscape.Probes = append(r.landscape.Probes, p)
}

// innerName checks the name of a block inside a probe.
func (r *reader) innerName(b, c *body, seen map[Ref]bool) {
	ref := Ref{Kind: c.kind, Name: c.name}
	if seen[ref] {
		r.add(c.at, Error, fmt.Sprintf("%s is in %s twice", c.title, b.title), "rename or remove one of the two")
	}
	seen[ref] = true
	if !goodInnerName(c.name) {
		r.add(c.at, Error, fmt.Sprintf("%s is not a good name for a %s", quoted(c.name), c.kind),
			fmt.Sprintf("use at most %d lower-case letters, digits, hyphens and underscores, a letter first", maxName))
	}
}

// request reads one kind of request and where it names its ledger.
func (b *body) request() (ProbeRequest, place) {
	q := ProbeRequest{Name: b.name, Path: b.path("path", ""), Headers: b.headers()}
	var at place
	q.Method, at = b.text("method", "GET")
	if !methodName.MatchString(q.Method) {
		b.must(at, "method", "an HTTP method in upper case")
	}
	q.Weight, _ = b.number("weight", 1, 1, 1_000_000)
	q.Body = b.content("body")
	q.Ledger, at = b.text("ledger", "")
	return q, at
}

// content reads a string that may be empty.
func (b *body) content(name string) string {
	e, at, ok := b.expr(name)
	if !ok {
		return ""
	}
	s, ok := asText(e)
	if !ok {
		b.must(at, name, "a string without references; write $${ for the characters themselves")
	}
	return s
}

func (b *body) headers() map[string]string {
	e, at, ok := b.expr("headers")
	if !ok {
		return nil
	}
	pairs, ok := asMap(e)
	if !ok {
		b.must(at, "headers", "a map of names to strings")
		return nil
	}
	headers := map[string]string{}
	for _, p := range pairs {
		at := b.src.at(p.at)
		value, ok := asText(p.value)
		_, doubled := headers[p.key]
		switch {
		case !headerName.MatchString(p.key):
			b.add(at, Error, "headers of "+b.title+" have a name that is none", `write for instance "Content-Type" = "application/json"`)
		case doubled:
			b.add(at, Error, fmt.Sprintf("headers of %s set %s twice", b.title, quoted(p.key)), "keep one of the two")
		case !ok:
			b.add(at, Error, fmt.Sprintf("header %s of %s must be a string without references", quoted(p.key), b.title), "write it in quotes")
		default:
			headers[p.key] = value
		}
	}
	return headers
}

// checkLedgers checks that requests name ledgers of their own probe.
func (r *reader) checkLedgers(b *body, p Probe, named map[string]place) {
	known := map[string]bool{}
	var names []string
	for _, l := range p.Ledger {
		known[l.Name] = true
		names = append(names, l.Name)
	}
	for _, q := range p.Requests {
		if q.Ledger == "" || known[q.Ledger] || r.partial {
			continue
		}
		known[q.Ledger] = true // one finding for each
		mend := r.mend(q.Ledger, names)
		if mend == "" {
			mend = fmt.Sprintf("add a block ledger %s { … }", quoted(q.Ledger))
		}
		r.add(named[q.Ledger], Error, fmt.Sprintf("%s has no ledger %s", b.title, quoted(q.Ledger)), mend)
	}
}
