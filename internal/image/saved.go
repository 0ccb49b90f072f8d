package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// saved is one entry of the manifest.json that `docker save` writes.
type saved struct {
	Config string
	Layers []string
}

// convertSaved makes an OCI layout in dir from an unpacked `docker save`.
func (s *Store) convertSaved(ctx context.Context, root *os.Root, dir string) (*layout, error) {
	config, layers, err := readSaved(root, s.limits)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	l, err := newLayout(dir)
	if err != nil {
		return nil, err
	}
	if err := l.putSaved(ctx, root, config, layers); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func readSaved(root *os.Root, max limits) (config string, layers []string, err error) {
	f, err := openFile(root, "manifest.json")
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	var images []saved
	if err := json.NewDecoder(io.LimitReader(f, max.metadata)).Decode(&images); err != nil {
		return "", nil, fmt.Errorf("%w: manifest.json: %v", ErrCorrupt, err)
	}
	if len(images) != 1 {
		return "", nil, fmt.Errorf("%w: %d images in it; save one alone", ErrUnusable, len(images))
	}
	return images[0].Config, images[0].Layers, nil
}

func (l *layout) putSaved(ctx context.Context, root *os.Root, config string, layers []string) error {
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	var err error
	if manifest.Config, err = l.putFile(ctx, root, config, types.OCIConfigJSON); err != nil {
		return err
	}
	for _, name := range layers {
		d, err := l.putFile(ctx, root, name, types.OCIUncompressedLayer)
		if err != nil {
			return err
		}
		manifest.Layers = append(manifest.Layers, d)
	}
	desc, err := l.putJSON(ctx, manifest, types.OCIManifestSchema1)
	if err != nil {
		return err
	}
	return l.finish(desc)
}

func (l *layout) putFile(ctx context.Context, root *os.Root, name string, media types.MediaType) (v1.Descriptor, error) {
	clean, err := cleanName(name)
	if err != nil {
		return v1.Descriptor{}, err
	}
	f, err := openFile(root, clean)
	if errors.Is(err, os.ErrNotExist) {
		return v1.Descriptor{}, fmt.Errorf("%w: %s is missing", ErrCorrupt, name)
	}
	if err != nil {
		return v1.Descriptor{}, unsafeEscape(name, err)
	}
	defer f.Close()
	return l.put(ctx, f, media)
}
