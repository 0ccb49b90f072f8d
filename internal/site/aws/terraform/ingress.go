package terraform

import (
	"godwit/internal/landscape"
	"godwit/internal/site/aws/convention"
)

func (r *root) writeIngress(f *file) {
	if !r.public() {
		return
	}
	b := f.top("One public load balancer, behind a firewall for requests.", "module", "ingress")
	b.source("ingress")
	b.set("name", text(r.scope.LoadBalancer(convention.Public, "")))
	b.set("prefix", reference("local.prefix"))
	b.set("logs_bucket", text(r.scope.LogsBucket()))
	b.set("region", reference("local.region"))
	b.gap()
	b.set("domain", text(r.landscape.AWS.Domain))
	b.set("hosts", oneEach(r.hosts(r.landscape.Ingresses)))
	b.gap()
	b.set("subnet_ids", reference("module.network.public_subnet_ids"))
	b.set("security_group_id", r.publicWall().ref())
	b.gap()
	b.set("shield", shield(r.landscape.Shield))
	r.writeFront(b)
	b.gap()
	b.set("protected", reference("local.protected"))
	b.set("key_arn", reference("module.key.arn"))
	b.set("topic_arn", reference("module.oncall.topic_arn"))
}

// writeFront: gateways that stand before the environment, and whether its names
// still lead to them.
func (r *root) writeFront(b *body) {
	if len(r.aws.Gateways) > 0 {
		addresses := make([]string, len(r.aws.Gateways))
		for i, g := range r.aws.Gateways {
			addresses[i] = g.String()
		}
		b.gap()
		b.comment("All requests of a gateway come from its address: who the client is, it says in\nX-Forwarded-For, and nobody else is believed.")
		b.set("gateways", texts(addresses))
	}
	if r.aws.NoDNS {
		b.gap()
		b.comment("The names lead to the data centre's gateway until the migration is finished: a\n" +
			"record made here before would turn clients away from it. Certificates are made\n" +
			"and proved all the same. Without this line the records are added.")
		b.set("dns", flag(false))
	}
}

// oneEach is a list that may become long.
func oneEach(all []string) value {
	values := make([]value, len(all))
	for i, s := range all {
		values[i] = text(s)
	}
	return lines(values...)
}

func shield(s landscape.Shield) value {
	window := seconds(s.Window)
	if window == 0 {
		window = 300 // nothing is counted, and WAF wants to know over how long
	}
	rules := make([]string, len(s.Rules))
	for i, r := range s.Rules {
		rules[i] = string(r)
	}
	limits := make([]value, len(s.Limits))
	for i, l := range s.Limits {
		limits[i] = object(field{"name", text(l.Name)}, field{"path", text(l.Path)}, field{"rate", number(l.Rate)})
	}
	return object(field{"rate", number(s.Rate)}, field{"window", number(window)},
		field{"rules", texts(rules)}, field{"limits", list(limits...)})
}
