package engine

import (
	"context"
	"fmt"
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
	var log strings.Builder
	digest, err := e.images.Make(ctx, dir, s, &log)
	if err != nil && log.Len() > 0 {
		err = api.Fail(api.Failed, "%v\n%s", err, tail(log.String()))
	}
	return digest, err
}

// tail keeps the end of a build's output: that is where its error stands.
func tail(text string) string {
	return text[max(0, len(text)-2000):]
}
