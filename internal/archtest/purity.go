package archtest

import (
	"go/ast"
	"slices"
	"strings"
)

// isPure says which code is: no clock, randomness, goroutine, log, file or socket.
func isPure(s Source) bool {
	if s.test() {
		return false
	}
	return slices.ContainsFunc(pure, func(p string) bool { return within(s.dir(), p) }) || s.Path == "internal/rollout/verdict.go"
}

// impureImports are banned in pure code, with all packages below them.
var impureImports = []struct{ path, why string }{
	{"os", "what pure code needs of files and environment is an argument, so that a test can say it"},
	{"io/ioutil", "it reads files; bytes are arguments"},
	{"log", "pure code returns what it has to say"},
	{"math/rand", "the same input must give the same plan; ids and seeds are arguments"},
	{"crypto/rand", "the same input must give the same plan; ids and seeds are arguments"},
	{"net", "pure code speaks to nobody; addresses are net/netip"},
	{"syscall", "pure code asks nothing of the system"},
	{"golang.org/x/sys", "pure code asks nothing of the system"},
	{"database/sql", "pure code keeps nothing"},
	{"context", "what is pure waits for nothing, so there is nothing to cancel"},
}

var pureOfNet = []string{"net/netip", "net/url"}

var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// Purity: what decides is a function of its arguments.
func Purity(sources []Source) []Violation {
	var found []Violation
	for _, s := range sources {
		if !isPure(s) {
			continue
		}
		s.imports(func(spec *ast.ImportSpec, p string) {
			for _, ban := range impureImports {
				if within(p, ban.path) && !slices.Contains(pureOfNet, p) {
					found = append(found, Violation{s.at(spec), "pure code imports " + p, ban.why})
				}
			}
			if spec.Name != nil && spec.Name.Name == "." {
				found = append(found, Violation{s.at(spec), "pure code imports with a dot", "what it uses could not be seen"})
			}
		})
		s.uses("time", func(at ast.Node, name string) {
			if slices.Contains(clock, name) {
				found = append(found, Violation{s.at(at), "pure code calls time." + name,
					"now is an argument, so that a test can choose it and a plan can be made again"})
			}
		})
		ast.Inspect(s.file, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				found = append(found, Violation{s.at(n), "pure code starts a goroutine", "its result would depend on who is first"})
			}
			return true
		})
	}
	return found
}

// NoSleep: tests wait for conditions. In a bubble of synctest time costs nothing.
func NoSleep(sources []Source) []Violation {
	var found []Violation
	for _, s := range sources {
		if !strings.HasSuffix(s.Path, "_test.go") {
			continue
		}
		var bubbles []ast.Node
		s.calls("testing/synctest", "Test", func(call ast.Node) { bubbles = append(bubbles, call) })
		s.uses("time", func(at ast.Node, name string) {
			inBubble := slices.ContainsFunc(bubbles, func(b ast.Node) bool { return b.Pos() <= at.Pos() && at.End() <= b.End() })
			if name == "Sleep" && !inBubble {
				found = append(found, Violation{s.at(at), "a test calls time.Sleep",
					"it is too short on a slow machine and too long on a fast one: wait for a condition, or use testing/synctest"})
			}
		})
	}
	return found
}
