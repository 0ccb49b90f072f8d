package terraform

func (r *root) writeOutputs(f *file) {
	output := func(name, description string, v value) {
		b := f.top("", "output", name)
		b.set("description", text(description))
		b.set("value", v)
	}
	output("vpc_id", "The network.", reference("module.network.vpc_id"))
	output("nat_addresses", "Addresses under which instances are seen outside.", reference("module.network.nat_addresses"))
	output("topic_arn", "Where alarms go.", reference("module.oncall.topic_arn"))
	output("key_arn", "Key that encrypts everything here; images that are started here have to be readable with it.", reference("module.key.arn"))
	output("boundary_arn", "What no role here can exceed.", reference("module.access.boundary_arn"))
	output("developer_role_arn", "Role of developers.", reference("module.access.developer_role_arn"))
	output("admin_role_arn", "Role of administrators.", reference("module.access.admin_role_arn"))
	if r.public() {
		output("hosts", "Names under which services are reached.", oneEach(r.hosts(r.landscape.Ingresses)))
		output("load_balancer", "AWS's own name of the public load balancer.", reference("module.ingress.dns_name"))
	}
	if len(r.landscape.Services) > 0 {
		var groups, secrets []field
		for _, s := range r.landscape.Services {
			module := identifier("service", s.Name)
			groups = append(groups, field{s.Name, reference("module.%s.groups", module)})
			if secret(s) {
				secrets = append(secrets, field{s.Name, reference("module.%s.secret_arn", module)})
			}
		}
		output("groups", "Auto Scaling groups by service and colour.", object(groups...))
		if len(secrets) > 0 {
			output("service_secrets", "Secrets of services, to be filled by godwit.", object(secrets...))
		}
	}
	r.writeDatabaseOutputs(output)
}

func (r *root) writeDatabaseOutputs(output func(name, description string, v value)) {
	if len(r.landscape.Databases) == 0 {
		return
	}
	var all []field
	for _, d := range r.landscape.Databases {
		module := identifier("database", d.Name)
		all = append(all, field{d.Name, object(
			field{"address", reference("module.%s.address", module)},
			field{"secret_arn", reference("module.%s.secret_arn", module)},
			field{"master_secret_arn", reference("module.%s.master_secret_arn", module)})})
	}
	output("databases", "Databases: where they are, and the secrets that open them.", object(all...))
}
