package packer

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"godwit/internal/image"
	"godwit/internal/site/aws/convention"
)

// Options say how a bake is run.
type Options struct {
	Packer      string                  // the program; "" for the one in PATH
	Credentials aws.CredentialsProvider // are put into Packer's environment, and nowhere else
	EC2         EC2
	Force       bool              // bake again what was baked already: for a newer base
	Progress    func(line string) // called by one goroutine at a time; may be nil
	Now         func() time.Time  // nil for time.Now
	Grace       time.Duration     // for Packer to clean up once the context has ended; 0 for five minutes
	Temp        string            // where the bake's directory is made; "" for the system's
}

// AMI is a machine image.
type AMI struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Created   time.Time `json:"created_at"`
	Image     string    `json:"image"`     // digest of the OCI image
	Base      string    `json:"base"`      // AMI that it was made from
	SBOM      string    `json:"sbom"`      // digest of the bill of materials
	Recipe    string    `json:"recipe"`    // digest of all that went into it besides the base
	Snapshots []string  `json:"snapshots"` // that hold its content
	Found     bool      `json:"found"`     // it was there already
	Bill      []byte    `json:"-"`         // the bill of materials itself; only Run fills it in
}

// Run makes the machine image, or finds that it is there already. When ctx ends,
// Packer is asked to end and to remove its builder; the error then says what may
// be left and how to find it.
func Run(ctx context.Context, store *image.Store, b Bake, o Options) (AMI, error) {
	if err := b.check(); err != nil {
		return AMI{}, err
	}
	o = o.filled()
	ami, err := run(ctx, store, b, o)
	if err != nil {
		return AMI{}, fmt.Errorf("bake service %s: %w", b.Service, err)
	}
	return ami, nil
}

func (o Options) filled() Options {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Grace == 0 {
		o.Grace = 5 * time.Minute
	}
	return o
}

func run(ctx context.Context, store *image.Store, b Bake, o Options) (ami AMI, err error) {
	dir, err := os.MkdirTemp(o.Temp, "godwit-bake-") // 0700
	if err != nil {
		return ami, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o.Progress("reading image " + b.Digest)
	contents, err := Read(ctx, store, b.Digest, b.Service, dir)
	if err != nil {
		return ami, err
	}
	files, err := Render(b, contents)
	if err != nil {
		return ami, err
	}
	made := recipe(b, contents, files)
	if ami, err = o.find(ctx, b, made); err != nil || ami.ID != "" {
		ami.Bill = contents.SBOM
		return ami, err
	}
	job := job{bake: b, options: o, dir: dir, recipe: made, began: o.Now().UTC()}
	if job.id, err = newID(); err != nil {
		return ami, err
	}
	if err := errors.Join(job.writeFiles(files), job.writeVariables()); err != nil {
		return ami, err
	}
	id, err := job.packer(ctx)
	if err != nil {
		return ami, err
	}
	ami, err = o.seal(ctx, id)
	ami.Bill = contents.SBOM
	return ami, err
}

// find is the newest machine image of the recipe; none with Force.
func (o Options) find(ctx context.Context, b Bake, recipe string) (AMI, error) {
	if o.Force {
		return AMI{}, nil
	}
	all, err := list(ctx, o.EC2, map[string]string{convention.TagLandscape: b.Landscape, convention.TagService: b.Service,
		convention.TagImage: b.Digest, convention.TagRecipe: recipe})
	if err != nil || len(all) == 0 {
		return AMI{}, err
	}
	o.Progress("already baked: " + all[0].ID)
	ami, err := o.seal(ctx, all[0].ID)
	ami.Found = true
	return ami, err
}

// job is one bake that is really done.
type job struct {
	bake    Bake
	options Options
	dir     string
	id      string
	recipe  string
	began   time.Time
}

func newID() (string, error) {
	var b [8]byte
	_, err := rand.Read(b[:])
	return hex.EncodeToString(b[:]), err
}

func (j job) write(name string, content []byte) error {
	file := filepath.Join(j.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}

func (j job) writeFiles(files map[string][]byte) error {
	for name, content := range files {
		if name == pluginsFile {
			continue // once it is known which Packer this is
		}
		if err := j.write(name, content); err != nil {
			return err
		}
	}
	return nil
}

// writeVariables writes what is different in every bake, and the key to the
// builder. A file: arguments are for everybody on this machine to see.
func (j job) writeVariables() error {
	values := map[string]string{"id": j.id, "baked_at": j.began.Format(time.RFC3339), "stamp": j.began.Format("20060102-150405"), "recipe": j.recipe}
	if j.bake.provisioned() {
		private, public, err := newKey()
		if err != nil {
			return err
		}
		values["private_key_file"] = filepath.Join(j.dir, "key")
		userData := "#cloud-config\nssh_authorized_keys:\n  - " + public + "\n"
		if err := errors.Join(j.write("key", private), j.write("user-data", []byte(userData))); err != nil {
			return err
		}
	}
	var lines strings.Builder
	for name, value := range values {
		lines.WriteString(name + " = " + hclString(value) + "\n")
	}
	return j.write("bake.auto.pkrvars.hcl", []byte(lines.String()))
}

// newKey is a key pair for one bake: the private half as PEM, the public one as
// a line of authorized_keys.
func newKey() (private []byte, public string, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, "", err
	}
	const kind = "ssh-ed25519"
	var wire []byte
	for _, part := range [][]byte{[]byte(kind), pub} {
		wire = binary.BigEndian.AppendUint32(wire, uint32(len(part)))
		wire = append(wire, part...)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), kind + " " + base64.StdEncoding.EncodeToString(wire) + " godwit", nil
}
