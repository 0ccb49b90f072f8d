package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"godwit/internal/landscape"
)

const goarch = runtime.GOARCH

func shell(command string) landscape.Build {
	return landscape.Build{Command: []string{"sh", "-ec", command}, Entrypoint: []string{"/app"}}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	s, base := open(t), t.TempDir()
	if err := os.MkdirAll(filepath.Join(base, "till"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "till", "source"), []byte("program"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := shell(`echo building; cp source $OUT/app; chmod 4711 $OUT/app; mkdir -m 700 $OUT/etc; echo $CGO_ENABLED > $OUT/etc/cgo; ln -s ../app $OUT/etc/link; ls -A $OUT | grep -c . >&2`)
	b.Dir = "till"
	var log bytes.Buffer
	digest, err := s.Build(t.Context(), base, b, &log)
	if err != nil {
		t.Fatal(err)
	}
	if log.String() != "building\n2\n" {
		t.Errorf("log %q", &log)
	}
	image, err := s.Unpack(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	cgo := os.Getenv("CGO_ENABLED")
	if cgo == "" {
		cgo = "0"
	}
	if diff := cmp.Diff([]string{"app=program", "etc/", "etc/cgo=" + cgo + "\n", "etc/link->../app"}, contents(t, image.Rootfs)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/app"}, image.Entrypoint); diff != "" || image.WorkDir != "/" {
		t.Error(diff, image.WorkDir)
	}
	clean(t, s, 1)
	out := filepath.Join(t.TempDir(), "out")
	if err := s.Export(t.Context(), digest, out); err != nil {
		t.Fatal(err)
	}
	if again, err := open(t).Import(t.Context(), out); err != nil || again != digest {
		t.Errorf("%s comes back as %s (%v)", digest, again, err)
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		build landscape.Build
		want  error
		says  string
	}{
		"fails":          {shell("echo no >&2; exit 3"), ErrBuild, "exit status 3"},
		"no command":     {landscape.Build{Entrypoint: []string{"/app"}}, ErrBuild, "no command"},
		"no program":     {landscape.Build{Command: []string{"no-such-program"}, Entrypoint: []string{"/app"}}, ErrBuild, "no-such-program"},
		"empty":          {shell("true"), ErrBuild, "must put it there"},
		"not executable": {shell("touch $OUT/app"), ErrBuild, "executable"},
		"entry outside":  {shell("ln -s /bin/sh $OUT/app"), ErrBuild, "executable"},
		"folder":         {shell("mkdir $OUT/app"), ErrBuild, "executable"},
		"pipe":           {shell("cp /bin/true $OUT/app; mkfifo $OUT/p"), ErrUnsafe, "pipe"},
		"no entrypoint":  {landscape.Build{Command: []string{"true"}}, ErrBuild, "no entrypoint"},
		"relative":       {landscape.Build{Command: []string{"true"}, Entrypoint: []string{"app"}}, ErrBuild, "not absolute"},
		"too large":      {shell("cp /bin/true $OUT/app; truncate -s 3M $OUT/large"), ErrTooLarge, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			s.limits.bytes = 2 << 20
			digest, err := s.Build(t.Context(), t.TempDir(), c.build, io.Discard)
			if !errors.Is(err, c.want) || digest != "" || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q, %v; want %v with %q", digest, err, c.want, c.says)
			}
			clean(t, s, 0)
		})
	}
}

// TestBuildCancelled: the command ends, and so do the programs it started.
func TestBuildCancelled(t *testing.T) {
	t.Parallel()
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	go func() {
		// The child of the shell says that it runs.
		_, _ = r.Read(make([]byte, 1))
		cancel()
		_, _ = io.Copy(io.Discard, r)
	}()
	began := time.Now()
	_, err := s.Build(ctx, t.TempDir(), shell("sh -c 'echo up; sleep 600'; true"), w)
	w.Close()
	if !errors.Is(err, context.Canceled) || time.Since(began) > time.Minute {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	clean(t, s, 0)
}

// TestBuildReproducible: the order, times, owners and permissions with which
// files are left do not matter; names, contents, executable bits and links do.
func TestBuildReproducible(t *testing.T) {
	t.Parallel()
	s := open(t)
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-c]{1,2}(/[a-z]{1,3}){0,2}`)
		files := rapid.MapOfN(name, rapid.String(), 1, 6).Draw(t, "files")
		// A name that is a directory of another can't be a file too.
		for a := range files {
			for b := range files {
				if strings.HasPrefix(b, a+"/") {
					delete(files, a)
				}
			}
		}
		runs := rapid.SampledFrom([]string{"", "x"}).Draw(t, "mode of one")
		var digests []string
		for i := range 3 {
			out, err := os.MkdirTemp(base, "")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(out)
			leave(t, out, files, i, runs)
			tmp := filepath.Join(out, "..", filepath.Base(out)+"-image")
			if err := os.Mkdir(tmp, 0o755); err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(tmp)
			digest, err := s.assemble(context.Background(), out, tmp, []string{"/zz"})
			if err != nil {
				t.Fatal(err)
			}
			digests = append(digests, digest)
		}
		if digests[0] != digests[1] {
			t.Fatalf("the same files gave %s and %s", digests[0], digests[1])
		}
		if digests[0] == digests[2] {
			t.Fatalf("other contents gave the same %s", digests[0])
		}
	})
}

// leave writes files, in another order and with other times each round; the
// third round changes one byte.
func leave(t *rapid.T, out string, files map[string]string, round int, runs string) {
	all := map[string]string{"zz": "program"}
	for name, content := range files {
		all[name] = content
	}
	if round == 2 {
		all["zz"] += "."
	}
	for name, content := range all { // Go's maps have another order each time
		path := filepath.Join(out, name)
		dirMode, mode := []os.FileMode{0o755, 0o700, 0o755}[round], []os.FileMode{0o644, 0o600, 0o664}[round]
		if name == "zz" || runs != "" {
			mode |= []os.FileMode{0o111, 0o100, 0o010}[round]
		}
		when := time.Unix(int64(1_000_000*(round+1)), 0)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), dirMode), os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode), os.Chtimes(path, when, when))
		if err != nil {
			t.Fatal(err)
		}
	}
}
