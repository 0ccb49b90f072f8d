package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Import takes an image in and returns its digest, "sha256:…" of its manifest.
// path is an OCI layout directory, an archive (tar, tar.gz) of one, or what
// `docker save` writes. Of an image for several platforms the one of this
// machine is taken. Nothing is left behind when it fails.
func (s *Store) Import(ctx context.Context, path string) (digest string, err error) {
	err = s.work(ctx, func(tmp string) error {
		src, err := s.source(ctx, path, filepath.Join(tmp, "source"))
		if err != nil {
			return err
		}
		defer src.Close()
		digest, err = s.take(ctx, src, filepath.Join(tmp, "image"))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("import image %s: %w", path, err)
	}
	return digest, nil
}

// source gives path as a layout; an archive is unpacked into tmp for it.
func (s *Store) source(ctx context.Context, path, tmp string) (*layout, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if err := unpackArchive(ctx, path, tmp, s.limits); err != nil {
			return nil, err
		}
		path = tmp
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	if _, err := root.Stat("index.json"); err == nil {
		return &layout{root: root}, nil
	}
	defer root.Close()
	if _, err := root.Stat("manifest.json"); err != nil {
		return nil, fmt.Errorf("%w: neither index.json (OCI layout) nor manifest.json (docker save) in it", ErrUnusable)
	}
	return s.convertSaved(ctx, root, tmp+"-converted")
}

// take copies the image of this platform out of src into the store.
func (s *Store) take(ctx context.Context, src *layout, tmp string) (string, error) {
	desc, err := choose(src, s.limits)
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return "", err
	}
	dst, err := newLayout(tmp)
	if err != nil {
		return "", err
	}
	defer dst.Close()
	if err := copyImage(ctx, src, dst, desc, s.limits); err != nil {
		return "", err
	}
	return desc.Digest.String(), s.commit(tmp, "images", desc.Digest.Hex)
}

// copyImage copies a manifest and all it names, checking every byte.
func copyImage(ctx context.Context, src, dst *layout, desc v1.Descriptor, max limits) error {
	manifest, _, err := src.image(desc, max)
	if err != nil {
		return err
	}
	spent := &budget{limits: max}
	for _, d := range append([]v1.Descriptor{desc, manifest.Config}, manifest.Layers...) {
		r, err := src.blob(d)
		if err != nil {
			return err
		}
		_, err = dst.put(ctx, spent.reader(ctx, r), d.MediaType)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	desc.Platform, desc.Annotations = nil, nil
	return dst.finish(desc)
}

// image reads the manifest and the configuration of an image, and checks that
// they fit each other and can run.
func (l *layout) image(desc v1.Descriptor, max limits) (*v1.Manifest, *v1.ConfigFile, error) {
	var manifest v1.Manifest
	if err := l.decode(desc, &manifest, max); err != nil {
		return nil, nil, err
	}
	var config v1.ConfigFile
	if err := l.decode(manifest.Config, &config, max); err != nil {
		return nil, nil, err
	}
	switch {
	case len(manifest.Layers) != len(config.RootFS.DiffIDs):
		return nil, nil, fmt.Errorf("%w: %d layers but %d diff ids", ErrCorrupt, len(manifest.Layers), len(config.RootFS.DiffIDs))
	case config.OS != "linux" || config.Architecture != runtime.GOARCH:
		return nil, nil, fmt.Errorf("%w: it is for %s/%s, this machine needs linux/%s; build it for that platform",
			ErrUnusable, config.OS, config.Architecture, runtime.GOARCH)
	case len(config.Config.Entrypoint)+len(config.Config.Cmd) == 0:
		return nil, nil, fmt.Errorf("%w: it has neither entrypoint nor command", ErrUnusable)
	}
	if err := checkSettings(config.Config); err != nil {
		return nil, nil, err
	}
	return &manifest, &config, nil
}

func (l *layout) decode(desc v1.Descriptor, into any, max limits) error {
	b, err := l.metadata(desc, max.metadata)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%w: %s %s: %v", ErrCorrupt, desc.MediaType, desc.Digest, err)
	}
	return nil
}

// choose finds the one manifest of this platform.
func choose(l *layout, max limits) (v1.Descriptor, error) {
	f, err := openFile(l.root, "index.json")
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("index.json: %w", err)
	}
	defer f.Close()
	var index v1.IndexManifest
	if info, err := f.Stat(); err != nil || info.Size() > max.metadata {
		return v1.Descriptor{}, errors.Join(err, fmt.Errorf("%w: index.json", ErrTooLarge))
	}
	if err := json.NewDecoder(f).Decode(&index); err != nil {
		return v1.Descriptor{}, fmt.Errorf("%w: index.json: %v", ErrCorrupt, err)
	}
	all, err := l.manifests(index.Manifests, max, 0)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return pick(all)
}

// maxNesting bounds indexes that name indexes.
const maxNesting = 4

func (l *layout) manifests(descs []v1.Descriptor, max limits, depth int) ([]v1.Descriptor, error) {
	var found []v1.Descriptor
	for _, d := range descs {
		switch {
		case len(found) > 1000, depth > maxNesting:
			return nil, fmt.Errorf("%w: too many manifests or nested indexes", ErrTooLarge)
		case d.MediaType.IsIndex():
			var index v1.IndexManifest
			if err := l.decode(d, &index, max); err != nil {
				return nil, err
			}
			nested, err := l.manifests(index.Manifests, max, depth+1)
			if err != nil {
				return nil, err
			}
			found = append(found, nested...)
		case d.MediaType.IsImage() || d.MediaType == "":
			d.MediaType = orManifest(d.MediaType)
			found = append(found, d)
		}
	}
	return found, nil
}

func orManifest(m types.MediaType) types.MediaType {
	if m == "" {
		return types.OCIManifestSchema1
	}
	return m
}

// pick prefers manifests marked for this platform over those not marked at all.
func pick(all []v1.Descriptor) (v1.Descriptor, error) {
	var marked, unmarked []v1.Descriptor
	for _, d := range distinct(all) {
		switch {
		case d.Platform == nil:
			unmarked = append(unmarked, d)
		case d.Platform.OS == "linux" && d.Platform.Architecture == runtime.GOARCH:
			marked = append(marked, d)
		}
	}
	if len(marked) == 0 {
		marked = unmarked
	}
	switch len(marked) {
	case 1:
		return marked[0], nil
	case 0:
		return v1.Descriptor{}, fmt.Errorf("%w: no image for linux/%s in it", ErrUnusable, runtime.GOARCH)
	default:
		return v1.Descriptor{}, fmt.Errorf("%w: %d images for linux/%s in it; keep one", ErrUnusable, len(marked), runtime.GOARCH)
	}
}

func distinct(all []v1.Descriptor) []v1.Descriptor {
	seen := map[v1.Hash]bool{}
	var once []v1.Descriptor
	for _, d := range all {
		if !seen[d.Digest] {
			once = append(once, d)
		}
		seen[d.Digest] = true
	}
	return once
}
