package image

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"godwit/internal/landscape"
)

// withSettings is the directory of an image whose settings were changed.
func withSettings(t *testing.T, change func(*v1.Config)) string {
	t.Helper()
	l, layer := blobs{}, tarOf(t, file("app", "v1"))
	config := configOf(runtime.GOARCH, layer)
	change(&config.Config)
	l.index(t, l.json(t, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: l.json(t, config, types.OCIConfigJSON),
		Layers: []v1.Descriptor{l.put(layer, types.OCIUncompressedLayer)}}, types.OCIManifestSchema1))
	return l.dir(t)
}

// TestSettingsRefused: what controls something is refused, with the image, the
// field and the character named.
func TestSettingsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*v1.Config)
		says   []string
	}{
		"WorkingDir":   {func(c *v1.Config) { c.WorkingDir = "/srv\nExecStartPre=+/bin/sh -c id" }, []string{"WorkingDir", "U+000A at 4"}},
		"Entrypoint":   {func(c *v1.Config) { c.Entrypoint = []string{"/app\x1b[2J"} }, []string{"Entrypoint[0]", "U+001B"}},
		"Cmd":          {func(c *v1.Config) { c.Cmd = []string{"serve", "a\rb"} }, []string{"Cmd[1]", "U+000D"}},
		"Env":          {func(c *v1.Config) { c.Env = []string{"A=b", "B=c\nUser=root"} }, []string{"Env[1]", "U+000A"}},
		"User":         {func(c *v1.Config) { c.User = "godwit\nUser=root" }, []string{"User", "U+000A"}},
		"StopSignal":   {func(c *v1.Config) { c.StopSignal = "TERM\t" }, []string{"StopSignal", "U+0009"}},
		"label":        {func(c *v1.Config) { c.Labels = map[string]string{"title": "a\u009b31m"} }, []string{`label "title"`, "U+009B"}},
		"label's name": {func(c *v1.Config) { c.Labels = map[string]string{"a\nb": "c"} }, []string{"label", "U+000A"}},
		"port":         {func(c *v1.Config) { c.ExposedPorts = map[string]struct{}{"80\n": {}} }, []string{"ports", "U+000A"}},
		"all at once": {func(c *v1.Config) { c.WorkingDir, c.User, c.Cmd = "/\x00", "\x7f", []string{"\a"} },
			[]string{"WorkingDir", "User", "Cmd[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dir := open(t), withSettings(t, c.change)
			_, err := s.Import(t.Context(), dir)
			if !errors.Is(err, ErrUnsafe) {
				t.Fatalf("imported: %v", err)
			}
			for _, says := range append(c.says, dir) {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
			if strings.ContainsAny(strings.ReplaceAll(err.Error(), "\n", ""), "\x00\x1b\x7f\a\r\u009b") {
				t.Errorf("the message itself controls something: %q", err)
			}
			clean(t, s, 0)
		})
	}
}

// TestSettingsTaken: what official images have is no attack.
func TestSettingsTaken(t *testing.T) {
	t.Parallel()
	s := open(t)
	if _, err := s.Import(t.Context(), withSettings(t, func(c *v1.Config) {
		c.Env = []string{"PHPIZE_DEPS=autoconf \t\tdpkg-dev", "LANG=ä"}
		c.Labels = map[string]string{"description": "one line\n\tand another"}
	})); err != nil {
		t.Error(err)
	}
}

// TestSettingsOfOldImage: an image that came in before they were looked at does not run either.
func TestSettingsOfOldImage(t *testing.T) {
	t.Parallel()
	s := open(t)
	dir := withSettings(t, func(c *v1.Config) { c.WorkingDir = "/srv\nExecStartPre=+/bin/sh -c id" })
	index, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(index), `"digest":"`)
	digest, _, _ := strings.Cut(rest, `"`)
	if err := os.CopyFS(filepath.Join(s.dir, "images", strings.TrimPrefix(digest, "sha256:")), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Unpack(t.Context(), digest); !errors.Is(err, ErrUnsafe) {
		t.Errorf("unpacked: %v", err)
	}
}

// TestSettingsBuilt: nor does the own landscape put them into an image.
func TestSettingsBuilt(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, err := s.Build(t.Context(), t.TempDir(), landscape.Build{Dir: ".", Command: []string{"sh", "-c", "touch $OUT/x && chmod +x $OUT/x"},
		Entrypoint: []string{"/x", "a\nb"}}, io.Discard)
	if !errors.Is(err, ErrUnsafe) {
		t.Errorf("built: %v", err)
	}
}
