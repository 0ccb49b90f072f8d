package cloud

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"godwit/internal/api"
	"godwit/internal/image"
	"godwit/internal/landscape"
	"godwit/internal/site/aws/packer"
)

// BakeOptions say how the builder of a machine image is reached, and what of it
// is not standard.
type BakeOptions struct {
	Image         string // OCI layout or archive; "" builds or imports the declared one
	Instance      string
	Subnet        string
	SecurityGroup string
	From          []netip.Prefix
	Profile       string
	Key           string
	Base          string
	Force         bool
	Shell         netip.AddrPort // with an emulator: an sshd on loopback that plays the builder
}

// Baked is a machine image.
type Baked struct {
	Service string    `json:"service"`
	AMI     string    `json:"ami"`
	Name    string    `json:"name"`
	Image   string    `json:"image"`
	Base    string    `json:"base"`
	SBOM    string    `json:"sbom"`
	Created time.Time `json:"created"`
	Found   bool      `json:"found"` // it was there already
}

// Bake makes the machine image of a service from its OCI image.
func (c *Cloud) Bake(ctx context.Context, service string, o BakeOptions) (Baked, error) {
	s, err := c.service(service)
	if err != nil {
		return Baked{}, err
	}
	digest, err := c.Image(ctx, s, o.Image)
	if err != nil {
		return Baked{}, err
	}
	images, err := c.images()
	if err != nil {
		return Baked{}, err
	}
	b := packer.Bake{Landscape: c.Landscape.Name, Service: service, Digest: digest, Commit: commit(ctx, c.Dir), Region: c.config.Region,
		Instance: o.Instance, Subnet: o.Subnet, SecurityGroup: o.SecurityGroup, From: o.From, Profile: o.Profile, Key: o.Key, Base: packer.Base{ID: o.Base}}
	b.Session = o.SecurityGroup == "" && len(o.From) == 0 && c.Endpoint == ""
	if c.Endpoint != "" { // nothing that an emulator makes can be reached otherwise
		b.SecurityGroup, b.From = "", nil
		b.Emulator = &packer.Emulator{Endpoint: string(c.Endpoint), Shell: o.Shell}
	}
	var ami packer.AMI
	err = c.Sink.Timed("bake "+service, "machine image", func() (err error) {
		ami, err = packer.Run(ctx, images, b, packer.Options{Credentials: c.config.Credentials, EC2: ec2.NewFromConfig(c.config), Force: o.Force,
			Progress: func(line string) { c.Sink.Note("bake "+service, "packer", line) }})
		return err
	})
	if errors.Is(err, packer.ErrInvalid) || errors.Is(err, packer.ErrTool) {
		return Baked{}, &api.Failure{Code: api.Usage, Message: err.Error()}
	}
	return Baked{service, ami.ID, ami.Name, ami.Image, ami.Base, ami.SBOM, ami.Created, ami.Found}, fail(err)
}

// Image puts the image of a service into the store: that at path, or the
// declared one. It returns its digest.
func (c *Cloud) Image(ctx context.Context, s landscape.Service, path string) (digest string, err error) {
	images, err := c.images()
	if err != nil {
		return "", err
	}
	if path != "" {
		s.Build, s.Image = nil, path
	}
	err = c.Sink.Timed("image "+s.Name, "build or import", func() error {
		var log strings.Builder
		digest, err = images.Make(ctx, c.Dir, s, &log)
		if err != nil && log.Len() > 0 {
			err = api.Fail(api.Failed, "%v\n%s", err, log.String()[max(0, log.Len()-2000):])
		}
		return err
	})
	return digest, err
}

func (c *Cloud) images() (*image.Store, error) { return image.Open(filepath.Join(c.State, "images")) }

// commit is that of the landscape's directory, with -changed behind it when that
// differs from what was committed; "" when it is in no repository.
func commit(ctx context.Context, dir string) string {
	head, err := exec.CommandContext(ctx, "git", "-C", dir, "rev-parse", "HEAD").Output()
	if err != nil {
		return ""
	}
	changed, err := exec.CommandContext(ctx, "git", "-C", dir, "status", "--porcelain", ".").Output()
	if err != nil {
		return ""
	}
	if len(changed) > 0 {
		return strings.TrimSpace(string(head)) + "-changed"
	}
	return strings.TrimSpace(string(head))
}

// Prune removes machine images of a service that nothing can return to.
func (c *Cloud) Prune(ctx context.Context, service string, newest, releases int, dry bool) (packer.Pruned, error) {
	if _, err := c.service(service); err != nil {
		return packer.Pruned{}, err
	}
	pruned, err := packer.Prune(ctx, ec2.NewFromConfig(c.config), autoscaling.NewFromConfig(c.config), packer.Pruning{
		Landscape: c.Landscape.Name, Service: service, Newest: newest, Releases: releases, Now: time.Now(), DryRun: dry})
	if errors.Is(err, packer.ErrInvalid) {
		return pruned, &api.Failure{Code: api.Usage, Message: err.Error()}
	}
	return pruned, fail(err)
}
