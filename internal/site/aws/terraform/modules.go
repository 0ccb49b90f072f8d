package terraform

import (
	"embed"
	"io/fs"
	"path"
	"strings"
)

// The modules are written by hand; a landscape only calls them.
//
//go:embed modules
var modules embed.FS

// marker is in the first line of every file that was rendered: only those are
// overwritten and removed.
const marker = "Rendered by godwit"

func addModules(tree Tree) error {
	return fs.WalkDir(modules, "modules", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".tf") {
			return err
		}
		content, err := modules.ReadFile(name)
		if err == nil {
			tree[name] = marked(name, content)
		}
		return err
	})
}

// marked puts the marker before a file.
func marked(name string, content []byte) []byte {
	const rest = ": what is written here by hand is lost."
	if path.Ext(name) == ".md" {
		return append([]byte("<!-- "+marker+rest+" -->\n\n"), content...)
	}
	return append([]byte("# "+marker+rest+"\n\n"), content...)
}
