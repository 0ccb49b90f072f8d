package terraform

import (
	"strings"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/convention"
)

// Versions of what reads the tree.
const (
	requiredVersion  = ">= 1.6.0"
	providerSource   = "hashicorp/aws"
	requiredProvider = "~> 6.0"
)

// ProtectionMark is the address of what says in the state of each environment, as
// its input, whether it is protected. Whoever applies the tree reads there what an
// environment was, whatever is declared now and whatever is in it.
const ProtectionMark = "terraform_data.protection"

func writeVersions(f *file) {
	b := f.top("", "terraform")
	b.set("required_version", text(requiredVersion))
	b.gap()
	b.block("required_providers").set("aws", object(field{"source", text(providerSource)}, field{"version", text(requiredProvider)}))
}

func writeBackend(f *file) {
	b := f.top("Each root has a state of its own: who changes one environment cannot harm\n"+
		"another. Where it is kept is in backend.hcl.", "terraform")
	b.line(`backend "s3" {}`)
}

// backendSettings are what a backend is initialised with.
func backendSettings(f *file, region, root string) {
	f.empty = false
	f.comment("tofu init -backend-config=backend.hcl -backend-config=bucket=BUCKET\n\n" +
		"The bucket is made by the root \"account\", and its name has the account in it:\n" +
		"godwit passes it, by hand it is the output state_bucket of that root.")
	f.gap()
	f.set("key", text(convention.StateKey(root)))
	f.set("region", text(region))
	f.gap()
	f.comment("The state is encrypted with the bucket's own key: encrypt = true would ask for\n" +
		"one of S3's instead.\n\n" +
		"A lock beside the state, by S3 itself. It takes OpenTofu 1.10 or Terraform\n" +
		"1.10; with an older one leave this line out, and see to it that one applies at\n" +
		"a time.")
	f.set("use_lockfile", flag(true))
}

func (r *root) writeBackendSettings(f *file) {
	backendSettings(f, r.landscape.AWS.Region, r.environment.Name)
}

func (r *root) writeProvider(f *file) {
	b := f.top("", "provider", "aws")
	b.set("region", reference("local.region"))
	b.gap()
	b.comment("On everything; that is how rollouts find it, and how it is billed.")
	b.block("default_tags").set("tags", object(
		field{convention.TagLandscape, reference("local.landscape")},
		field{convention.TagEnvironment, reference("local.environment")}))
}

func (r *root) writeVariables(f *file) {
	principals := func(name, who string) {
		b := f.top("", "variable", name)
		b.set("description", text("ARNs of who may act as "+who+" here; nobody when empty."))
		b.set("type", reference("list(string)"))
		b.set("default", list())
	}
	principals("developer_principals", "a developer")
	principals("admin_principals", "an administrator")
	b := f.top("", "variable", "mfa_at_identity_provider")
	b.set("description", text("True where those principals are roles of an identity provider that asks for a second factor itself, of which AWS is not told."))
	b.set("type", reference("bool"))
	b.set("default", flag(false))
}

func (r *root) writeMain(f *file) {
	b := f.top("", "locals")
	b.set("landscape", text(r.landscape.Name))
	b.set("environment", text(r.environment.Name))
	b.set("region", text(r.landscape.AWS.Region))
	b.gap()
	b.comment("What the names of all that there is one of begin with.")
	b.set("prefix", text(r.scope.Name()))
	b.gap()
	comment := "Nothing here has to last: it can be destroyed."
	if r.environment.Protected {
		comment = "What loses data or traffic is refused by AWS itself, and by godwit without --approve."
	}
	b.comment(comment)
	b.set("protected", flag(r.environment.Protected))

	kind, name, _ := strings.Cut(ProtectionMark, ".")
	b = f.top("The mark of protection: by it godwit sees in the state that it is taken away.", "resource", kind, name)
	b.set("input", reference("local.protected"))

	b = f.top("One key for volumes, databases, secrets, logs and alarms.", "module", "key")
	b.source("key")
	b.set("prefix", reference("local.prefix"))

	b = f.top("Who is told when something is wrong.", "module", "oncall")
	b.source("oncall")
	b.set("prefix", reference("local.prefix"))
	b.set("emails", texts(r.landscape.AWS.OnCall))
	b.set("key_arn", reference("module.key.arn"))

	r.writeNetwork(f)
}

func (r *root) writeNetwork(f *file) {
	b := f.top("The environment's own network: no peering, no path to another environment.", "module", "network")
	b.source("network")
	b.set("name", reference("local.prefix"))
	b.set("region", reference("local.region"))
	b.set("cidr", text(r.environment.Network.String()))
	b.set("zones", number(r.landscape.AWS.Zones))
	b.gap()
	switch r.aws.NAT {
	case landscape.NATSingle:
		b.comment("One gateway costs less; when its zone fails, the others have no way out.")
	case landscape.NATZone:
		b.comment("Each zone has its own way out, and none depends on another.")
	default:
		b.comment("Instances have no way to the internet; AWS is reached through endpoints.")
	}
	b.set("nat", text(string(r.nat())))
	b.gap()
	b.set("endpoints", texts(r.endpoints()))
	b.set("endpoint_security_group_id", reference("aws_security_group.endpoints.id"))
	if vpn := r.aws.VPN; vpn != nil {
		b.set("database_peers", texts([]string{vpn.Network.String()}))
	}
	b.gap()
	b.set("permissions_boundary_arn", reference("module.access.boundary_arn"))
	b.set("key_arn", reference("module.key.arn"))
}

func (r *root) nat() landscape.NAT {
	if r.aws.NAT == "" {
		return landscape.NATNone
	}
	return r.aws.NAT
}

// endpoints are the parts of AWS that instances speak to. KMS is not among them:
// Secrets Manager and EBS ask it themselves.
func (r *root) endpoints() []string {
	all := []string{"autoscaling", "logs", "monitoring"}
	for _, s := range r.landscape.Services {
		if secret(s) || len(databases(s)) > 0 {
			return append(all, "secretsmanager")
		}
	}
	return all
}

func (r *root) writeAccess(f *file) {
	b := f.top("What people may do here, and what no role can exceed.", "module", "access")
	b.source("access")
	b.set("landscape", reference("local.landscape"))
	b.set("environment", reference("local.environment"))
	b.set("protected", reference("local.protected"))
	b.gap()
	b.set("developer_principals", reference("var.developer_principals"))
	b.set("admin_principals", reference("var.admin_principals"))
	b.set("mfa_at_identity_provider", reference("var.mfa_at_identity_provider"))
	b.gap()
	b.set("key_arn", reference("module.key.arn"))
}

func (r *root) writeVPN(f *file) {
	if r.aws.VPN == nil {
		return
	}
	b := f.top("The way to the data centre, as long as a migration needs it. Only databases are\n"+
		"on it: no other subnet has a route there.", "module", "vpn")
	b.source("vpn")
	b.set("prefix", reference("local.prefix"))
	b.set("vpc_id", reference("module.network.vpc_id"))
	b.set("gateway_address", text(r.aws.VPN.Gateway.String()))
	b.set("source_network", text(r.aws.VPN.Network.String()))
	b.set("route_table_ids", reference("module.network.data_route_table_ids"))
	b.set("key_arn", reference("module.key.arn"))
}

// source begins a call of a module.
func (b *body) source(module string) {
	b.set("source", text("../../modules/"+module))
	b.gap()
}
