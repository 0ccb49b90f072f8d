package packer

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"godwit/internal/site/aws/convention"
)

//go:embed bake.pkr.hcl.tmpl
var bakeTemplate string

//go:embed godwit-service.service.tmpl
var unitTemplate string

//go:embed plugins.pkr.hcl
var plugins []byte

//go:embed machine
var machine embed.FS

// Names of rendered files.
const (
	templateFile  = "bake.pkr.hcl"
	pluginsFile   = "plugins.pkr.hcl" // for Packer from 1.7 on
	provisionFile = "provision.sh"
	uploadDir     = "/var/tmp/godwit"
	smallestGiB   = 8 // what Amazon Linux 2023 needs, and room for a small image and the journal
)

// Render is the Packer template of a bake with all that it puts on the machine,
// by path. It is pure. The archive of the root file system, which Read writes,
// belongs beside them.
func Render(b Bake, c Contents) (map[string][]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	if _, known := architectures()[c.Architecture]; !known {
		return nil, fmt.Errorf("%w: EC2 has no machines of architecture %q: build the image for amd64 or arm64", ErrInvalid, c.Architecture)
	}
	if len(c.Entrypoint) == 0 || !path.IsAbs(c.Entrypoint[0]) {
		return nil, fmt.Errorf("%w: the image's entrypoint %q does not begin with an absolute path", ErrInvalid, c.Entrypoint)
	}
	files, err := machineFiles(b, c)
	if err != nil {
		return nil, err
	}
	if files[templateFile], err = renderTemplate(b, c); err != nil {
		return nil, err
	}
	files[pluginsFile] = plugins
	return files, nil
}

// machineFiles are what is put on the machine, below files/, and the script that does it.
func machineFiles(b Bake, c Contents) (map[string][]byte, error) {
	files := map[string][]byte{}
	places := map[string]string{
		"bin/": "opt/godwit/bin/", "lib/": "opt/godwit/lib/", "units/": "etc/systemd/system/",
		"etc/firewall.nft": "opt/godwit/firewall.nft", "etc/logrotate.conf": "opt/godwit/logrotate.conf",
		"etc/sysusers.conf": "etc/sysusers.d/godwit.conf", "etc/sysctl.conf": "etc/sysctl.d/90-godwit.conf",
		"etc/journald.conf": "etc/systemd/journald.conf.d/godwit.conf", "etc/coredump.conf": "etc/systemd/coredump.conf.d/godwit.conf",
		"etc/limits.conf": "etc/security/limits.d/90-godwit.conf", "etc/cloud.cfg": "etc/cloud/cloud.cfg.d/99-godwit.cfg",
	}
	err := fs.WalkDir(machine, "machine", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := machine.ReadFile(name)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "machine/")
		dir, base := path.Split(name)
		switch to, whole := places[name]; {
		case name == provisionFile:
			files[provisionFile] = content
		case whole:
			files["files/"+to] = content
		case places[dir] != "":
			files["files/"+places[dir]+base] = content
		default:
			return fmt.Errorf("%s has no place on the machine", name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if files["files/etc/systemd/system/godwit-service.service"], err = renderUnit(b, c); err != nil {
		return nil, err
	}
	files["files/opt/godwit/sbom.json"] = c.SBOM
	files["files/opt/godwit/image.json"], err = json.MarshalIndent(struct {
		Landscape string `json:"landscape"`
		Service   string `json:"service"`
		Digest    string `json:"digest"`
	}{b.Landscape, b.Service, b.Digest}, "", "  ")
	return files, err
}

// hclString writes a string as HCL does, so that nothing in it is an expression.
func hclString(s string) string { return string(hclwrite.TokensForValue(cty.StringVal(s)).Bytes()) }

func renderTemplate(b Bake, c Contents) ([]byte, error) {
	t, err := template.New("bake").Funcs(template.FuncMap{"q": hclString}).Parse(bakeTemplate)
	if err != nil {
		return nil, err
	}
	arch := architectures()[c.Architecture]
	var from []string
	for _, p := range b.From {
		from = append(from, p.Masked().String())
	}
	instance := b.Instance
	if instance == "" {
		instance = arch.builder
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Bake": b, "Base": b.base(), "From": from, "Instance": instance, "Architecture": arch.name,
		"Tag": map[string]string{"Landscape": convention.TagLandscape, "Service": convention.TagService, "Image": convention.TagImage,
			"Commit": convention.TagCommit, "SBOM": convention.TagSBOM, "Recipe": convention.TagRecipe, "Reads": convention.TagReads,
			"BakedAt": convention.TagBakedAt, "Bake": convention.TagBake, "Base": convention.TagBase},
		"Reads": strconv.Itoa(convention.UserDataVersion),
		"Name":  b.Landscape + "-" + b.Service, "BuilderName": "bake of " + b.Landscape + "-" + b.Service,
		"Prefix":      b.Landscape + "-" + b.Service + "-" + b.Digest[len("sha256:"):][:12],
		"Description": "service " + b.Service + " of landscape " + b.Landscape,
		"Commit":      orUnknown(b.Commit), "SBOM": digest(c.SBOM), "Volume": smallestGiB + 2*(c.Size>>30), "Rootfs": c.Rootfs,
		"Upload": uploadDir, "RootfsFile": rootfsFile, "Provisioned": b.provisioned(),
	})
	if err != nil {
		return nil, err
	}
	return hclwrite.Format(out.Bytes()), nil
}

// provisioned says whether there is a machine to put something on.
func (b Bake) provisioned() bool { return b.Emulator == nil || b.Emulator.Shell.IsValid() }

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// recipe is the digest of what ends up in a machine image, whatever the time and
// however its builder is reached: two bakes of one recipe need not both be done.
func recipe(b Bake, c Contents, files map[string][]byte) string {
	sum := sha256.New()
	key := b.Key
	base := b.base()
	fmt.Fprintf(sum, "%s\n%s\n%s\n%s\n%s\n%s\n", b.Digest, c.Rootfs, c.Architecture, base.ID, base.Name+" "+base.Owner, key)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name != templateFile && name != pluginsFile {
			fmt.Fprintf(sum, "%s %s\n", name, digest(files[name]))
		}
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}
