package report

import (
	"fmt"
	"slices"
)

// Judge sets verdict and problems from the numbers. Problems that the caller
// already noted stay, and count. Judging twice changes nothing.
func (r *Report) Judge() {
	r.judgeRequests()
	r.judgeLedger()
	for _, o := range r.Rollouts {
		name := fmt.Sprintf("rollout of %s from %s to %s", o.Service, o.From, o.To)
		r.count(o.FailedRequests, name+": %d requests failed")
		if o.Expected != "" && o.Outcome != o.Expected {
			r.Problem(fmt.Sprintf("%s: ended %s, expected %s", name, o.Outcome, o.Expected))
		}
	}
	if i := r.Isolation; i != nil {
		r.count(int64(i.Wrong), "isolation: %d pairs are not as declared")
		if i.Pairs == 0 {
			r.Problem("isolation: no pair was tried")
		}
	}
	r.Verdict = OK
	if len(r.Problems) > 0 {
		r.Verdict = Failed
	}
}

// Problem notes a problem once.
func (r *Report) Problem(p string) {
	if !slices.Contains(r.Problems, p) {
		r.Problems = append(r.Problems, p)
	}
}

func (r *Report) count(n int64, message string) {
	if n != 0 {
		r.Problem(fmt.Sprintf(message, n))
	}
}

func (r *Report) judgeRequests() {
	q := r.Requests
	if q.Sent == 0 {
		r.Problem("requests: none was sent")
	}
	r.count(q.Failed, "requests: %d failed")
	r.count(q.Sent-q.OK-q.Failed, "requests: %d have neither succeeded nor failed")
}

func (r *Report) judgeLedger() {
	l := r.Ledger
	if l == nil {
		return
	}
	if l.Acknowledged == 0 {
		r.Problem("ledger: no write was acknowledged, so nothing is proved")
	}
	r.count(l.Missing, "ledger: %d acknowledged writes are missing")
	r.count(l.Duplicated, "ledger: %d acknowledged writes are there more than once")
	r.count(l.ReceiptGaps, "ledger: %d gaps in receipt numbers")
	r.count(l.ChainBreaks, "ledger: %d breaks in hash chains")
	if l.Missing == 0 && l.Found < l.Acknowledged {
		r.Problem(fmt.Sprintf("ledger: found %d of %d acknowledged writes", l.Found, l.Acknowledged))
	}
}
