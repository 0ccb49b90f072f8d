package terraform

import "godwit/internal/landscape"

func (r *root) writeDatabases(f *file) {
	for _, d := range r.landscape.Databases {
		r.writeDatabase(f, d)
	}
	if len(r.landscape.Databases) == 0 {
		return
	}
	b := f.top("Names of databases inside, the same as at every site.", "resource", "aws_route53_zone", "databases")
	b.set("name", text("db.internal"))
	b.set("comment", text("Databases of "+r.scope.Name()))
	b.gap()
	b.block("vpc").set("vpc_id", reference("module.network.vpc_id"))
	for _, d := range r.landscape.Databases {
		id := identifier("database", d.Name)
		b := f.top("", "resource", "aws_route53_record", id)
		b.set("zone_id", reference("aws_route53_zone.databases.zone_id"))
		b.set("name", text(landscape.DatabaseHost(d.Name)))
		b.set("type", text("CNAME"))
		b.set("records", list(reference("module.%s.address", id)))
		b.set("ttl", number(30))
	}
}

func (r *root) writeDatabase(f *file, d landscape.Database) {
	b := f.top("", "module", identifier("database", d.Name))
	b.source("database")
	b.set("name", text(d.Name))
	b.set("identifier", text(r.scope.Database(d.Name)))
	b.set("secret_name", text(r.scope.DatabaseSecret(d.Name)))
	b.gap()
	b.set("vpc_id", reference("module.network.vpc_id"))
	b.set("subnet_ids", reference("module.network.data_subnet_ids"))
	b.set("security_group_ids", list(r.databaseWall(d.Name).ref()))
	b.gap()
	b.set("class", text(r.aws.Database))
	b.set("storage", number(r.aws.Storage))
	b.gap()
	b.comment("A standby in another zone, in every environment: what is tried in one is what\nruns in the next.")
	b.set("multi_az", flag(true))
	b.set("protected", reference("local.protected"))
	b.gap()
	b.set("key_arn", reference("module.key.arn"))
	b.set("topic_arn", reference("module.oncall.topic_arn"))
	b.set("boundary_arn", reference("module.access.boundary_arn"))
}
