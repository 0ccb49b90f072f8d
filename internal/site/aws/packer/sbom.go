package packer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"
)

// The part of CycloneDX 1.5 that is written here.
type (
	bill struct {
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Serial       string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     billMetadata `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	billMetadata struct {
		Component component `json:"component"`
	}
	component struct {
		Type    string     `json:"type"`
		Ref     string     `json:"bom-ref"`
		Name    string     `json:"name"`
		Version string     `json:"version,omitempty"`
		PURL    string     `json:"purl,omitempty"`
		Hashes  []billHash `json:"hashes,omitempty"`
	}
	billHash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	dependency struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn,omitempty"`
	}
)

// billOfMaterials lists what is in a root file system: its programs with the Go
// modules they were built from, and the packages of Debian or Alpine. It has no
// time in it: the same image has the same bill.
func billOfMaterials(ctx context.Context, root *os.Root, service, digest string) ([]byte, error) {
	b := bill{
		Format: "CycloneDX", Spec: "1.5", Version: 1, Serial: serial(digest),
		Metadata: billMetadata{component{Type: "container", Ref: "image", Name: service, Version: digest}},
	}
	top := dependency{Ref: "image"}
	known := map[string]bool{}
	add := func(c component) {
		if !known[c.Ref] {
			known[c.Ref] = true
			b.Components = append(b.Components, c)
		}
	}
	for _, c := range packages(root) {
		add(c)
		top.On = append(top.On, c.Ref)
	}
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil || !d.Type().IsRegular() {
			return err
		}
		program, info, err := inspect(root, name)
		if err != nil || program == nil {
			return err
		}
		add(*program)
		top.On = append(top.On, program.Ref)
		uses := dependency{Ref: program.Ref}
		for _, m := range modules(info) {
			add(m)
			uses.On = append(uses.On, m.Ref)
		}
		b.Dependencies = append(b.Dependencies, uses)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(b.Components, func(x, y component) int { return cmp.Compare(x.Ref, y.Ref) })
	b.Dependencies = append([]dependency{top}, b.Dependencies...)
	for i, d := range b.Dependencies {
		slices.Sort(d.On)
		b.Dependencies[i].On = slices.Compact(d.On)
	}
	out, err := json.MarshalIndent(b, "", "  ")
	return append(out, '\n'), err
}

// serial is a UUID made from the image's digest.
func serial(digest string) string {
	sum := sha256.Sum256([]byte("godwit bill of materials " + digest))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	h := hex.EncodeToString(sum[:16])
	return "urn:uuid:" + strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// inspect gives a program of the image; nil when the file is none. Info is nil
// unless Go made it.
func inspect(root *os.Root, name string) (*component, *debug.BuildInfo, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	magic := make([]byte, len(elf.ELFMAG))
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != elf.ELFMAG {
		return nil, nil, nil
	}
	info, err := buildinfo.Read(f)
	if err != nil {
		info = nil // of another language, or stripped of it
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, nil, err
	}
	return &component{Type: "file", Ref: "file:/" + name, Name: "/" + name,
		Hashes: []billHash{{"SHA-256", hex.EncodeToString(sum.Sum(nil))}}}, info, nil
}

// modules that a Go program was built from, the language's library among them.
func modules(info *debug.BuildInfo) []component {
	if info == nil {
		return nil
	}
	all := []component{module("stdlib", strings.TrimPrefix(info.GoVersion, "go"))}
	if info.Main.Path != "" {
		all = append(all, module(info.Main.Path, info.Main.Version))
	}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		all = append(all, module(d.Path, d.Version))
	}
	return all
}

func module(path, version string) component {
	purl := "pkg:golang/" + escape(path)
	if version != "" {
		purl += "@" + escape(version)
	}
	return component{Type: "library", Ref: purl, Name: path, Version: version, PURL: purl}
}

// escape is percent-encoding as package URLs want it.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', bytes.IndexByte([]byte(".-_~/:"), c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return b.String()
}

// static says whether a program is of Go and has no C in it: then it makes no
// code while it runs.
func static(root *os.Root, program string) bool {
	f, err := root.Open(strings.TrimPrefix(program, "/"))
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := buildinfo.Read(f)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "CGO_ENABLED" && s.Value == "0" })
}
