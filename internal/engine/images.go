package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"godwit/internal/api"
	"godwit/internal/landscape"
)

// makeImages builds or imports the image of every service; the result is the
// digest by service.
func (e *Engine) makeImages(ctx context.Context, w *world, services []landscape.Service, sink api.Sink) (map[string]string, error) {
	images := map[string]string{}
	for _, s := range services {
		err := sink.Timed("image "+s.Name, describe(s), func() (err error) {
			images[s.Name], err = e.makeImage(ctx, w.settings.Landscape.Dir, s)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("image of service %s: %w", s.Name, err)
		}
	}
	return images, nil
}

func describe(s landscape.Service) string {
	if s.Build != nil {
		return "build"
	}
	return "import " + s.Image
}

func (e *Engine) makeImage(ctx context.Context, dir string, s landscape.Service) (string, error) {
	if s.Build == nil {
		return e.images.Import(ctx, under(dir, s.Image))
	}
	var log strings.Builder
	digest, err := e.images.Build(ctx, dir, *s.Build, &log)
	if err != nil {
		return "", api.Fail(api.Failed, "%v\n%s", err, tail(log.String()))
	}
	return digest, nil
}

func under(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// tail keeps the end of a build's output: that is where its error stands.
func tail(text string) string {
	return text[max(0, len(text)-2000):]
}
