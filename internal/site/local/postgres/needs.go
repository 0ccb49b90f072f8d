package postgres

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// multiarch is Debian's name for this architecture in library paths.
var multiarch = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]

// libraryDirs are searched by the dynamic linker without being told.
func libraryDirs() []string {
	var dirs []string
	for _, d := range []string{"/lib/" + multiarch, "/usr/lib/" + multiarch, "/lib64", "/usr/lib64", "/lib", "/usr/lib"} {
		if !strings.HasSuffix(d, "/") {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

// libraryEnv tells the dynamic linker of an installation in the cache where its
// libraries are; a system's finds its own.
func libraryEnv(bin, cache string) []string {
	root, ok := cachedRoot(bin, cache)
	if !ok {
		return nil
	}
	var dirs []string
	for _, d := range libraryDirs() {
		if info, err := os.Stat(root + d); err == nil && info.IsDir() {
			dirs = append(dirs, root+d)
		}
	}
	return []string{"LD_LIBRARY_PATH=" + strings.Join(dirs, ":")}
}

// cachedRoot is the directory that the packages of a cached installation were
// unpacked into.
func cachedRoot(bin, cache string) (string, bool) {
	rel, err := filepath.Rel(filepath.Join(cache, installed), bin)
	if err != nil || strings.HasPrefix(rel, "..") {
		return "", false
	}
	return filepath.Join(cache, installed, strings.Split(rel, "/")[0]), true
}

// needs fills in Binds and Symlinks: the installation itself, the dynamic linker
// and the directories of all libraries that its programs are linked with.
func (inst *Installation) needs(cache string) error {
	home := filepath.Dir(inst.Bin)
	paths := []string{inst.Bin, filepath.Join(home, "lib/postgresql"), filepath.Join(home, "share/postgresql")}
	if home != "/usr" && home != "/usr/local" && home != "/" {
		paths = []string{home} // a directory for Postgres alone
	}
	if strings.HasPrefix(home, "/usr/lib/postgresql/") {
		paths = append(paths, fmt.Sprintf("/usr/share/postgresql/%d", inst.Major))
	}
	if root, ok := cachedRoot(inst.Bin, cache); ok {
		paths = append(paths, root)
	}
	libraries, err := inst.libraries()
	if err != nil {
		return err
	}
	p := physical{links: map[string]string{}, binds: map[string]bool{}}
	for _, path := range slices.Concat(paths, libraries, languages(), []string{"/usr/share/zoneinfo", "/usr/lib/locale"}) {
		if _, err := os.Stat(path); err == nil {
			if err := p.add(path); err != nil {
				return fmt.Errorf("paths of Postgres in %s: %w", inst.Bin, err)
			}
		}
	}
	for _, path := range paths {
		if err := p.addLinked(path); err != nil {
			return fmt.Errorf("paths of Postgres in %s: %w", inst.Bin, err)
		}
	}
	inst.Binds, inst.Symlinks = p.outermost(), p.links
	// A list of time zones has a link to the machine's own, outside, and Postgres
	// reads the list as a whole.
	inst.Symlinks["/etc/localtime"] = "/usr/share/zoneinfo/UTC"
	return nil
}

// languages are where Debian keeps what the interpreters of procedural languages load.
func languages() []string {
	dirs := []string{"/etc/perl", "/usr/share/perl", "/usr/share/perl5", "/usr/share/tcltk"}
	for _, pattern := range []string{"/usr/lib/" + multiarch + "/perl*", "/usr/lib/python3*"} {
		found, _ := filepath.Glob(pattern) // an error is of the pattern
		dirs = append(dirs, found...)
	}
	return dirs
}

// libraries are the dynamic linker and the directories of all libraries needed.
func (inst *Installation) libraries() ([]string, error) {
	search := libraryDirs()
	for _, e := range inst.Env {
		if list, ok := strings.CutPrefix(e, "LD_LIBRARY_PATH="); ok {
			search = append(strings.Split(list, ":"), search...)
		}
	}
	found, seen := map[string]bool{}, map[string]bool{}
	var queue []string
	for _, name := range programs {
		queue = append(queue, filepath.Join(inst.Bin, name))
	}
	for len(queue) > 0 {
		file := queue[0]
		queue = queue[1:]
		interpreter, needed, own, err := linked(file)
		if err != nil {
			return nil, err
		}
		if interpreter != "" {
			found[interpreter] = true
		}
		for _, name := range needed {
			path := locate(name, append(own, search...))
			if path == "" || seen[path] {
				continue // what is truly missing showed when --version ran
			}
			seen[path] = true
			found[filepath.Dir(path)] = true
			queue = append(queue, path)
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// linked reads what an ELF file is linked with; own are the search directories
// it names itself.
func linked(file string) (interpreter string, needed, own []string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return "", nil, nil, fmt.Errorf("read %s: %w", file, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err == nil {
				interpreter = strings.TrimRight(string(b), "\x00")
			}
		}
	}
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		lists, _ := f.DynString(tag)
		for _, list := range lists {
			list = strings.NewReplacer("$ORIGIN", filepath.Dir(file), "${ORIGIN}", filepath.Dir(file)).Replace(list)
			own = append(own, strings.Split(list, ":")...)
		}
	}
	needed, err = f.ImportedLibraries()
	return interpreter, needed, own, err
}

func locate(name string, dirs []string) string {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// physical collects paths as they are without symbolic links, and the links met.
type physical struct {
	links map[string]string
	binds map[string]bool
}

func (p *physical) add(path string) error {
	at, rest := "/", strings.Split(strings.Trim(path, "/"), "/")
	for steps := 0; len(rest) > 0; steps++ {
		if steps > 255 {
			return fmt.Errorf("%s: too many links", path)
		}
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		if err != nil {
			return err
		}
		if info.Mode().Type() != os.ModeSymlink {
			at = next
			continue
		}
		target, err := os.Readlink(next)
		if err != nil {
			return err
		}
		p.links[next] = target
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(strings.Trim(target, "/"), "/"), rest...)
	}
	p.binds[at] = true
	return nil
}

// addLinked adds what the links in a directory lead to. Files of extensions may be
// links into /etc/alternatives, and dictionaries into /var/cache: one that leads to
// nothing keeps the server from listing any.
func (p *physical) addLinked(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && entry != nil && entry.IsDir(), err == nil && entry.IsDir() && notOfInstallation(path):
			return fs.SkipDir
		case err != nil || entry.Type() != fs.ModeSymlink:
			return nil
		}
		if _, err := os.Stat(path); err != nil {
			return nil // it leads to nothing on the machine either
		}
		return p.add(path)
	})
}

// notOfInstallation: programs, whose links are others' names for them, and the data
// that somebody keeps beside them.
func notOfInstallation(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "PG_VERSION"))
	return err == nil || filepath.Base(dir) == "bin"
}

// outermost drops paths below others, and links that come with a bound directory.
func (p *physical) outermost() []string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(p.binds)) {
		if !below(path, out) {
			out = append(out, path)
		}
	}
	maps.DeleteFunc(p.links, func(link, _ string) bool { return below(link, out) })
	return out
}

func below(path string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return path == d || strings.HasPrefix(path, d+"/") })
}
