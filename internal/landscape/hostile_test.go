package landscape_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"godwit/internal/landscape"
)

// hostile are files that must end in findings, or a landscape, soon.
func hostile() map[string][]byte {
	big := func(s string) []byte { return bytes.Repeat([]byte(s), (hostileSize-64)/len(s)) }
	return map[string][]byte{
		"nothing":          nil,
		"ten megabytes":    bytes.Repeat([]byte("a = 1\n"), 10<<20/6),
		"nul":              []byte("landscape \"l\" {}\nx\x00y"),
		"bad utf-8":        []byte("# é\nlandscape \"\xff\" {}"),
		"escape":           []byte("# \x1b[31mred"),
		"brackets":         big("["),
		"braces":           big("a {"),
		"objects":          big("{a="),
		"parens":           append([]byte("a = "), big("(")...),
		"templates":        append([]byte("a = "), big(`"${`)...),
		"ternaries":        append([]byte("a = "), big("1?1:")...),
		"nots":             append([]byte("a = "), big("!")...),
		"minuses":          append([]byte("a = "), big("-")...),
		"sums":             append([]byte("a = 1"), big("+1")...),
		"splats":           append([]byte("a = b"), big("[*]")...),
		"legacy splats":    append([]byte("a = b"), big(".*")...),
		"indexes":          append([]byte("a = b"), big("[0]")...),
		"odd indexes":      append([]byte("a = b"), big("[c]")...),
		"traversal":        append([]byte("a = b"), big(".c")...),
		"calls":            append([]byte("a = "), big("f(")...),
		"closed calls":     append([]byte("a = "), big("f()")...),
		"directives":       []byte(`a = "` + string(big("%{if a}")) + `"`),
		"for":              append([]byte("a = "), big("[for a in ")...),
		"heredocs":         big("a = <<E\n"),
		"one long line":    append([]byte(`a = "`), big("x")...),
		"one long word":    big("x"),
		"labels":           append([]byte("service "), big(`"x" `)...),
		"quotes":           big(`"`),
		"errors":           big("= \n"),
		"attributes":       distinct("a%d = 1\n"),
		"blocks":           distinct("a%d {}\n"),
		"lost references":  distinct("ingress \"i%d\" {\n  host = \"h\"\n  service = service.s%[1]d\n}\n"),
		"lost needs":       distinct("service \"s%d\" {\n  needs = [service.t%[1]d, database.s%[1]d]\n}\n"),
		"networks":         distinct("environment \"e%d\" { network = \"10.0.0.0/8\" }\n"),
		"huge number":      []byte("service \"x\" { port = 1e999999999 }"),
		"huge digits":      append([]byte("a = "), big("9")...),
		"secrets":          distinct("a = { PASSWORD%d_KEY = \"x\" }\n"),
		"at signs":         big(":@"),
		"colon run":        big("a:"),
		"combining":        append([]byte("a = \""), big("́")...),
		"byte order mark":  []byte("\ufefflandscape \"l\" {}"),
		"carriage returns": []byte("landscape \"l\" {}\r\nx\r\n"),
		"chain":            chain(5000, false),
		"circle":           chain(5000, true),
		"dense circles":    dense(300),
	}
}

func distinct(format string) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < hostileSize-200; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.Bytes()
}

// chain is n services that each need the next one.
func chain(n int, closed bool) []byte {
	var b bytes.Buffer
	b.WriteString("landscape \"l\" {}\nenvironment \"e\" { network = \"10.0.0.0/8\" }\n")
	for i := range n {
		next := fmt.Sprintf("[service.s%d]", (i+1)%n)
		if i == n-1 && !closed {
			next = "[]"
		}
		fmt.Fprintf(&b, "service \"s%d\" {\n  image = \"x\"\n  port  = 80\n  env   = { A = env.B }\n  needs = %s\n}\n", i, next)
	}
	return b.Bytes()
}

// dense is n services that each need all others.
func dense(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "service \"s%d\" {\n  needs = [", i)
		for j := range n {
			fmt.Fprintf(&b, "service.s%d,", j)
		}
		b.WriteString("]\n}\n")
	}
	return b.Bytes()
}

// TestHostile is not parallel: it measures processor time, against what a plain
// landscape of five thousand services takes.
func TestHostile(t *testing.T) {
	plain := cost(t, chain(5000, false))
	for name, source := range hostile() {
		t.Run(name, func(t *testing.T) {
			start := cpu(t)
			l, found := landscape.Parse([]landscape.File{{Name: "h.hcl", Bytes: source}})
			if took := cpu(t) - start; took > dear*plain {
				t.Errorf("it takes %.1f times as much as a plain landscape", float64(took)/float64(plain))
			}
			if l == nil && len(found) == 0 {
				t.Error("neither a landscape nor a finding")
			}
			if name != "chain" && len(found) == 0 {
				t.Error("no finding")
			}
			wellFormed(t, found)
		})
	}
}

// dear is how many times as much as a plain landscape a file may take.
const dear = 15

// TestFiveThousandServices: what is read grows with the number of services, not with
// its square, which would be sixteen times as much for four times as many.
func TestFiveThousandServices(t *testing.T) {
	few, many := cost(t, chain(1250, false)), cost(t, chain(5000, false))
	if times := float64(many) / float64(few); times > 10 {
		t.Errorf("four times as many services take %.1f times as much", times)
	}
	l, found := landscape.Parse([]landscape.File{{Name: "l.hcl", Bytes: chain(5000, false)}})
	if len(found) > 0 {
		t.Fatalf("found %v", found[0])
	}
	addresses, ok := l.Addresses("e")
	if !ok || len(addresses.Services) != 5000 {
		t.Errorf("%d addresses", len(addresses.Services))
	}
	if edges := landscape.Edges(l); len(edges) != 4999 {
		t.Errorf("%d edges", len(edges))
	}
}

// cost is the least processor time, of two times, that reading a file takes.
func cost(t *testing.T, source []byte) time.Duration {
	t.Helper()
	least := time.Duration(math.MaxInt64)
	for range 2 {
		start := cpu(t)
		landscape.Parse([]landscape.File{{Name: "h.hcl", Bytes: source}})
		least = min(least, cpu(t)-start)
	}
	return least
}

// cpu is the processor time used so far: other programs on the machine must not
// fail a test.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestBadBytesHaveAPlace(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"nul": "h.hcl:2:2", "bad utf-8": "h.hcl:2:12", "escape": "h.hcl:1:3"} {
		_, found := landscape.Parse([]landscape.File{{Name: "h.hcl", Bytes: hostile()[name]}})
		if len(found) != 1 || found[0].Place() != want {
			t.Errorf("%s: found %v, want one at %s", name, found, want)
		}
	}
}

// wellFormed says what holds for all findings.
func wellFormed(t testing.TB, found landscape.Findings) {
	t.Helper()
	if len(found) > 201 {
		t.Errorf("%d findings", len(found))
	}
	for _, f := range found {
		if f.Summary == "" || f.Mend == "" {
			t.Errorf("finding without summary or mend: %+v", f)
		}
		for _, s := range []string{f.Summary, f.Mend, f.Source} {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\x1b\r\n") || len(s) > 2000 {
				t.Errorf("text not fit to print: %q", s)
			}
		}
		if f.Line > 0 && f.Column < 1 {
			t.Errorf("line without column: %+v", f)
		}
	}
	var b strings.Builder
	if err := found.Format(&b, true); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, source := range hostile() {
		if len(source) < 4096 {
			f.Add(source)
		} else {
			f.Add(source[:4096])
		}
	}
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		l, found := landscape.Parse([]landscape.File{{Name: "f.hcl", Bytes: source}})
		wellFormed(t, found)
		if (l == nil) != found.HasErrors() {
			t.Fatalf("landscape is nil: %v, errors: %v", l == nil, found.HasErrors())
		}
		if l == nil {
			return
		}
		landscape.Edges(l)
		for _, e := range l.Environments {
			if _, ok := l.Addresses(e.Name); !ok {
				t.Errorf("no addresses for %s", e.Name)
			}
		}
	})
}
