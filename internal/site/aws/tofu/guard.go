package tofu

import (
	"cmp"
	"slices"

	"godwit/internal/site/aws/terraform"
)

// Reason is why a plan wants approval.
type Reason struct {
	Address string `json:"address"`
	Why     string `json:"why"`
}

// precious are the types whose end is worth a question in any environment, what
// weighs most first.
var precious = []struct{ kind, why string }{
	{"aws_db_instance", "the database and its data end"},
	{"aws_db_cluster", "the database and its data end"},
	{"aws_rds_cluster", "the database and its data end"},
	{"aws_db_snapshot", "a backup ends"},
	{"aws_kms_key", "what it encrypted can never be read again"},
	{"aws_s3_bucket", "what is stored in it ends"},
	{"aws_secretsmanager_secret", "what is kept in it ends"},
	{"aws_cloudtrail", "what happens in the account is no longer recorded"},
	{"aws_autoscaling_group", "instances that may be serving end"},
	{"aws_lb", "what comes in through it ends, and its address changes"},
	{"aws_lb_listener", "what comes in through it ends for a time"},
	{"aws_vpc", "the environment's network ends"},
	{"aws_wafv2_web_acl", "the shield ends for a time"},
	{"aws_route53_zone", "its names are no longer found"},
	{"aws_acm_certificate", "hosts are not served by TLS until there is another"},
	{"aws_s3_bucket_object_lock_configuration", "the audit log can be changed"},
}

// ends says what the end of a resource means, and how much it weighs: 0 is most.
func ends(kind string) (why string, weight int) {
	for i, p := range precious {
		if p.kind == kind {
			return p.why, i
		}
	}
	return "", len(precious)
}

// Guard says why a plan wants approval, what weighs most first; none: it does
// not. In an environment that is declared protected, or still is on AWS, anything
// that ends something does, and anything that takes a protection away; elsewhere
// only what holds data or serves. What would be made a second time always does,
// and so do names that turn clients before a cutover.
func Guard(s Summary, at Stakes) []Reason {
	reasons := []Reason{}
	for _, l := range s.Lost {
		reasons = append(reasons, Reason{l.Address, "an apply that was cut off has made it (id " + l.ID + "); it would be made a second time: adopt it first"})
	}
	reasons = append(reasons, at.turned(s)...)
	changes, protected := s.Changes(), at.protects(s)
	slices.SortStableFunc(changes, func(a, b Change) int {
		_, one := ends(a.Type)
		_, two := ends(b.Type)
		return cmp.Compare(one, two)
	})
	for _, c := range changes {
		if why := ended(c, protected); why != "" {
			reasons = append(reasons, Reason{c.Address, why})
		}
		if !protected || c.Action != Update {
			continue
		}
		for _, l := range loosenings(c) {
			reasons = append(reasons, Reason{c.Address, l.why})
		}
	}
	return reasons
}

// ended says why the end of a resource wants approval; "": it does not, or does
// not end.
func ended(c Change, protected bool) string {
	why, _ := ends(c.Type)
	switch {
	case protected && c.Address == terraform.ProtectionMark && (c.Action == Destroy || c.Action == Forget):
		return unprotected
	case c.Action == Forget && (why != "" || protected):
		return "it goes on, and is looked after by nobody"
	case c.Action != Destroy && c.Action != Replace:
		return ""
	case why != "" && c.Action == Replace:
		return "it is replaced: " + why
	case why != "":
		return why
	case protected && c.Action == Replace:
		return "it is replaced, in a protected environment"
	case protected:
		return "it ends, in a protected environment"
	}
	return ""
}
