package tofu

import (
	"fmt"
	"slices"

	tfjson "github.com/hashicorp/terraform-json"

	"godwit/internal/site/aws/terraform"
)

// Stakes are what the landscape says that a plan can lose.
type Stakes struct {
	Protected bool // the environment is declared so
	// Migration is one that is still to bring the clients of Hosts here; "": none is.
	Migration string
	Hosts     []string
}

// protects says whether a plan is held to what a protected environment is: when it
// is declared so, and as well when that is still so on AWS. What takes the
// protection away would otherwise be the first thing that it does not cover.
func (k Stakes) protects(s Summary) bool {
	return k.Protected || s.Protected || slices.ContainsFunc(s.Changes(), func(c Change) bool {
		return slices.ContainsFunc(loosenings(c), func(l loosening) bool { return l.mark })
	})
}

// turned are the names that a plan makes while a migration is to turn their clients.
func (k Stakes) turned(s Summary) []Reason {
	var reasons []Reason
	for _, n := range s.Names {
		if k.Migration != "" && slices.Contains(k.Hosts, n.Host) {
			reasons = append(reasons, Reason{n.Address, fmt.Sprintf(
				"it turns the clients of %s to AWS, and migration %q into this environment is still declared: until it is finished, keep dns = false in the environment's aws block; then remove both", n.Host, k.Migration)})
		}
	}
	return reasons
}

// Name is a DNS record by which a plan leads clients to an address.
type Name struct {
	Address string `json:"address"`
	Host    string `json:"host"`
}

// nameOf reads a name that a change makes; false: it makes none. The proof of a
// certificate is a CNAME, and leads nobody anywhere.
func nameOf(rc *tfjson.ResourceChange, c Change) (Name, bool) {
	if c.Type != "aws_route53_record" || c.Action != Create && c.Action != Replace && rc.Change.Importing == nil {
		return Name{}, false
	}
	if kind := in(rc.Change.After, "type"); kind != "A" && kind != "AAAA" {
		return Name{}, false
	}
	host, _ := in(rc.Change.After, "name").(string)
	return Name{c.Address, host}, host != ""
}

// protectedBefore: the mark of protection is there, or another resource that only
// protected environments have so: a state of before the mark has only those.
func protectedBefore(rc *tfjson.ResourceChange) bool {
	if rc == nil || rc.Change == nil || rc.Mode != tfjson.ManagedResourceMode {
		return false
	}
	before := rc.Change.Before
	if rc.Address == terraform.ProtectionMark {
		return in(before, "input") == true
	}
	return in(before, "deletion_protection") == true || in(before, "enable_deletion_protection") == true ||
		rc.Type == "aws_db_instance" && in(before, "delete_automated_backups") == false
}
