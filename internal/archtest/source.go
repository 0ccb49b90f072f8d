// Package archtest is the architecture as failing tests: which package may
// import which, which are pure, how large a file may grow. Every rule gives the
// reason for its ban, and is itself tested against a source that breaks it.
// Nobody imports it.
package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Source is one Go file, whatever system it is built for.
type Source struct {
	Path  string // from the root of the module, with slashes
	Lines int
	file  *ast.File
	fset  *token.FileSet
}

// Violation of a rule: where, what is wrong, and why it matters.
type Violation struct {
	Where, What, Why string
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s: %s", v.Where, v.What, v.Why) }

// Parse reads one file.
func Parse(name string, text []byte) (Source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return Source{Path: name, Lines: bytes.Count(text, []byte("\n")), file: file, fset: fset}, err
}

// Load reads all Go files below directories of a module.
func Load(root string, below ...string) ([]Source, error) {
	var sources []Source
	for _, dir := range below {
		err := filepath.WalkDir(filepath.Join(root, dir), func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() && entry.Name() == "testdata" {
				return fs.SkipDir
			}
			if entry.IsDir() || filepath.Ext(name) != ".go" {
				return nil
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			relative, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			source, err := Parse(filepath.ToSlash(relative), text)
			sources = append(sources, source)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return sources, nil
}

// dir is the package's path within the module: "internal/site/local".
func (s Source) dir() string { return path.Dir(s.Path) }

func (s Source) test() bool { return strings.HasSuffix(s.Path, "_test.go") }

// at is where a node is, for people.
func (s Source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.Path, s.fset.Position(n.Pos()).Line)
}

// imports calls f with every import and its path.
func (s Source) imports(f func(spec *ast.ImportSpec, path string)) {
	for _, spec := range s.file.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			f(spec, p)
		}
	}
}

// uses calls f with every name used from an imported package, however the
// import is called here.
func (s Source) uses(imported string, f func(at ast.Node, name string)) {
	local := ""
	s.imports(func(spec *ast.ImportSpec, p string) {
		if p != imported {
			return
		}
		local = path.Base(p)
		if spec.Name != nil {
			local = spec.Name.Name
		}
	})
	if local == "" {
		return
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && x.Name == local {
				f(n, selector.Sel.Name)
			}
		}
		return true
	})
}

// calls calls f with every call of a function of an imported package.
func (s Source) calls(imported, function string, f func(call ast.Node)) {
	s.uses(imported, func(at ast.Node, name string) {
		if name != function {
			return
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && call.Fun == at {
				f(call)
			}
			return true
		})
	})
}
