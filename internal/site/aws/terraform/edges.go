package terraform

import (
	"net/netip"

	"godwit/internal/landscape"
)

// wall is a security group.
type wall struct {
	id          string // within Terraform
	name        string
	description string
}

func (w wall) ref() value { return reference("aws_security_group.%s.id", w.id) }

func (r *root) publicWall() wall {
	return wall{"public", r.scope.Name("public"), "Public load balancer"}
}

func (r *root) endpointsWall() wall {
	return wall{"endpoints", r.scope.Name("endpoints"), "Endpoints of AWS"}
}

func (r *root) internalWall(service string) wall {
	return wall{identifier("internal", service), r.scope.Name(service, "internal"), "Internal load balancer of " + service}
}

func (r *root) serviceWall(service string) wall {
	return wall{identifier("service", service), r.scope.Name(service, "service"), "Instances of " + service}
}

func (r *root) databaseWall(database string) wall {
	return wall{identifier("database", database), r.scope.Name(database, "database"), "Database " + database}
}

// writeEdges writes the whole firewall of an environment into one file.
func (r *root) writeEdges(f *file) {
	f.empty = false
	f.comment("The whole firewall of this environment: who reaches whom, and on which port.\n" +
		"Nothing else is open. Each edge is a pair of rules, one where it begins and one\n" +
		"where it ends, and both name groups, not addresses.")
	r.writeWalls(f)
	if r.public() {
		r.writePublicEdges(f)
	}
	for _, s := range r.landscape.Services {
		r.writeServiceEdges(f, s)
	}
	if r.aws.VPN != nil {
		r.writeSourceEdges(f, r.aws.VPN.Network)
	}
}

func (r *root) writeWalls(f *file) {
	var walls []wall
	if r.public() {
		walls = append(walls, r.publicWall())
	}
	walls = append(walls, r.endpointsWall())
	for _, s := range r.landscape.Services {
		if r.needed[s.Name] {
			walls = append(walls, r.internalWall(s.Name))
		}
		walls = append(walls, r.serviceWall(s.Name))
	}
	for _, d := range r.landscape.Databases {
		walls = append(walls, r.databaseWall(d.Name))
	}
	for _, w := range walls {
		b := f.top("", "resource", "aws_security_group", w.id)
		b.set("name", text(w.name))
		b.set("description", text(w.description))
		b.set("vpc_id", reference("module.network.vpc_id"))
		b.gap()
		b.set("tags", object(field{"Name", text(w.name)}))
	}
}

// writePublicEdges: everybody to the public load balancer, and it to the
// services with an ingress.
func (r *root) writePublicEdges(f *file) {
	public := r.publicWall()
	comment := "Clients. These are the only rules that let everybody in: 80 only says that it is\n443 they want."
	for _, port := range []struct {
		number int
		name   string
	}{{443, "https"}, {80, "http"}} {
		rule{at: public, name: "public_from_clients_" + port.name, why: "Clients", port: port.number,
			cidr4: "0.0.0.0/0"}.write(f, comment, ingress)
		rule{at: public, name: "public_from_clients_" + port.name + "_ipv6", why: "Clients by IPv6", port: port.number,
			cidr6: "::/0"}.write(f, "", ingress)
		comment = ""
	}
	for _, s := range r.landscape.Services {
		if len(r.ingresses[s.Name]) > 0 {
			edge(f, "Ingress to "+s.Name+".", public, r.serviceWall(s.Name), s.Port, "Ingress to "+s.Name)
		}
	}
}

// writeServiceEdges: a service to whatever it needs.
func (r *root) writeServiceEdges(f *file, s landscape.Service) {
	from := r.serviceWall(s.Name)
	if r.needed[s.Name] {
		edge(f, "To "+s.Name+", for those that need it.", r.internalWall(s.Name), from, s.Port, "Load balancer to "+s.Name)
	}
	for _, needed := range needs(s) {
		other, _ := r.landscape.Service(needed)
		why := s.Name + " needs " + needed
		edge(f, why+".", from, r.internalWall(needed), other.Port, why)
	}
	for _, database := range databases(s) {
		why := s.Name + " needs database " + database
		edge(f, why+".", from, r.databaseWall(database), landscape.DatabasePort, why)
	}
	edge(f, s.Name+" to AWS.", from, r.endpointsWall(), 443, s.Name+" to AWS")
	rule{at: from, name: from.id + "_to_s3", why: s.Name + " to S3", port: 443,
		prefixList: reference("module.network.s3_prefix_list_id")}.write(f, "", egress)
	r.writeOutside(f, s)
}

// writeOutside: a service to networks outside, where there is a way out.
func (r *root) writeOutside(f *file, s landscape.Service) {
	networks := r.landscape.AWS.Service(r.environment.Name, s.Name).Egress
	if r.nat() == landscape.NATNone {
		if len(networks) > 0 {
			f.gap()
			f.comment("There is no NAT here, so " + s.Name + " cannot reach the networks outside that it may.")
		}
		return
	}
	from, comment := r.serviceWall(s.Name), s.Name+" to networks outside, as declared."
	for _, n := range networks {
		rule{at: from, name: from.id + "_to_" + networkIdentifier(n), why: s.Name + " to " + n.String(), port: 443,
			cidr4: n.String()}.write(f, comment, egress)
		comment = ""
	}
}

// writeSourceEdges: databases and the source's databases, both ways.
func (r *root) writeSourceEdges(f *file, source netip.Prefix) {
	comment := "Replication with the data centre, both ways, while a migration is under way."
	for _, d := range r.landscape.Databases {
		at := r.databaseWall(d.Name)
		rule{at: at, name: at.id + "_from_source", why: "The source to database " + d.Name, port: landscape.DatabasePort,
			cidr4: source.String()}.write(f, comment, ingress)
		rule{at: at, name: at.id + "_to_source", why: "Database " + d.Name + " to the source", port: landscape.DatabasePort,
			cidr4: source.String()}.write(f, "", egress)
		comment = ""
	}
}

// edge writes a pair of rules.
func edge(f *file, comment string, from, to wall, port int, why string) {
	rule{at: from, name: from.id + "_to_" + to.id, why: why, port: port, peer: to.ref()}.write(f, comment, egress)
	rule{at: to, name: to.id + "_from_" + from.id, why: why, port: port, peer: from.ref()}.write(f, "", ingress)
}

// direction of a rule.
type direction string

const (
	ingress direction = "aws_vpc_security_group_ingress_rule"
	egress  direction = "aws_vpc_security_group_egress_rule"
)

// rule opens a wall in one direction; exactly one of peer, prefixList, cidr4 and
// cidr6 is set.
type rule struct {
	at               wall
	name, why        string
	port             int
	peer, prefixList value
	cidr4, cidr6     string
}

func (r rule) write(f *file, comment string, d direction) {
	b := f.top(comment, "resource", string(d), r.name)
	b.set("security_group_id", r.at.ref())
	switch {
	case r.peer != nil:
		b.set("referenced_security_group_id", r.peer)
	case r.prefixList != nil:
		b.set("prefix_list_id", r.prefixList)
	case r.cidr4 != "":
		b.set("cidr_ipv4", text(r.cidr4))
	default:
		b.set("cidr_ipv6", text(r.cidr6))
	}
	b.set("ip_protocol", text("tcp"))
	b.set("from_port", number(r.port))
	b.set("to_port", number(r.port))
	b.set("description", text(r.why))
}

// networkIdentifier is a network within Terraform: 192_0_2_0_24.
func networkIdentifier(n netip.Prefix) string {
	out := []byte(n.String())
	for i, c := range out {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			out[i] = '_'
		}
	}
	return string(out)
}
