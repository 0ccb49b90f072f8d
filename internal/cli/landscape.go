package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"godwit/internal/api"
	"godwit/internal/landscape"
)

// maxFile is above what the landscape accepts, so that its finding says so.
const maxFile = 2 << 20

// readLandscape reads *.hcl of a directory, or one file, and parses it.
// Findings are a *findingsError.
func readLandscape(path string) (*landscape.Landscape, api.Landscape, error) {
	files, dir, err := readFiles(path)
	if err != nil {
		return nil, api.Landscape{}, err
	}
	l, findings := landscape.Parse(files)
	if findings.HasErrors() {
		return l, api.Landscape{}, &findingsError{findings}
	}
	wire := api.Landscape{Dir: dir, Env: environmentValues(l)}
	for _, f := range files {
		wire.Files = append(wire.Files, api.File{Name: f.Name, Bytes: f.Bytes})
	}
	return l, wire, nil
}

func readFiles(path string) ([]landscape.File, string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", place(path, "cannot be read: "+err.Error(), "name the directory that holds landscape.hcl: godwit validate DIR")
	}
	names := []string{path}
	dir := filepath.Dir(path)
	if info.IsDir() {
		dir = path
		if names, err = filepath.Glob(filepath.Join(path, "*.hcl")); err != nil {
			return nil, "", err
		}
	}
	if len(names) == 0 {
		return nil, "", place(path, "holds no landscape: no file here ends in .hcl", "create "+filepath.Join(path, "landscape.hcl")+", or name another directory")
	}
	sort.Strings(names)
	var files []landscape.File
	for _, name := range names {
		b, err := readBounded(name)
		if err != nil {
			return nil, "", place(name, err.Error(), "make it a readable file")
		}
		files = append(files, landscape.File{Name: name, Bytes: b})
	}
	abs, err := filepath.Abs(dir)
	return files, abs, err
}

// readBounded reads no more than the parser would take: a landscape is not a device.
func readBounded(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("is not a regular file")
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

func place(file, summary, mend string) error {
	return &findingsError{landscape.Findings{{Severity: landscape.Error, File: file, Summary: summary, Mend: mend}}}
}

// environmentValues are the values of the env.NAME references that a landscape
// makes, and of no other variable.
func environmentValues(l *landscape.Landscape) map[string]string {
	values := map[string]string{}
	note := func(v landscape.Value) {
		for _, p := range v.Parts {
			if p.Ref == nil || p.Ref.Kind != "env" {
				continue
			}
			if value, ok := os.LookupEnv(p.Ref.Name); ok {
				values[p.Ref.Name] = strings.TrimSpace(value)
			}
		}
	}
	for _, s := range l.Services {
		for _, v := range s.Env {
			note(v)
		}
	}
	for _, s := range l.Sources {
		for _, e := range append(append([]landscape.SourceEndpoint(nil), s.Services...), s.Databases...) {
			note(e.URL)
		}
	}
	return values
}

// directory is the optional DIR argument.
func directory(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return "."
}
