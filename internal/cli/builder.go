package cli

import (
	"net/netip"

	"github.com/spf13/pflag"

	"godwit/internal/api"
	"godwit/internal/cloud"
	"godwit/internal/site/aws/packer"
)

// builderFlags say how the builder of a machine image is reached, and what of it is
// not standard: of a bake, and of what calls one.
type builderFlags struct {
	prefix string
	flags  *pflag.FlagSet // these and no others
	from   []string
	o      cloud.BakeOptions
}

// add declares them, with a prefix before each name where other flags are beside.
func (b *builderFlags) add(to *pflag.FlagSet, prefix string) {
	b.prefix, b.flags = prefix, pflag.NewFlagSet("", pflag.ContinueOnError)
	f := b.flags
	f.StringVar(&b.o.Instance, prefix+"instance", "", "instance type of the builder (default a small one)")
	f.StringVar(&b.o.Subnet, prefix+"subnet", "", "subnet of the builder (default the account's default network)")
	f.StringVar(&b.o.SecurityGroup, prefix+"security-group", "", "security group of the builder that lets port 22 in from here")
	f.StringArrayVar(&b.from, prefix+"from", nil, "network that a temporary security group lets in on port 22")
	f.StringVar(&b.o.Profile, prefix+"instance-profile", "", "instance profile of the builder")
	f.StringVar(&b.o.Key, prefix+"kms-key", "", "KMS key that encrypts the image (default the account's)")
	f.StringVar(&b.o.Base, prefix+"base", "", "id of the AMI to start from (default the newest Amazon Linux 2023)")
	f.BoolVar(&b.o.Force, prefix+"force", false, "bake again what was baked already: for a newer base")
	to.AddFlagSet(f)
}

// options are what was given, checked as far as nobody has to be asked.
func (b *builderFlags) options() (cloud.BakeOptions, error) {
	o := b.o
	for _, f := range b.from {
		p, err := netip.ParsePrefix(f)
		if err != nil {
			return o, api.Fail(api.Usage, "--%sfrom %s is no network in CIDR notation: write for instance 203.0.113.7/32", b.prefix, f)
		}
		o.From = append(o.From, p)
	}
	// What the bake itself would refuse, though an hour of tests and builds may be before it.
	bake := packer.Bake{Instance: o.Instance, Subnet: o.Subnet, SecurityGroup: o.SecurityGroup, From: o.From, Profile: o.Profile, Key: o.Key,
		Base: packer.Base{ID: o.Base}, Session: o.SecurityGroup == "" && len(o.From) == 0}
	if err := bake.CheckBuilder(); err != nil {
		return o, api.Fail(api.Usage, "%v", err)
	}
	return o, nil
}

// args are what was given as arguments of a command that has these flags with
// another prefix; the same each time.
func (b *builderFlags) args(prefix string) (args []string, err error) {
	if _, err := b.options(); err != nil {
		return nil, err
	}
	b.flags.VisitAll(func(f *pflag.Flag) {
		if !f.Changed {
			return
		}
		values := []string{f.Value.String()}
		if many, ok := f.Value.(pflag.SliceValue); ok {
			values = many.GetSlice()
		}
		for _, v := range values {
			args = append(args, "--"+prefix+f.Name[len(b.prefix):]+"="+v)
		}
	})
	return args, nil
}
