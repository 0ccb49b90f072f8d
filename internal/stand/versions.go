package stand

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"godwit/internal/image"
	"godwit/internal/landscape"
)

// BuildPrograms compiles version 1 of every service, as the data centre runs it.
func BuildPrograms(ctx context.Context, bistro, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	args := []string{"build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w -X main.version=1", "-o", dir + string(filepath.Separator)}
	for _, s := range services {
		args = append(args, "./"+s.name)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = bistro, &output, &output
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compile the restaurant's services: %w\n%s", err, output.Bytes())
	}
	return nil
}

// BuildVersions makes images of the later versions of till, as OCI layouts by
// version: 2 changes something visible, 3 is broken.
func BuildVersions(ctx context.Context, bistro, dir string) (map[string]string, error) {
	store, err := image.Open(filepath.Join(dir, "store"))
	if err != nil {
		return nil, err
	}
	layouts := map[string]string{}
	for _, version := range []string{"2", "3"} {
		var log bytes.Buffer
		digest, err := store.Build(ctx, bistro, landscape.Build{
			Dir:        ".",
			Command:    []string{"sh", "-c", "go build -buildvcs=false -trimpath -ldflags '-s -w -X main.version=" + version + "' -o \"$OUT/till\" ./till"},
			Entrypoint: []string{"/till"},
		}, &log)
		if err != nil {
			return nil, fmt.Errorf("version %s of till: %w\n%s", version, err, log.Bytes())
		}
		layouts[version] = filepath.Join(dir, "till-v"+version)
		if err := store.Export(ctx, digest, layouts[version]); err != nil {
			return nil, err
		}
	}
	return layouts, nil
}
