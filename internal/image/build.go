package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"godwit/internal/landscape"
)

// killWait is how long a cancelled build command's output is waited for.
const killWait = 5 * time.Second

// Build makes an image: b.Command runs in baseDir/b.Dir with OUT naming an empty
// directory, and what it leaves there becomes the only layer. CGO_ENABLED is 0
// unless the caller's environment sets it. Output of the command goes to log.
// The digest depends on nothing but names, contents, executable bits and links
// in OUT, on b.Entrypoint and on this machine's architecture.
func (s *Store) Build(ctx context.Context, baseDir string, b landscape.Build, log io.Writer) (digest string, err error) {
	err = s.work(ctx, func(tmp string) error {
		out := filepath.Join(tmp, "out")
		if err := errors.Join(os.Mkdir(out, 0o755), os.Mkdir(filepath.Join(tmp, "image"), 0o755)); err != nil {
			return err
		}
		if err := runBuild(ctx, filepath.Join(baseDir, b.Dir), b.Command, out, log); err != nil {
			return err
		}
		digest, err = s.assemble(ctx, out, filepath.Join(tmp, "image"), b.Entrypoint)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("build image in %s: %w", filepath.Join(baseDir, b.Dir), err)
	}
	return digest, nil
}

func runBuild(ctx context.Context, dir string, command []string, out string, log io.Writer) error {
	if len(command) == 0 {
		return fmt.Errorf("%w: no command; say in the build block how it is built", ErrBuild)
	}
	args := make([]string, len(command)) // no shell is involved, so that $OUT is put in here
	for i, a := range command {
		args[i] = strings.ReplaceAll(a, "$OUT", out)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append([]string{"CGO_ENABLED=0"}, append(os.Environ(), "OUT="+out)...)
	// A group of its own, so that a cancelled build ends with all its compilers.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killWait
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %s: %w", ErrBuild, strings.Join(command, " "), err)
	}
	return nil
}

// assemble makes an image of one layer from a directory and puts it into the store.
func (s *Store) assemble(ctx context.Context, out, tmp string, entrypoint []string) (string, error) {
	if err := checkEntrypoint(out, entrypoint); err != nil {
		return "", err
	}
	l, err := newLayout(tmp)
	if err != nil {
		return "", err
	}
	defer l.Close()
	layer, err := l.putTree(ctx, out, s.limits)
	if err != nil {
		return "", err
	}
	settings := v1.Config{Entrypoint: entrypoint, WorkingDir: "/", Labels: map[string]string{"godwit.image": "build"}}
	if err := checkSettings(settings); err != nil {
		return "", err
	}
	config, err := l.putJSON(ctx, v1.ConfigFile{
		Architecture: runtime.GOARCH,
		OS:           "linux",
		RootFS:       v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{layer.Digest}},
		Config:       settings,
	}, types.OCIConfigJSON)
	if err != nil {
		return "", err
	}
	manifest, err := l.putJSON(ctx, v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		Config:        config,
		Layers:        []v1.Descriptor{layer},
	}, types.OCIManifestSchema1)
	if err != nil {
		return "", err
	}
	if err := l.finish(manifest); err != nil {
		return "", err
	}
	return manifest.Digest.String(), s.commit(tmp, "images", manifest.Digest.Hex)
}

// checkEntrypoint finds the commonest mistake while its author is still there.
func checkEntrypoint(out string, entrypoint []string) error {
	if len(entrypoint) == 0 {
		return fmt.Errorf("%w: no entrypoint; name the program in the build block", ErrBuild)
	}
	if !filepath.IsAbs(entrypoint[0]) {
		return fmt.Errorf("%w: entrypoint %q is not absolute", ErrBuild, entrypoint[0])
	}
	root, err := os.OpenRoot(out)
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Stat(filepath.Clean(entrypoint[0])[1:])
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%w: entrypoint %s is no executable file in $OUT; the command must put it there", ErrBuild, entrypoint[0])
	}
	return nil
}
