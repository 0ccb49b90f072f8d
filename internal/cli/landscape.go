package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"godwit/internal/api"
	"godwit/internal/landscape"
)

// maxFile is above what the landscape accepts, so that its finding says so.
const maxFile = 2 << 20

// readLandscape reads *.hcl of a directory, or one file, and parses it.
// Findings are a *findingsError.
func readLandscape(path string) (*landscape.Landscape, api.Landscape, error) {
	l, wire, _, err := readWithWarnings(path)
	return l, wire, err
}

// readWithWarnings is readLandscape for who says what validate would warn of.
func readWithWarnings(path string) (*landscape.Landscape, api.Landscape, landscape.Findings, error) {
	files, dir, err := readFiles(path)
	if err != nil {
		return nil, api.Landscape{}, nil, err
	}
	l, findings := landscape.Parse(files)
	if findings.HasErrors() {
		return l, api.Landscape{}, nil, &findingsError{findings}
	}
	wire := api.Landscape{Dir: dir, Env: environmentValues(l)}
	for _, f := range files {
		wire.Files = append(wire.Files, api.File{Name: f.Name, Bytes: f.Bytes})
	}
	return l, wire, findings, nil
}

func readFiles(path string) ([]landscape.File, string, error) {
	names, dir, err := fileNames(path)
	if err != nil {
		return nil, "", err
	}
	var files []landscape.File
	for _, name := range names {
		b, err := readBounded(name)
		if err != nil {
			return nil, "", place(name, "cannot be read: "+cause(err), "make it a file that you may read")
		}
		files = append(files, landscape.File{Name: name, Bytes: b})
	}
	abs, err := filepath.Abs(dir)
	return files, abs, err
}

// fileNames are the files that make up a landscape, sorted, and their directory.
func fileNames(path string) (names []string, dir string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", place(path, "cannot be read: "+cause(err), "name the directory that holds landscape.hcl")
	}
	if !info.IsDir() {
		return []string{path}, filepath.Dir(path), nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, "", place(path, "cannot be read: "+cause(err), "make it a directory that you may read, or name another")
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".hcl" && e.Name() != ".hcl" {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, "", place(path, "holds no landscape: no file here ends in .hcl", "create "+filepath.Join(path, "landscape.hcl")+", or name another directory")
	}
	return names, path, nil
}

// cause is an error without the operation and path, which its finding has.
func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// readBounded reads no more than the parser would take: a landscape is not a device.
func readBounded(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

var errNotRegular = errors.New("it is not a regular file")

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
