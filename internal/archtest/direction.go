package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

const module = "godwit/"

// territory is a package, with those below it, and what of this module its code
// may import besides itself, and why not more. Tests may import anything.
type territory struct {
	path string
	may  []string
	why  string
}

const everything = "*"

// pure are the packages that everybody may import.
var pure = []string{"internal/landscape", "internal/fleet", "internal/plan", "internal/quote", "internal/masker"}

// territories is the map of the module; of several that fit, the longest path
// counts. A new package gets its line here first.
var territories = []territory{
	{"internal/landscape", nil, "the declared world stands on nothing"},
	{"internal/fleet", []string{"internal/landscape"}, "the observed world knows only the declared one"},
	{"internal/plan", []string{"internal/landscape", "internal/fleet"}, "a plan is a function of declared and observed world"},
	{"internal/testtool", nil, "it finds and writes programs for tests"},
	{"internal/version", nil, "what this program is depends on nothing in it"},
	{"internal/masker", nil, "what is concealed does not depend on who conceals it"},
	{"internal/quote", nil, "how a value is written into a language depends on that language only"},
	{"internal/lockfile", nil, "a lock knows nothing of what it keeps"},
	{"internal/image", with(pure, "internal/lockfile"), "images are the same for every site: it knows none of them"},
	{"internal/sockets", nil, "a socket outlives whoever serves it, and knows nothing of them"},
	{"internal/confine", nil, "a wall knows nothing of whom it keeps in"},
	{"internal/watch", []string{"internal/confine", "internal/lockfile", "internal/sockets"}, "who watches the processes must not be able to fail of what they do"},
	{"internal/door", []string{"internal/sockets"}, "the door is the one way into an environment: small enough to be read whole"},
	{"internal/relay", []string{"internal/confine", "internal/door"}, "the relay is an opening in the isolation: it copies bytes and knows nothing else"},
	{"internal/store", with(pure, "internal/lockfile"), "the store keeps what others mean"},
	{"internal/journal", []string{"internal/store"}, "what must survive every crash depends on what it writes into, and nothing else"},
	{"internal/site", pure, "the contract and the sites know nothing of who drives them"},
	{"internal/site/sitetest", with(pure, "internal/site"), "the suite knows the contract, never one site"},
	{"internal/site/memory", with(pure, "internal/site"), "the reference site knows the contract only"},
	{"internal/site/local", with(pure, "internal/confine", "internal/lockfile", "internal/site", "internal/image", "internal/door", "internal/relay", "internal/gateway", "internal/version"),
		"a site never imports another site, the engine, the store or the API: it could not be replaced"},
	{"internal/site/aws/awstest", with(pure, "internal/site", "internal/site/aws", "internal/testtool"), "it lends an emulator to the tests of aws"},
	{"internal/site/aws/terraform/tofutest", with(pure, "internal/testtool"), "it lends OpenTofu to tests, whatever the tree"},
	{"internal/site/aws", with(pure, "internal/lockfile", "internal/site", "internal/image", "internal/version"),
		"a site never imports another site, the engine, the store or the API: it could not be replaced"},
	{"internal/gateway", with(pure, "internal/confine", "internal/door", "internal/lockfile", "internal/sockets", "internal/version"),
		"the data path gets a table and reports what it sees: it must run without site, store and engine"},
	{"internal/rollout", with(pure, "internal/journal", "internal/site"), "a rollout drives any site through its contract"},
	{"internal/migrate", with(pure, "internal/journal", "internal/site", "internal/gateway/client"),
		"a migration drives any site through its contract, and the gateway as its client"},
	{"internal/migrate/migratetest", with(pure, "internal/migrate", "internal/site", "internal/site/local/postgres", "internal/testtool"),
		"it lends real servers to the tests of migrate"},
	{"internal/api", with(pure, "internal/journal", "internal/site", "internal/rollout", "internal/migrate", "internal/version"),
		"the wire knows the nouns, not the engine that acts on them"},
	{"internal/api/client", with(pure, "internal/api", "internal/version"), "a client has only the wire in common with the engine"},
	{"internal/engine", with(pure, "internal/api", "internal/confine", "internal/image", "internal/gateway", "internal/journal", "internal/migrate", "internal/report",
		"internal/rollout", "internal/site", "internal/site/local", "internal/site/aws", "internal/sockets", "internal/store", "internal/version", "internal/watch"),
		"the engine serves the API and chooses the site; who calls it stays above it"},
	{"internal/probe", with(pure, "internal/version"), "the probe stands outside like a client, and must not know what it measures"},
	{"internal/report", with(pure, "internal/api", "internal/probe", "internal/version"), "a report is made from results"},
	{"internal/stand", with(pure, "internal/site/local/postgres", "internal/image"), "a data centre and godwit's own commands, as a user has them"},
	{"internal/demo", with(pure, "internal/api", "internal/api/client", "internal/probe", "internal/report", "internal/stand", "internal/version"),
		"the demo does what a user does, through commands and API"},
	{"internal/cloud", with(pure, "internal/api", "internal/image", "internal/journal", "internal/rollout", "internal/site", "internal/site/aws", "internal/store", "internal/version"),
		"what AWS needs no engine for stands beside it: state is in AWS"},
	{"internal/pipeline", with(pure, "internal/lockfile", "internal/version"), "a pipeline runs commands, and knows nothing of what they do"},
	{"internal/cli", with(pure, "internal/cloud", "internal/pipeline", "internal/image", "internal/site/aws", "internal/api", "internal/api/client", "internal/demo", "internal/probe", "internal/report", "internal/version", "internal/watch"),
		"a command parses, asks the engine through api/client, or cloud where no engine is needed, and shows"},
	{"internal/test", []string{everything}, "what only tests and campaigns import may look at everything"},
	{"internal/archtest", nil, "it reads the code, it does not run it"},
	{"cmd", []string{everything}, "a program puts the parts together"},
	{"examples", []string{"examples"}, "what godwit runs must not be made of godwit"},
}

func with(base []string, more ...string) []string { return append(slices.Clone(base), more...) }

// Direction: imports point one way, as the map says.
func Direction(sources []Source) []Violation {
	var found []Violation
	for _, s := range sources {
		if s.test() {
			continue
		}
		home, ok := territoryOf(s.dir())
		if !ok {
			found = append(found, Violation{s.Path, "this package is not on the map",
				"say in archtest/direction.go what it may import, and why, before it is built"})
			continue
		}
		s.imports(func(spec *ast.ImportSpec, p string) {
			target, ours := strings.CutPrefix(p, module)
			if ours && !home.allows(target) {
				found = append(found, Violation{s.at(spec), fmt.Sprintf("%s imports %s", s.dir(), target), home.why})
			}
		})
	}
	return found
}

func territoryOf(dir string) (territory, bool) {
	var best territory
	for _, t := range territories {
		if within(dir, t.path) && len(t.path) > len(best.path) {
			best = t
		}
	}
	return best, best.path != ""
}

// allows: to be allowed a package is to be allowed what lies below it, as far as
// that is not a territory of its own.
func (t territory) allows(target string) bool {
	there, _ := territoryOf(target)
	return there.path == t.path || slices.ContainsFunc(t.may, func(m string) bool {
		return m == everything || within(target, m) && len(there.path) <= len(m)
	})
}

func within(dir, above string) bool { return dir == above || strings.HasPrefix(dir, above+"/") }
