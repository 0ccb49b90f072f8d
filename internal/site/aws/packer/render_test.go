//go:build linux

package packer

import (
	"bytes"
	"errors"
	"flag"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"godwit/internal/site/aws/awstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func contents() Contents {
	return Contents{Architecture: "arm64", Entrypoint: []string{"/bin/till", "--greeting", "100% \"fresh\" $PRICE", "a\\b\nc"}, WorkDir: "/srv/till",
		Env: []string{"LANG=C.UTF-8", "PATH=/bin"}, Rootfs: strings.Repeat("ab", 32), Static: true, SBOM: []byte("{}\n")}
}

func plain() Bake {
	return Bake{Landscape: "bistro", Service: "till", Digest: baked, Commit: "0123abc", Region: "eu-central-1"}
}

// variants are the ways of a bake, each with what makes it one.
func variants() map[string]Bake {
	from, group, session, own, emulated := plain(), plain(), plain(), plain(), plain()
	from.From = []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32"), netip.MustParsePrefix("198.51.100.0/24")}
	group.SecurityGroup, group.Subnet, group.Profile, group.Key, group.Instance = "sg-0123456789abcdef0", "subnet-0123456789abcdef0", "builder", "alias/bistro", "m7g.large"
	session.Session = true
	own.Session, own.Profile, own.Base = true, "builder", Base{ID: "ami-0123456789abcdef0"}
	emulated.Emulator = &Emulator{Endpoint: "http://127.0.0.1:5000", Shell: netip.MustParseAddrPort("127.0.0.1:2222")}
	return map[string]Bake{"from": from, "group": group, "session": session, "own-base": own, "emulated": emulated}
}

// TestRenderGolden: one variant whole, of the others the template.
func TestRenderGolden(t *testing.T) {
	t.Parallel()
	for name, bake := range variants() {
		files, err := Render(bake, contents())
		if err != nil {
			t.Fatal(err)
		}
		var got txtar.Archive
		for _, file := range slices.Sorted(maps.Keys(files)) {
			if name == "from" && !strings.HasPrefix(file, "files/opt/godwit/bin/") && !strings.HasPrefix(file, "files/opt/godwit/lib/") || file == templateFile {
				got.Files = append(got.Files, txtar.File{Name: file, Data: files[file]})
			}
		}
		golden := filepath.Join("testdata", "render", name+".txtar")
		if *update {
			if err := errors.Join(os.MkdirAll(filepath.Dir(golden), 0o755), os.WriteFile(golden, txtar.Format(&got), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(txtar.Format(&got), want) {
			t.Errorf("%s is not as in %s; run with -update and look at the difference", name, golden)
		}
	}
}

// TestRenderIsPacker: Packer accepts every variant, in the form that it would
// write itself. It is not let near any network.
func TestRenderIsPacker(t *testing.T) {
	t.Parallel()
	packer := awstest.Tool(t, "packer")
	for name, bake := range variants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			j := job{bake: bake, dir: dir, id: "0123", recipe: "sha256:0"}
			files, err := Render(bake, contents())
			if err := errors.Join(err, j.writeFiles(files), j.writeVariables(), j.write(rootfsFile, nil)); err != nil {
				t.Fatal(err)
			}
			for _, words := range [][]string{{"fmt", "-check", "-diff", templateFile}, {"validate", "."}} {
				cmd := exec.CommandContext(t.Context(), packer, words...)
				cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "CHECKPOINT_DISABLE=1", "AWS_EC2_METADATA_DISABLED=true",
					"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "HTTPS_PROXY=http://127.0.0.1:1", "HTTP_PROXY=http://127.0.0.1:1"}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("packer %s: %v: %s", words, err, out)
				}
			}
		})
	}
}

// TestRecipe: what does not end up in the image does not make another one of it.
func TestRecipe(t *testing.T) {
	t.Parallel()
	of := func(change func(*Bake, *Contents)) string {
		b, c := variants()["from"], contents()
		change(&b, &c)
		files, err := Render(b, c)
		if err != nil {
			t.Fatal(err)
		}
		return recipe(b, c, files)
	}
	first := of(func(*Bake, *Contents) {})
	for name, change := range map[string]func(*Bake, *Contents){
		"another way in":  func(b *Bake, _ *Contents) { b.From, b.Session = nil, true },
		"another builder": func(b *Bake, _ *Contents) { b.Instance = "m7g.large" },
		"another commit":  func(b *Bake, _ *Contents) { b.Commit = "fff" },
	} {
		if of(change) != first {
			t.Errorf("%s makes another image", name)
		}
	}
	for name, change := range map[string]func(*Bake, *Contents){
		"another base":    func(b *Bake, _ *Contents) { b.Base = Base{ID: "ami-0123456789abcdef0"} },
		"another key":     func(b *Bake, _ *Contents) { b.Key = "alias/x" },
		"another program": func(_ *Bake, c *Contents) { c.Entrypoint = []string{"/bin/x"} },
		"another content": func(_ *Bake, c *Contents) { c.Rootfs = strings.Repeat("cd", 32) },
	} {
		if of(change) == first {
			t.Errorf("%s makes no other image", name)
		}
	}
}

// TestCheck: what Packer would take for an expression, or open to everybody, is refused.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Bake){
		"landscape":           func(b *Bake) { b.Landscape = "Bistro" },
		"long":                func(b *Bake) { b.Landscape, b.Service = strings.Repeat("a", 50), strings.Repeat("b", 50) },
		"service":             func(b *Bake) { b.Service = "a/b" },
		"digest":              func(b *Bake) { b.Digest = "latest" },
		"commit":              func(b *Bake) { b.Commit = "{{ env `HOME` }}" },
		"commit with a quote": func(b *Bake) { b.Commit = "a\"b" },
		"region":              func(b *Bake) { b.Region = "Frankfurt" },
		"instance":            func(b *Bake) { b.Instance = "big" },
		"subnet":              func(b *Bake) { b.Subnet = "mine" },
		"profile":             func(b *Bake) { b.Profile = "${x}" },
		"key":                 func(b *Bake) { b.Key = "{{x}}" },
		"base":                func(b *Bake) { b.Base.ID = "al2023" },
		"base twice":          func(b *Bake) { b.Base = Base{ID: "ami-0123456789abcdef0", Name: "x", Owner: "self"} },
		"base of anybody":     func(b *Bake) { b.Base = Base{Name: "al2023-*"} },
		"from everywhere":     func(b *Bake) { b.From = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} },
		"from IPv6":           func(b *Bake) { b.From = []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")} },
		"no way":              func(b *Bake) { b.From = nil },
		"two ways":            func(b *Bake) { b.Session = true },
		"emulator elsewhere": func(b *Bake) {
			b.From, b.Emulator = nil, &Emulator{Endpoint: "http://127.0.0.1:1", Shell: netip.MustParseAddrPort("203.0.113.7:22")}
		},
	} {
		b := variants()["from"]
		change(&b)
		if _, err := Render(b, contents()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Contents){
		"architecture":        func(c *Contents) { c.Architecture = "riscv64" },
		"relative entrypoint": func(c *Contents) { c.Entrypoint = []string{"till"} },
		"NUL":                 func(c *Contents) { c.Entrypoint = []string{"/till", "\x00"} },
		"quote in program":    func(c *Contents) { c.Entrypoint = []string{`/bin/"till`} },
		"line in work dir":    func(c *Contents) { c.WorkDir = "/srv\nExecStartPre=+/bin/sh -c id" },
		"return in work dir":  func(c *Contents) { c.WorkDir = "/srv\rExecStartPre=+/bin/sh -c id" },
		"work dir goes on":    func(c *Contents) { c.WorkDir = `/srv\` },
		"escape in variable":  func(c *Contents) { c.Env = []string{"A=\x1b[2J"} },
		"name of variable":    func(c *Contents) { c.Env = []string{"A\nUser=root"} },
	} {
		c := contents()
		change(&c)
		if _, err := Render(variants()["from"], c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
