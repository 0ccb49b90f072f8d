package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layout is an OCI layout directory. All access goes through root, so that no
// link in it leads elsewhere.
type layout struct{ root *os.Root }

const layoutVersion = `{"imageLayoutVersion":"1.0.0"}`

func (l *layout) Close() error { return l.root.Close() }

// newLayout makes an empty layout in an existing directory.
func newLayout(dir string) (*layout, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	err = errors.Join(root.MkdirAll("blobs/sha256", 0o755), root.WriteFile("oci-layout", []byte(layoutVersion), 0o644))
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &layout{root: root}, nil
}

func blobPath(h v1.Hash) string { return path.Join("blobs", h.Algorithm, h.Hex) }

// openFile opens a regular file and nothing else: a pipe would block for ever.
func openFile(root *os.Root, name string) (*os.File, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no regular file", ErrUnsafe, name)
	}
	return root.Open(name)
}

// blob opens a blob; reading it to its end fails unless it has the size and
// digest that the descriptor says.
func (l *layout) blob(desc v1.Descriptor) (io.ReadCloser, error) {
	if desc.Digest.Algorithm != "sha256" || len(desc.Digest.Hex) != 64 {
		return nil, fmt.Errorf("%w: digest %q is not sha256", ErrCorrupt, desc.Digest)
	}
	f, err := openFile(l.root, blobPath(desc.Digest))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: blob %s is missing", ErrCorrupt, desc.Digest)
	}
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	return &verified{file: f, desc: desc, sum: sha256.New()}, nil
}

// metadata reads a manifest, an index or a configuration whole.
func (l *layout) metadata(desc v1.Descriptor, max int64) ([]byte, error) {
	if desc.Size > max {
		return nil, fmt.Errorf("%w: %s of %d bytes", ErrTooLarge, desc.MediaType, desc.Size)
	}
	r, err := l.blob(desc)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// layer opens a layer's tar stream, decompressed; it is checked like blob once
// the compressed bytes are read to their end.
func (l *layout) layer(desc v1.Descriptor) (io.ReadCloser, error) {
	layer, err := partial.CompressedToLayer(compressed{l, desc})
	if err != nil {
		return nil, err
	}
	return layer.Uncompressed()
}

type compressed struct {
	layout *layout
	desc   v1.Descriptor
}

func (c compressed) Digest() (v1.Hash, error)            { return c.desc.Digest, nil }
func (c compressed) Compressed() (io.ReadCloser, error)  { return c.layout.blob(c.desc) }
func (c compressed) Size() (int64, error)                { return c.desc.Size, nil }
func (c compressed) MediaType() (types.MediaType, error) { return c.desc.MediaType, nil }

// verified is a blob being read.
type verified struct {
	file *os.File
	desc v1.Descriptor
	sum  hash.Hash
	n    int64
}

func (v *verified) Close() error { return v.file.Close() }

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.file.Read(p)
	v.n += int64(n)
	v.sum.Write(p[:n])
	if v.n > v.desc.Size {
		return 0, fmt.Errorf("%w: blob %s is longer than its %d bytes", ErrCorrupt, v.desc.Digest, v.desc.Size)
	}
	if err != io.EOF {
		return n, err
	}
	if v.n < v.desc.Size {
		return n, fmt.Errorf("%w: blob %s is cut off: %d of %d bytes", ErrCorrupt, v.desc.Digest, v.n, v.desc.Size)
	}
	if got := hex.EncodeToString(v.sum.Sum(nil)); got != v.desc.Digest.Hex {
		return n, fmt.Errorf("%w: blob %s has digest sha256:%s", ErrCorrupt, v.desc.Digest, got)
	}
	return n, io.EOF
}

// put writes a blob while reading it and returns its descriptor.
func (l *layout) put(ctx context.Context, r io.Reader, media types.MediaType) (v1.Descriptor, error) {
	f, err := l.root.OpenFile("blobs/partial", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return v1.Descriptor{}, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), &untilDone{ctx, r})
	if err := errors.Join(err, f.Close()); err != nil {
		return v1.Descriptor{}, err
	}
	hash := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
	return v1.Descriptor{MediaType: media, Size: n, Digest: hash}, l.root.Rename("blobs/partial", blobPath(hash))
}

// putJSON writes a manifest or a configuration.
func (l *layout) putJSON(ctx context.Context, value any, media types.MediaType) (v1.Descriptor, error) {
	b, err := json.Marshal(value)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return l.put(ctx, bytes.NewReader(b), media)
}

// finish writes the index, which makes the layout valid.
func (l *layout) finish(manifest v1.Descriptor) error {
	index, err := json.Marshal(v1.IndexManifest{
		SchemaVersion: 2,
		MediaType:     types.OCIImageIndex,
		Manifests:     []v1.Descriptor{manifest},
	})
	if err != nil {
		return err
	}
	return l.root.WriteFile("index.json", index, 0o644)
}

// untilDone is a reader that ends with the context.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
