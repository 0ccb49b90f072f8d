package engine

import (
	"strings"
	"testing"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/site/aws"
)

// TestCheckNamesEveryDatabase: what is wrong with one keeps none from being judged,
// in words and as JSON; whoever wants all of them hears of all as well.
func TestCheckNamesEveryDatabase(t *testing.T) {
	t.Parallel()
	b, up := beforeAWS(t, func(*aws.Clients) {})
	b.edit("database \"shop\" {\n  engine = \"postgres\"\n}\n", "database \"shop\" {\n  engine = \"postgres\"\n}\ndatabase \"stock\" {\n  engine = \"postgres\"\n}\n")
	b.edit("  database \"shop\" {\n    url = env.DATABASE\n  }\n", "  database \"shop\" {\n    url = env.DATABASE\n  }\n  database \"stock\" {\n    url = env.STOCK\n  }\n")
	b.env["STOCK"] = "postgres://stock:" + secret + "@/stock?host=/run/postgresql"
	up.Landscape = b.landscape()
	_, err := b.Up(t.Context(), up, b.events.sink())
	b.ok(err)
	checks, err := b.Check(t.Context(), "datacenter", b.events.sink())
	if b.ok(err); checks.Go {
		t.Error("it is go")
	}
	var said strings.Builder
	checks.Findings.Format(&said, false)
	for _, text := range []string{said.String(), marshal(t, checks)} {
		for _, want := range []string{"database shop: ", "database stock: ", "service till of production has nothing that takes requests"} {
			if strings.Count(text, want) != 1 {
				t.Errorf("%q is not said once in\n%s", want, text)
			}
		}
	}
	for _, f := range checks.Findings {
		if f.Severity == landscape.Error && f.Mend == "" {
			t.Errorf("no mend: %+v", f)
		}
	}
	_, err = b.Sync(t.Context(), "datacenter", b.events.sink())
	b.fails(err, api.AsFailure(err).Code, "database shop: ", "database stock: ")
	b.concealed(said.String(), marshal(t, checks))
}
