package landscape

import "time"

// Shield is what stands before every ingress against floods and attacks. A
// landscape that declares none has the standard one.
type Shield struct {
	Rate   int           // requests that one client address may send within Window
	Window time.Duration // 1, 2, 5 or 10 minutes
	Rules  []ShieldRules // groups of known attacks that are refused
	Limits []ShieldLimit // tighter rates
}

// ShieldRules is a group of known attacks.
type ShieldRules string

const (
	RulesCommon    ShieldRules = "common"           // the OWASP core set
	RulesBadInputs ShieldRules = "known-bad-inputs" // requests that exploit known holes
	RulesSQL       ShieldRules = "sql"              // SQL injection
	RulesAddresses ShieldRules = "ip-reputation"    // addresses that are known to attack
	RulesAnonymous ShieldRules = "anonymous-ip"     // proxies, Tor, hosting
)

// ShieldLimit is a rate for paths that begin with Path, per client address
// within the shield's window.
type ShieldLimit struct {
	Name string
	Path string
	Rate int
}
