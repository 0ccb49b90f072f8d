package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/api/client"
	"godwit/internal/site/aws/tofu"
)

// cleanTimeout bounds the cleaning after Ctrl-C.
const cleanTimeout = 60 * time.Second

type upOptions struct {
	dir, listen, isolation, site string
	approve                      bool
	aws                          api.AWS
}

func newUp(g *globals) *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use:   "up [DIR]",
		Short: "Bring the landscape up as declared: environments, databases, services, gateway",
		Long: `Reads the landscape of DIR (default: this directory), starts the engine if none
runs, and makes what runs like what is declared: a private network per
environment, a Postgres per database, at least scale.min instances per service
from immutable images, the gateway in front. What is there already stays; what
changed is rolled out without dropping a request. Where a migration is declared,
the gateway sends its hosts to the data centre until the cutover.

With --site aws the environments are those that godwit aws apply makes, and their
releases those of godwit aws deploy. Up then only stands before the data centre:
the gateway takes its requests, and godwit migrate turns them, and the databases,
to AWS and back. Credentials are read as every tool for AWS does, by the engine;
keys in this shell's environment count only for an engine that this starts.
What was said of AWS once (AWS_PROFILE or AWS_ACCESS_KEY_ID and its like, --ca, --endpoint) stays until it is said otherwise.

Ctrl-C during the first up removes everything again.`,
		Example: `  godwit up examples/bistro
  godwit up --listen 127.0.0.1:9000 examples/bistro
  godwit up --isolation=none            # where namespaces are impossible: NO isolation
  godwit up --site aws --listen 0.0.0.0:80 --ca global-bundle.pem`,
		Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			o.dir = directory(args)
			return g.up(c.Context(), o)
		},
	}
	c.Flags().StringVar(&o.listen, "listen", "", "address of the gateway, host:port (default 127.0.0.1:8080)")
	c.Flags().StringVar(&o.isolation, "isolation", "", `"namespaces" (default) or "none", which isolates nothing`)
	c.Flags().StringVar(&o.site, "site", "", `where the environments are, "local" or "aws"; as before when it is not given, local the first time`)
	c.Flags().StringVar(&o.aws.DatabaseCA, "ca", "", "with --site aws: file with RDS's certificate authorities; without it its connections are only encrypted")
	c.Flags().StringVar(&o.aws.Endpoint, "endpoint", "", "with --site aws: URL of an emulator instead of AWS")
	if err := c.RegisterFlagCompletionFunc("site", cobra.FixedCompletions([]string{"local", "aws"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // it has that flag
	}
	c.Flags().BoolVar(&o.approve, "approve", false, "allow changes that a protected environment refuses")
	return c
}

func (g *globals) up(ctx context.Context, o upOptions) error {
	if o.isolation != "" && o.isolation != "namespaces" && o.isolation != "none" {
		return api.Fail(api.Usage, `--isolation is "namespaces" or "none", not %q`, o.isolation)
	}
	if _, _, err := net.SplitHostPort(o.listen); o.listen != "" && err != nil {
		return api.Fail(api.Usage, "--listen %q is no address: give HOST:PORT, such as 127.0.0.1:8080", o.listen)
	}
	access, err := o.access()
	if err != nil {
		return err
	}
	_, wire, err := readLandscape(o.dir)
	if err != nil {
		return err
	}
	c, first, err := g.ensureEngine(ctx)
	if err != nil {
		return err
	}
	request := api.UpRequest{Landscape: wire, Site: o.site, AWS: access, Listen: o.listen, Isolation: o.isolation, Approve: o.approve}
	result, err := reattached(ctx, g, c, func() (api.UpResult, error) { return c.Up(ctx, request, g.view.watch()) })
	switch {
	case err != nil && ctx.Err() != nil && first:
		return g.cleanAfterInterrupt(c)
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w; what was up before stays: godwit up goes on, godwit down removes all", errInterrupted)
	case err != nil && first && access != nil:
		return errors.Join(err, g.endFirst(ctx, c))
	case err != nil:
		return err
	}
	return g.view.result(result, func(w io.Writer) {
		result.Plan.Format(w, g.view.outColor)
		fmt.Fprintf(w, "\ngateway on http://%s\n", result.Gateway)
		for _, r := range result.Routes {
			fmt.Fprintf(w, "  %-32s -> %s\n", r.Host, r.Pool)
		}
	})
}

// access is how the engine is to reach AWS; nil leaves it as it was.
func (o upOptions) access() (*api.AWS, error) {
	if o.aws.Profile = os.Getenv("AWS_PROFILE"); o.aws.Profile == "" {
		o.aws.Keys = api.AWSKeys{ID: os.Getenv("AWS_ACCESS_KEY_ID"), Secret: os.Getenv("AWS_SECRET_ACCESS_KEY"), Session: os.Getenv("AWS_SESSION_TOKEN")}
	}
	switch {
	case o.site != "" && o.site != "local" && o.site != "aws":
		return nil, api.Fail(api.Usage, `--site is "local" or "aws", not %q`, o.site)
	case o.site != "aws" && (o.aws.DatabaseCA != "" || o.aws.Endpoint != ""):
		return nil, api.Fail(api.Usage, "--ca and --endpoint say how AWS is reached: give --site aws with them")
	case o.site != "aws":
		return nil, nil
	case o.isolation != "":
		return nil, api.Fail(api.Usage, "--isolation is for the local site: on AWS networks isolate")
	}
	if err := tofu.Endpoint(o.aws.Endpoint).Check(); err != nil {
		return nil, api.Fail(api.Usage, "%v", err)
	}
	if o.aws.DatabaseCA == "" {
		return &o.aws, nil
	}
	path, err := authorities(o.aws.DatabaseCA)
	if err != nil {
		return nil, api.Fail(api.Usage, "--ca: %v", err)
	}
	o.aws.DatabaseCA = path
	return &o.aws, nil
}

// authorities is where a file of certificates is found from anywhere: the engine
// is at home elsewhere.
func authorities(name string) (string, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return "", fmt.Errorf("%s holds no certificate: give the bundle that AWS publishes for RDS, in PEM", path)
	}
	return path, nil
}

// endFirst ends an engine that was started for AWS and could not reach it: nothing
// runs yet.
func (g *globals) endFirst(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	if err := g.downWhenFree(ctx, c); err != nil {
		return fmt.Errorf("the engine that was started for it still runs: %w; run godwit down", err)
	}
	return nil
}

// cleanAfterInterrupt takes back a first up that was interrupted.
func (g *globals) cleanAfterInterrupt(c *client.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	g.view.note("interrupted: removing what was begun")
	if err := g.downWhenFree(ctx, c); err != nil {
		return fmt.Errorf("%w, and cleaning failed: %v; run: godwit down --approve", errInterrupted, err)
	}
	return fmt.Errorf("%w; everything was removed again", errInterrupted)
}

// downWhenFree ends everything once the engine has let go of what was interrupted.
func (g *globals) downWhenFree(ctx context.Context, c *client.Client) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := c.Down(ctx, api.DownRequest{Approve: true}, g.view.watch())
		if err != nil && api.AsFailure(err).Code != api.Busy {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(50*time.Millisecond)), backoff.WithMaxElapsedTime(cleanTimeout))
	return err
}
