package tofu

import (
	"encoding/json"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"
)

// shown is what people see of one changed resource.
func shown(t *testing.T, change string, hide ...string) string {
	t.Helper()
	var c tfjson.Change
	d := json.NewDecoder(strings.NewReader(change))
	d.UseNumber()
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range fieldsOf(&c, hide, nil) {
		f.format(&b, false)
	}
	return b.String()
}

const (
	rate  = `{"name":"rate","priority":1,"action":[{"block":[{}]}],"statement":[{"rate_based_statement":[{"limit":%,"scope_down_statement":[]}]}]}`
	geo   = `{"name":"geo","priority":2,"action":[{"block":[{}],"count":[]}],"statement":[]}`
	allow = `{\"Statement\":[{\"Sid\":\"Read\",\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"*\"}]}`
)

func limit(n string) string { return strings.ReplaceAll(rate, "%", n) }

func TestFields(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ change, want string }{
		"nothing":         {`{"before":{"a":1,"b":null},"after":{"a":1}}`, ``},
		"a number":        {`{"before":{"a":20},"after":{"a":53687091200}}`, `~ a: 20 -> 53687091200`},
		"too big a float": {`{"before":{"a":9007199254740993},"after":{"a":9007199254740992}}`, `~ a: 9007199254740993 -> 9007199254740992`},
		"new and gone":    {`{"before":{"a":"x"},"after":{"b":false}}`, "- a: \"x\"\n+ b: false"},
		"a tag":           {`{"before":{"tags":{"godwit:a":"1","b":"2"},"tags_all":{"b":"2"}},"after":{"tags":{"godwit:a":"1","b":"3"},"tags_all":{"b":"3"}}}`, `~ tags.b: "2" -> "3"`},
		"a tag of all":    {`{"before":{"tags":{},"tags_all":{}},"after":{"tags":{},"tags_all":{"a b":"3"}}}`, `+ tags_all["a b"]: "3"`},
		"within one block": {`{"before":{"health_check":[{"path":"/","port":1}]},"after":{"health_check":[{"path":"/healthz","port":1}]}}`,
			`~ health_check.path: "/" -> "/healthz"`},
		"a rule in a set, by its name": {`{"before":{"rule":[` + limit("3000") + `,` + geo + `]},"after":{"rule":[` + geo + `,` + limit("5000") + `]}}`,
			`~ rule["rate"].statement.rate_based_statement.limit: 3000 -> 5000`},
		"a rule is added": {`{"before":{"rule":[` + limit("1") + `]},"after":{"rule":[` + geo + `,` + limit("1") + `]}}`,
			"+ rule[\"geo\"].action.block: {}\n+ rule[\"geo\"].name: \"geo\"\n+ rule[\"geo\"].priority: 2"},
		"a block instead of another": {`{"before":{"action":[{"block":[{}],"count":[]}]},"after":{"action":[{"block":[],"count":[{}]}]}}`,
			"- action.block: {}\n+ action.count: {}"},
		"elements of a set":    {`{"before":{"s":["a","b","c"]},"after":{"s":["b","c","d"]}}`, "- s[]: \"a\"\n+ s[]: \"d\""},
		"blocks without names": {`{"before":{"p":[{"from":1,"to":9},{"from":2,"to":8}]},"after":{"p":[{"from":2,"to":7},{"from":1,"to":9},{"from":3,"to":6}]}}`, "~ p[0].to: 8 -> 7\n+ p[2].from: 3\n+ p[2].to: 6"},
		"another order":        {`{"before":{"s":["a","b","c"]},"after":{"s":["c","a","b"]}}`, `~ s: in another order`},
		"a list that is there": {`{"before":{"a":null},"after":{"a":[]}}`, `+ a: []`},
		"not known":            {`{"before":{"a":"x","b":[1]},"after":{"c":[]},"after_unknown":{"a":true,"b":true,"c":true}}`, "~ a: \"x\" -> (known after apply)\n~ b: [1] -> (known after apply)\n+ c: (known after apply)"},
		"not known in part":    {`{"before":{"s":["x","y"]},"after":{"s":["x",null]},"after_unknown":{"s":[false,true]}}`, "- s[]: \"y\"\n+ s[]: (known after apply)"},
		"marked":               {`{"before":{"a":"old","b":[{"c":1,"d":2}]},"after":{"a":"new","b":[{"c":8,"d":9}]},"before_sensitive":{"a":true,"b":[{"c":true}]},"after_sensitive":{"a":true,"b":[{"c":true}]}}`, "~ a: (sensitive) -> (sensitive)\n~ b.c: (sensitive) -> (sensitive)\n~ b.d: 2 -> 9"},
		"a mark and a list":    {`{"before":{"a":["x1"]},"after":{"a":["x1","x2"]},"after_sensitive":{"a":true}}`, "~ a: [\"x1\"] -> (sensitive)"},
		"named as secret":      {`{"before":{"m":[{"password":"old","http_tokens":"optional","manage_password":false,"secret_arn":"arn:a"}]},"after":{"m":[{"password":"new","http_tokens":"required","manage_password":true,"secret_arn":"arn:b"}]}}`, "~ m.http_tokens: \"optional\" -> \"required\"\n~ m.manage_password: false -> true\n~ m.password: (sensitive) -> (sensitive)\n~ m.secret_arn: \"arn:a\" -> \"arn:b\""},
		"holds a secret":       {`{"before":{"command":"login hunter22","t":{"hunter22":"1"},"r":[{"name":"hunter22","x":1},{"name":"b","x":1}]},"after":{"command":"login","t":{"hunter22":"2"},"r":[{"name":"hunter22","x":2},{"name":"b","x":1}]}}`, "~ command: (sensitive) -> \"login\"\n~ r[0].x: 1 -> 2\n~ t[(sensitive)]: \"1\" -> \"2\""},
		"a secret document":    {`{"before":{"secret_string":"{\"a\":1}"},"after":{"secret_string":"{\"a\":2}"}}`, `~ secret_string: (sensitive) -> (sensitive)`},
		"what forces":          {`{"actions":["delete","create"],"before":{"a":[{"b":1}],"c":1,"arn":"x"},"after":{"a":[{"b":2}],"c":2},"after_unknown":{"arn":true},"replace_paths":[["a",0,"b"]]}`, "~ a.b: 1 -> 2  (forces the replacement)\n~ c: 1 -> 2"},
		"a whole that forces":  {`{"actions":["delete","create"],"before":{"a":["x","y"]},"after":{"a":["x","z"]},"replace_paths":[["a"]]}`, "- a[]: \"y\"  (forces the replacement)\n+ a[]: \"z\"  (forces the replacement)"},
		"a policy": {`{"before":{"policy":"` + allow + `"},"after":{"policy":"` + strings.ReplaceAll(strings.ReplaceAll(allow, `\"s3:GetObject\"`, `[\"s3:PutObject\", \"s3:GetObject\"]`), `}]}`, `},{\"Sid\":\"List\",\"Effect\":\"Allow\",\"Action\":\"s3:ListBucket\",\"Resource\":\"b\"}]}`) + `"}}`, "+ policy.Statement[\"Read\"].Action[]: \"s3:PutObject\"\n+ policy.Statement[\"List\"].Action: \"s3:ListBucket\"\n" +
			"+ policy.Statement[\"List\"].Effect: \"Allow\"\n+ policy.Statement[\"List\"].Resource: \"b\"\n+ policy.Statement[\"List\"].Sid: \"List\""},
		"a policy in another form":   {`{"before":{"policy":"` + allow + `"},"after":{"policy":"` + strings.ReplaceAll(allow, `\"*\"`, ` [\"*\"]`) + `"}}`, `~ policy: says the same, written otherwise`},
		"a policy in another order":  {`{"before":{"policy":"{\"Statement\":{\"Action\":[\"a\",\"b\"]}}"},"after":{"policy":"{\"Statement\":{\"Action\":[\"b\",\"a\"]}}"}}`, `~ policy: says the same, written otherwise`},
		"blocks that are alike":      {`{"before":{"p":[{"a":1,"b":1},{"a":1,"b":2}]},"after":{"p":[{"a":1,"b":3},{"a":1,"b":4}]}}`, "~ p[0].b: 1 -> 3\n~ p[1].b: 2 -> 4"},
		"nothing in a list":          {`{"before":{"a":[1,2]},"after":{"a":[1,2,null]}}`, `+ a[]: null`},
		"a part is marked":           {`{"before":{"a":[{"b":"old","c":1}]},"before_sensitive":{"a":[{"b":true}]},"after":{},"after_unknown":{"a":true}}`, `~ a: (sensitive) -> (known after apply)`},
		"a part is named as secret":  {`{"before":{"a":[{"password":"old","c":1}]},"after":{},"after_unknown":{"a":true}}`, `~ a: (sensitive) -> (known after apply)`},
		"a document":                 {`{"before":{"d":"[1, 2, {\"a\":1}]"},"after":{"d":"[2, 1, {\"a\":1}]"}}`, `~ d: in another order`},
		"a document and another":     {`{"before":{"d":"plain"},"after":{"d":"{\"a\":1}"}}`, `~ d: "plain" -> "{\"a\":1}"`},
		"letters a terminal obeys":   {`{"before":{"\u001b[31m":"x"},"after":{"\u001b[31m":"\u001b[2J"}}`, `~ ["\x1b[31m"]: "x" -> "\x1b[2J"`},
		"one kind instead of others": {`{"before":{"a":[1],"b":{"c":1}},"after":{"a":"x","b":[2]}}`, "- a: 1\n+ a: \"x\"\n- b.c: 1\n+ b: 2"},
	} {
		got := strings.TrimSuffix(strings.ReplaceAll("\n"+shown(t, c.change, "hunter22"), "\n      ", "\n"), "\n")
		if got = strings.TrimPrefix(got, "\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// TestLongValues: of what is long that is shown which differs, or both ends.
func TestLongValues(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 300)
	for name, c := range map[string]struct{ before, after, want string }{
		"at the end":       {long + "old", long + "new", `"…` + strings.Repeat("ü", 40) + `old" -> "…` + strings.Repeat("ü", 40) + `new"`},
		"at the beginning": {"old" + long, "new" + long, `"old` + strings.Repeat("ü", 117) + `…" -> "new` + strings.Repeat("ü", 117) + `…"`},
		"only there":       {"", "head" + long + "tail", `"" -> "head` + strings.Repeat("ü", 76) + "…" + strings.Repeat("ü", 36) + `tail"`},
	} {
		b, err := json.Marshal(tfjson.Change{Before: map[string]any{"a": c.before}, After: map[string]any{"a": c.after}})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := shown(t, string(b)), "      ~ a: "+c.want+"\n"; got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}
