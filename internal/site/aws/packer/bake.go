// Package packer makes machine images (AMIs) from the OCI images that the local
// site runs too, through HashiCorp's Packer.
//
// Its nouns: a Bake says what is made; Contents are what its OCI image holds;
// Render turns both into a Packer template with all that it puts on the machine;
// Run has Packer build it and returns the AMI; Prune removes old AMIs.
//
// It guarantees: the root file system that a service runs from on AWS is, byte for
// byte, the one it runs from locally; the same bake and contents render the same
// bytes; what was baked already is not baked again; credentials are only ever in
// Packer's environment; no AMI is removed that something runs from or that a
// rollback may return to.
//
// Commands and pipelines may import it; it imports the image store and the
// convention that it shares with Terraform and rollouts.
package packer

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
)

// What an error of this package means.
var (
	// ErrInvalid: the bake contradicts itself; nothing was done.
	ErrInvalid = errors.New("invalid bake")
	// ErrTool: Packer is missing, too old, or does not run.
	ErrTool = errors.New("packer cannot be used")
	// ErrRefused: AWS refused, and would again until somebody changes something.
	ErrRefused = errors.New("refused by AWS")
	// ErrFailed: the build failed on the way.
	ErrFailed = errors.New("bake failed")
)

// Bake says what machine image is made, where, and how its builder is reached.
type Bake struct {
	Landscape string
	Service   string
	Digest    string // of the OCI image, "sha256:…"
	Commit    string // of the source; "" when nobody knows
	Region    string

	Base     Base
	Instance string // type of the builder; "" for a small one of the image's architecture
	Subnet   string // of the builder; "" for the account's default network
	Profile  string // instance profile of the builder; "" for none
	Key      string // KMS key that encrypts the image; "" for the account's standard key

	// Exactly one of these says how the builder is reached. There is no standard
	// on purpose: it would have to be "from everywhere".
	SecurityGroup string         // that lets port 22 in
	From          []netip.Prefix // a temporary security group lets these in
	Session       bool           // through Systems Manager: no port is open at all

	Emulator *Emulator // for tests; nil for AWS itself
}

// Base is the AMI that the machine image is made from. The zero Base is the newest
// Amazon Linux 2023.
type Base struct {
	ID    string // a certain one
	Name  string // or the newest whose name matches this, with * and ?
	Owner string // of those matched: an account, or "amazon"
}

// Emulator stands in for EC2. What it calls instances are none, so nothing is
// ever dialled that it invents: the builder is Shell, or nobody.
type Emulator struct {
	Endpoint string         // http://127.0.0.1:port
	Shell    netip.AddrPort // an sshd on loopback that plays the builder; zero: nothing is provisioned
}

// architecture of an OCI image, as AWS calls it, and the builder that suits it.
type architecture struct{ name, builder string }

func architectures() map[string]architecture {
	return map[string]architecture{"amd64": {"x86_64", "t3.small"}, "arm64": {"arm64", "t4g.small"}}
}

var (
	plainName   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	digestForm  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	commitForm  = regexp.MustCompile(`^[0-9A-Za-z._+/-]{0,128}$`)
	regionForm  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
	idForm      = regexp.MustCompile(`^([a-z]+-[0-9a-f]{8,17})?$`)
	typeForm    = regexp.MustCompile(`^([a-z0-9-]+\.[a-z0-9-]+)?$`)
	keyForm     = regexp.MustCompile(`^[0-9A-Za-z:/_-]{0,256}$`)
	profileForm = regexp.MustCompile(`^[0-9A-Za-z+=,.@_-]{0,128}$`)
	baseForm    = regexp.MustCompile(`^[0-9A-Za-z()\[\] ./'@_*?-]{0,128}$`)
	ownerForm   = regexp.MustCompile(`^([0-9]{12}|amazon|self|aws-marketplace)?$`)
)

// field is something that a bake is told, and how it looks.
type field struct {
	what, value string
	form        *regexp.Regexp
	mend        string
}

func checkFields(all ...field) error {
	for _, f := range all {
		if !f.form.MatchString(f.value) {
			return fmt.Errorf("%w: %s %q: give %s", ErrInvalid, f.what, f.value, f.mend)
		}
	}
	return nil
}

// check refuses what Packer or AWS would refuse later, and whatever Packer would
// take for one of its own expressions.
func (b Bake) check() error {
	err := checkFields(
		field{"landscape", b.Landscape, plainName, "lower-case letters, digits and -"},
		field{"service", b.Service, plainName, "lower-case letters, digits and -"},
		field{"digest", b.Digest, digestForm, "an image's digest, sha256:…"},
		field{"commit", b.Commit, commitForm, "a commit's hash or a tag"},
		field{"region", b.Region, regionForm, "one such as eu-central-1"})
	if err != nil {
		return err
	}
	if len(b.Landscape)+len(b.Service) > 90 {
		return fmt.Errorf("%w: landscape %s and service %s together are too long for the name of an AMI: 90 characters at most", ErrInvalid, b.Landscape, b.Service)
	}
	return b.CheckBuilder()
}

// CheckBuilder refuses what a bake says of its builder, the way to it, and its base,
// as Render does; what is baked is not looked at. The error is ErrInvalid.
func (b Bake) CheckBuilder() error {
	err := checkFields(
		field{"instance type", b.Instance, typeForm, "one such as t3.small"},
		field{"subnet", b.Subnet, idForm, "an id such as subnet-0123456789abcdef0"},
		field{"security group", b.SecurityGroup, idForm, "an id such as sg-0123456789abcdef0"},
		field{"instance profile", b.Profile, profileForm, "its name"},
		field{"KMS key", b.Key, keyForm, "its id, ARN or alias/NAME"},
		field{"base", b.Base.ID, idForm, "an id such as ami-0123456789abcdef0"},
		field{"name of the base", b.Base.Name, baseForm, "a name with * and ?"},
		field{"owner of the base", b.Base.Owner, ownerForm, "an account's number, amazon or self"})
	if err != nil {
		return err
	}
	return errors.Join(b.checkBase(), b.checkWay(), b.checkEmulator())
}

func (b Bake) checkBase() error {
	if b.Base.ID != "" && (b.Base.Name != "" || b.Base.Owner != "") {
		return fmt.Errorf("%w: the base is given by its id and by a name: leave one out", ErrInvalid)
	}
	if (b.Base.Name == "") != (b.Base.Owner == "") {
		return fmt.Errorf("%w: a base that is found by its name needs the owner too: anybody can publish an AMI of any name", ErrInvalid)
	}
	return nil
}

func (b Bake) checkWay() error {
	ways := 0
	for _, given := range []bool{b.SecurityGroup != "", len(b.From) > 0, b.Session, b.Emulator != nil} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return fmt.Errorf("%w: say in one way how Packer reaches the builder: from an address (your own, as 203.0.113.7/32), "+
			"through a security group, or through a session of Systems Manager", ErrInvalid)
	}
	for _, p := range b.From {
		if !p.IsValid() || p.Bits() == 0 {
			return fmt.Errorf("%w: the builder is not opened to everybody: give your own address instead of %v", ErrInvalid, p)
		}
		if !p.Addr().Is4() {
			return fmt.Errorf("%w: Packer's temporary security groups know IPv4 only: give such an address instead of %v, or a security group", ErrInvalid, p)
		}
	}
	return nil
}

func (b Bake) checkEmulator() error {
	e := b.Emulator
	if e == nil {
		return nil
	}
	if e.Shell.IsValid() && !e.Shell.Addr().IsLoopback() {
		return fmt.Errorf("%w: the shell of an emulated builder is on loopback, not at %s", ErrInvalid, e.Shell)
	}
	return nil
}

// base is the zero Base made explicit.
func (b Bake) base() Base {
	if b.Base == (Base{}) {
		return Base{Name: "al2023-ami-2023.*-kernel-6.1-*", Owner: "amazon"}
	}
	return b.Base
}
