package tofu

import (
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/site/aws/terraform"
)

// unprotected is what the end of the mark of protection means.
const unprotected = "the environment is protected no more"

// loosening is a change of a value that takes a protection away: the first half
// of a loss.
type loosening struct {
	why string
	// mark: only what is protected can lose this. A standby or the days of a log
	// are chosen in other environments too.
	mark bool
}

// loosenings are what a change takes away.
func loosenings(c Change) []loosening {
	var all []loosening
	for _, f := range c.Fields {
		if l := f.loosens(c); l.why != "" {
			all = append(all, l)
		}
	}
	return all
}

// loosens says what a field takes away; a why of "": nothing.
func (f Field) loosens(c Change) loosening {
	off := f.Before == "true" && f.After != "true"
	on := f.Before != "true" && f.After != "false" && f.After != ""
	if c.Address == terraform.ProtectionMark {
		return when(f.Path == "input" && off, unprotected, true)
	}
	switch f.Path {
	case "deletion_protection", "enable_deletion_protection":
		return when(off, "its protection from deletion ends", true)
	case "multi_az":
		return when(off, "its standby in a second zone ends", false)
	case "delete_automated_backups":
		return when(on, "its backups would end with it", true)
	case "force_destroy":
		return when(on, "it could be deleted with all that is stored in it", true)
	case "backup_retention_period":
		if f.After == "0" {
			return when(f.fewer(), "its backups end", true)
		}
		return when(f.fewer(), fmt.Sprintf("fewer of its backups are kept (%s -> %s days)", f.Before, f.After), true)
	case "recovery_window_in_days":
		return when(f.fewer(), fmt.Sprintf("less time is left to recover it once it is deleted (%s -> %s days)", f.Before, f.After), true)
	case "retention_in_days": // 0 is for ever
		return when(f.After != "0" && (f.Before == "0" || f.fewer()), fmt.Sprintf("what is older in the log is deleted (%s -> %s days)", f.Before, f.After), false)
	}
	if c.Type == "aws_s3_bucket_lifecycle_configuration" && strings.HasSuffix(f.Path, "expiration.days") {
		return when(f.fewer(), fmt.Sprintf("what is older in the bucket is deleted (%s -> %s days)", f.Before, f.After), false)
	}
	return loosening{}
}

func when(taken bool, why string, mark bool) loosening {
	if !taken {
		return loosening{}
	}
	return loosening{why, mark}
}

// fewer: a number becomes less, or nobody knows yet what it becomes.
func (f Field) fewer() bool {
	before, err := strconv.ParseFloat(f.Before, 64)
	if err != nil {
		return false
	}
	after, err := strconv.ParseFloat(f.After, 64)
	return err != nil || after < before
}
