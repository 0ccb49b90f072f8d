package landscape

import "strconv"

// Node is an end of an edge. The gateway is one node, without a name.
type Node struct {
	Kind string // "service" | "database" | "gateway"
	Name string
}

// Gateway is the node in front of everything.
var Gateway = Node{Kind: "gateway"}

// Edge is a way that is open inside each environment, on exactly that port.
// There are no others.
type Edge struct {
	From, To Node
	Port     int
}

// Edges are all open ways: one for each need, one from the gateway for each
// service with an ingress. In order of declaration, without doubles.
func Edges(l *Landscape) []Edge {
	var edges []Edge
	seen := map[Edge]bool{}
	add := func(e Edge) {
		if !seen[e] {
			seen[e] = true
			edges = append(edges, e)
		}
	}
	ports := make(map[string]int, len(l.Services))
	for _, s := range l.Services {
		ports[s.Name] = s.Port
	}
	for _, in := range l.Ingresses {
		add(Edge{Gateway, Node{kindService, in.Service}, ports[in.Service]})
	}
	for _, s := range l.Services {
		for _, need := range s.Needs {
			port := DatabasePort
			if need.Kind == kindService {
				port = ports[need.Name]
			}
			add(Edge{Node{kindService, s.Name}, Node(need), port})
		}
	}
	return edges
}

// MainEnvironment is the one that answers the declared hosts: where a migration
// moves to, else "production", else the only protected one, else the last
// declared; "" when there is none.
func MainEnvironment(l *Landscape) string {
	if len(l.Migrations) > 0 {
		return l.Migrations[0].Environment
	}
	main, protected := "", 0
	for _, e := range l.Environments {
		switch {
		case e.Name == "production":
			return e.Name
		case e.Protected:
			main = e.Name
			protected++
		}
	}
	if n := len(l.Environments); protected != 1 && n > 0 {
		main = l.Environments[n-1].Name
	}
	return main
}

// IngressHost is the host under which an environment answers for an ingress:
// the declared one in the main environment, <environment>.<host> elsewhere.
func IngressHost(l *Landscape, in Ingress, environment string) string {
	if environment == MainEnvironment(l) {
		return in.Host
	}
	return environment + "." + in.Host
}

// Attr resolves what is the same in every environment: host and port of
// services and databases, and the URL of a service. The rest (the URL of a
// database, env.NAME) only a site knows.
func (l *Landscape) Attr(ref AttrRef) (string, bool) {
	switch ref.Kind {
	case kindService:
		s, ok := l.Service(ref.Name)
		host, port := ServiceHost(s.Name), strconv.Itoa(s.Port)
		switch ref.Attr {
		case "url":
			return "http://" + host + ":" + port, ok
		case "host":
			return host, ok
		case "port":
			return port, ok
		}
	case kindDatabase:
		d, ok := l.Database(ref.Name)
		switch ref.Attr {
		case "host":
			return DatabaseHost(d.Name), ok
		case "port":
			return strconv.Itoa(DatabasePort), ok
		}
	}
	return "", false
}
