package terraform

import (
	"godwit/internal/landscape"
	"godwit/internal/site/aws/convention"
)

// accountRoot is the name of the root that there is one of in an account, and
// what its names end in where those of an environment have the environment's.
const accountRoot = "account"

// renderAccount is all files of the account's root, by their names in its
// directory: where states are kept, who did what, what holds for everything in
// the account. It has no environment, and is applied before them.
func renderAccount(l *landscape.Landscape) map[string][]byte {
	files := map[string][]byte{}
	for name, write := range map[string]func(*file){
		"versions.tf":  writeVersions,
		"backend.tf":   writeAccountBackend,
		"backend.hcl":  func(f *file) { backendSettings(f, l.AWS.Region, accountRoot) },
		"providers.tf": func(f *file) { writeAccountProvider(f, l) },
		"variables.tf": writeAccountVariables,
		"main.tf":      func(f *file) { writeAccount(f, l) },
		"outputs.tf":   writeAccountOutputs,
	} {
		f := newFile()
		write(f)
		files[name] = f.bytes()
	}
	return files
}

func writeAccountBackend(f *file) {
	f.top("The bucket of the states is made in here, and so is kept in itself. The first\n"+
		"apply has no bucket yet: it runs with a state on this machine, which is then\n"+
		"moved. By hand: put a file backend_override.tf with\n\n"+
		"  terraform {\n    backend \"local\" {}\n  }\n\n"+
		"beside this one, init and apply, remove it, and init again with -migrate-state\n"+
		"and what is in backend.hcl.", "terraform").block("backend", "s3")
}

func writeAccountProvider(f *file, l *landscape.Landscape) {
	b := f.top("", "provider", "aws")
	b.set("region", text(l.AWS.Region))
	b.gap()
	b.comment("No environment: what is in here belongs to all of them.")
	b.block("default_tags").set("tags", object(field{convention.TagLandscape, text(l.Name)}))
}

func writeAccount(f *file, l *landscape.Landscape) {
	prefix := text(l.Name + "-" + accountRoot)
	key := f.top("What the account keeps is encrypted with a key of its own: not with that of an\nenvironment, which goes with it.",
		"module", "key")
	key.set("source", text("../modules/key"))
	key.gap()
	key.set("prefix", prefix)

	oncall := f.top("Alarms of the account. Findings of GuardDuty come as events.", "module", "oncall")
	oncall.set("source", text("../modules/oncall"))
	oncall.gap()
	oncall.set("prefix", prefix)
	oncall.set("emails", texts(l.AWS.OnCall))
	oncall.set("key_arn", reference("module.key.arn"))
	oncall.set("events", flag(true))

	account := f.top("One landscape for each account: GuardDuty, the trail and the defaults of the\nregion are there once.", "module", "account")
	account.set("source", text("../modules/account"))
	account.gap()
	account.set("landscape", text(l.Name))
	account.set("key_arn", reference("module.key.arn"))
	account.set("topic_arn", reference("module.oncall.topic_arn"))
	account.gap()
	for _, v := range accountSettings() {
		account.set(v.name, reference("var.%s", v.name))
	}
}

// setting is a variable of the account's root.
type setting struct {
	name, description, kind string
	standard                value
}

func accountSettings() []setting {
	return []setting{
		{"audit_mode", "GOVERNANCE, or COMPLIANCE: then nobody, AWS included, can delete an entry of the audit before its time. Choose that once all is as it should be.",
			"string", text("GOVERNANCE")},
		{"audit_days", "How long each entry of the audit is kept, in days.", "number", number(400)},
		{"insights", "Whether CloudTrail looks for unusual activity. It costs by the event.", "bool", flag(false)},
	}
}

func writeAccountVariables(f *file) {
	for _, v := range accountSettings() {
		b := f.top("", "variable", v.name)
		b.set("description", text(v.description))
		b.set("type", reference("%s", v.kind))
		b.set("default", v.standard)
	}
}

func writeAccountOutputs(f *file) {
	for _, o := range []struct{ name, description, from string }{
		{"state_bucket", "Bucket of Terraform's states and of the journal of rollouts.", "module.account.state_bucket"},
		{"audit_bucket", "Bucket of the audit.", "module.account.audit_bucket"},
		{"trail_arn", "Trail of all that is done in the account.", "module.account.trail_arn"},
		{"topic_arn", "Topic of the account's alarms.", "module.oncall.topic_arn"},
	} {
		b := f.top("", "output", o.name)
		b.set("description", text(o.description))
		b.set("value", reference("%s", o.from))
	}
}
