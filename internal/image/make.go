package image

import (
	"context"
	"io"
	"path/filepath"

	"godwit/internal/landscape"
)

// Make puts the image that a service declares into the store and returns its
// digest: it builds it, or imports it from below dir. What the build says goes
// to log.
func (s *Store) Make(ctx context.Context, dir string, service landscape.Service, log io.Writer) (digest string, err error) {
	if service.Build != nil {
		return s.Build(ctx, dir, *service.Build, log)
	}
	path := service.Image
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return s.Import(ctx, path)
}
