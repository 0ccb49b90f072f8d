package archtest

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

var emptyNames = []string{"util", "utils", "common", "models", "types", "helper", "helpers", "misc", "shared"}

// Names: a package is called after its noun.
func Names(sources []Source) []Violation {
	var found []Violation
	for _, s := range sources {
		if name := s.file.Name.Name; slices.Contains(emptyNames, name) || slices.Contains(emptyNames, path.Base(s.dir())) {
			found = append(found, Violation{s.Path, "package " + name, "the name says nothing, so everything will end up in it: name the noun"})
		}
	}
	return found
}

// Docs: every package has one doc comment.
func Docs(sources []Source) []Violation {
	described := map[string]int{}
	for _, s := range sources {
		if s.test() || !within(s.dir(), "internal") && !within(s.dir(), "cmd") {
			continue
		}
		described[s.dir()] += 0
		if doc := s.file.Doc; doc != nil && strings.TrimSpace(doc.Text()) != "" {
			described[s.dir()]++
		}
	}
	var found []Violation
	for dir, n := range described {
		if n != 1 {
			found = append(found, Violation{dir, fmt.Sprintf("%d package comments", n),
				"one comment says the package's nouns, what it guarantees, who may import it"})
		}
	}
	slices.SortFunc(found, func(a, b Violation) int { return strings.Compare(a.Where, b.Where) })
	return found
}

// NoInit: nothing happens because a package was imported.
func NoInit(sources []Source) []Violation {
	var found []Violation
	for _, s := range sources {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				found = append(found, Violation{s.at(f), "func init", "what is chosen is chosen explicitly, in a registry that can be read"})
			}
		}
	}
	return found
}

const (
	longestFile     = 600
	longestFunction = 64
)

// Sizes: files and functions that a reader can hold.
func Sizes(sources []Source) []Violation {
	const why = "it does more than one thing: give each its name"
	var found []Violation
	for _, s := range sources {
		if s.test() {
			continue
		}
		if s.Lines > longestFile {
			found = append(found, Violation{s.Path, fmt.Sprintf("%d lines, at most %d", s.Lines, longestFile), why})
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > longestFunction {
				found = append(found, Violation{s.at(f), fmt.Sprintf("%s has %d lines, at most %d", f.Name.Name, n, longestFunction), why})
			}
		}
	}
	return found
}
