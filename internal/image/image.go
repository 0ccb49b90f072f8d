// Package image is a content-addressed store of OCI images, the same for every site.
//
// Its nouns: a Store keeps every image as an OCI layout of its own, named by the
// digest of its manifest; Import and Build put images in, Export copies one out,
// Unpack makes the root file system that instances run from.
//
// It guarantees: a digest always means the same bytes, and all bytes are checked
// against their digests on the way in and again when unpacked; an image or a root
// file system is there whole or not at all; the same build output gives the same
// digest; nothing that an image contains reaches outside its root file system,
// becomes a device or keeps a setuid bit. Several processes may share one store.
// A symbolic link inside a root file system may still be absolute: whoever opens
// paths below Rootfs from outside must resolve them inside it (openat2 with
// RESOLVE_IN_ROOT, or os.Root).
//
// Sites, the engine and whoever makes machine images may import it.
package image

import (
	"errors"
)

// What an error of this package means.
var (
	// ErrNotFound: no image of that digest is in the store.
	ErrNotFound = errors.New("image not found")
	// ErrUnsafe: an archive or a layer contains something that is never unpacked:
	// paths and links that lead out, devices, pipes.
	ErrUnsafe = errors.New("unsafe content")
	// ErrCorrupt: bytes are missing, cut off or do not match their digest.
	ErrCorrupt = errors.New("corrupt image")
	// ErrTooLarge: a limit on bytes or files was passed.
	ErrTooLarge = errors.New("image too large")
	// ErrUnusable: it is an image, but it can't run here: another platform, no
	// entrypoint, more than one to choose from.
	ErrUnusable = errors.New("unusable image")
	// ErrBuild: the build command failed, or left no usable root file system.
	ErrBuild = errors.New("build failed")
)

// Image is an unpacked image, ready to run.
type Image struct {
	Digest     string   // "sha256:…" of the manifest
	Rootfs     string   // absolute directory; world-readable, never written to again
	Entrypoint []string // entrypoint followed by the default arguments; never empty
	Env        []string // NAME=value
	WorkDir    string   // absolute inside the root file system; "/" when the image says nothing
}
