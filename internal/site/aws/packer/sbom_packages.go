package packer

import (
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// maxList bounds the list of packages that is read from an image.
const maxList = 32 << 20

// packages that the image's distribution says it has installed.
func packages(root *os.Root) []component {
	distribution := "debian"
	for line := range strings.SplitSeq(text(root, "etc/os-release"), "\n") {
		if id, ok := strings.CutPrefix(line, "ID="); ok {
			distribution = strings.Trim(id, `"'`)
		}
	}
	var all []component
	lists := []string{"var/lib/dpkg/status"}
	// Images without a shell keep one file per package.
	if entries, err := fs.ReadDir(root.FS(), "var/lib/dpkg/status.d"); err == nil {
		for _, e := range entries {
			lists = append(lists, path.Join("var/lib/dpkg/status.d", e.Name()))
		}
	}
	for _, list := range lists {
		for _, p := range paragraphs(text(root, list), ": ") {
			if s := p["Status"]; p["Package"] != "" && (s == "" || strings.HasSuffix(s, " installed")) {
				all = append(all, packaged("deb", distribution, p["Package"], p["Version"], p["Architecture"]))
			}
		}
	}
	for _, p := range paragraphs(text(root, "lib/apk/db/installed"), ":") {
		if p["P"] != "" {
			all = append(all, packaged("apk", "alpine", p["P"], p["V"], p["A"]))
		}
	}
	return all
}

func packaged(kind, distribution, name, version, architecture string) component {
	purl := "pkg:" + kind + "/" + escape(distribution) + "/" + escape(name)
	if version != "" {
		purl += "@" + escape(version)
	}
	if architecture != "" {
		purl += "?arch=" + escape(architecture)
	}
	return component{Type: "library", Ref: purl, Name: name, Version: version, PURL: purl}
}

// paragraphs are separated by empty lines, and made of names and values.
func paragraphs(text, separator string) []map[string]string {
	var all []map[string]string
	for block := range strings.SplitSeq(text, "\n\n") {
		fields := map[string]string{}
		for line := range strings.SplitSeq(block, "\n") {
			if name, value, ok := strings.Cut(line, separator); ok && !strings.HasPrefix(line, " ") {
				fields[name] = value
			}
		}
		if len(fields) > 0 {
			all = append(all, fields)
		}
	}
	return all
}

// text of a file, "" when there is none.
func text(root *os.Root, name string) string {
	f, err := root.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxList))
	if err != nil {
		return ""
	}
	return string(b)
}
