package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/image"
)

// built is the JSON of build.
type built struct {
	Service string `json:"service"`
	Image   string `json:"image"`
	Out     string `json:"out,omitempty"`
}

func newBuild(g *globals) *cobra.Command {
	var dir, out string
	c := &cobra.Command{
		Use:   "build SERVICE",
		Short: "Make the image of a service, to deploy it later",
		Long: `Builds, or imports, the image that a service declares and prints its digest. With
--out it is written as an OCI layout, which deploy --image and aws bake --image
take: built once, what was tried is what goes live. Needs no engine.`,
		Example: `  godwit build till --dir examples/bistro
  godwit build till --out images/till     # then: deploy till --image images/till`,
		Args:              arguments(1, 1),
		ValidArgsFunction: g.complete(serviceNames),
		RunE: func(c *cobra.Command, args []string) error {
			return g.build(c.Context(), args[0], dir, out)
		},
	}
	c.Flags().StringVar(&dir, "dir", ".", "directory of the landscape")
	c.Flags().StringVar(&out, "out", "", "OCI layout directory to write; it must not be there")
	return c
}

func (g *globals) build(ctx context.Context, service, dir, out string) error {
	l, wire, err := readLandscape(dir)
	if err != nil {
		return err
	}
	s, ok := l.Service(service)
	if !ok {
		return api.Fail(api.Missing, "the landscape declares no service %q", service)
	}
	images, err := image.Open(filepath.Join(g.state, "images"))
	if err != nil {
		return err
	}
	b := built{Service: service, Out: out}
	var log strings.Builder
	err = g.sink().Timed("image "+service, "build or import", func() (err error) {
		b.Image, err = images.Make(ctx, wire.Dir, s, &log)
		return err
	})
	if err != nil {
		return api.Fail(api.Failed, "%v\n%s", err, log.String())
	}
	if out != "" {
		if err := images.Export(ctx, b.Image, out); err != nil {
			return err
		}
	}
	return g.view.result(b, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s\n", b.Service, b.Image)
		if out != "" {
			fmt.Fprintf(w, "written to %s\n", out)
		}
	})
}

// sink shows the progress of what needs no engine.
func (g *globals) sink() api.Sink {
	return api.Sink{Event: g.view.event, Row: func(any) {}}
}
