package tofu

// Reason is why a plan wants approval.
type Reason struct {
	Address string `json:"address"`
	Why     string `json:"why"`
}

// precious are the types whose end is worth a question in any environment.
var precious = map[string]string{
	"aws_db_instance":           "the database and its data end",
	"aws_db_cluster":            "the database and its data end",
	"aws_rds_cluster":           "the database and its data end",
	"aws_db_snapshot":           "a backup ends",
	"aws_kms_key":               "what it encrypted can never be read again",
	"aws_s3_bucket":             "what is stored in it ends",
	"aws_secretsmanager_secret": "what is kept in it ends",
	"aws_cloudtrail":            "what happens in the account is no longer recorded",
	"aws_autoscaling_group":     "instances that may be serving end",
	"aws_lb":                    "what comes in through it ends, and its address changes",
	"aws_lb_listener":           "what comes in through it ends for a time",
	"aws_vpc":                   "the environment's network ends",
	"aws_wafv2_web_acl":         "the shield ends for a time",
	"aws_route53_zone":          "its names are no longer found",
	"aws_acm_certificate":       "hosts are not served by TLS until there is another",
	"aws_s3_bucket_object_lock_configuration": "the audit log can be changed",
}

// Guard says why a plan wants approval; none: it does not. In a protected
// environment anything that ends something does; elsewhere only what holds data
// or serves. What would be made a second time always does.
func Guard(s Summary, protected bool) []Reason {
	reasons := []Reason{}
	for _, l := range s.Lost {
		reasons = append(reasons, Reason{l.Address, "an apply that was cut off has made it (id " + l.ID + "); it would be made a second time: adopt it first"})
	}
	for _, c := range s.Changes() {
		if c.Action == Update {
			reasons = append(reasons, loosened(c, protected)...)
			continue
		}
		if c.Action != Destroy && c.Action != Replace && c.Action != Forget {
			continue
		}
		why, known := precious[c.Type]
		switch {
		case c.Action == Forget && (known || protected):
			reasons = append(reasons, Reason{c.Address, "it goes on, and is looked after by nobody"})
		case c.Action == Forget:
		case known && c.Action == Replace:
			reasons = append(reasons, Reason{c.Address, "it is replaced: " + why})
		case known:
			reasons = append(reasons, Reason{c.Address, why})
		case protected && c.Action == Replace:
			reasons = append(reasons, Reason{c.Address, "it is replaced, in a protected environment"})
		case protected:
			reasons = append(reasons, Reason{c.Address, "it ends, in a protected environment"})
		}
	}
	return reasons
}

// loosened: an update that takes a protection away is the first half of a loss.
func loosened(c Change, protected bool) []Reason {
	var reasons []Reason
	for _, f := range c.Fields {
		off := f.Before == "true" && f.After != "true"
		switch {
		case !protected:
		case f.Name == "deletion_protection" && off, f.Name == "enable_deletion_protection" && off:
			reasons = append(reasons, Reason{c.Address, "its protection from deletion ends"})
		case f.Name == "multi_az" && off:
			reasons = append(reasons, Reason{c.Address, "its standby in a second zone ends"})
		case f.Name == "backup_retention_period" && f.After == "0":
			reasons = append(reasons, Reason{c.Address, "its backups end"})
		}
	}
	return reasons
}
