package landscape

import "slices"

func find[T any](all []T, is func(T) bool) (T, bool) {
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i], true
	}
	var none T
	return none, false
}

// Environment finds an environment by name.
func (l *Landscape) Environment(name string) (Environment, bool) {
	return find(l.Environments, func(e Environment) bool { return e.Name == name })
}

// Service finds a service by name.
func (l *Landscape) Service(name string) (Service, bool) {
	return find(l.Services, func(s Service) bool { return s.Name == name })
}

// Database finds a database by name.
func (l *Landscape) Database(name string) (Database, bool) {
	return find(l.Databases, func(d Database) bool { return d.Name == name })
}

// Ingress finds an ingress by name.
func (l *Landscape) Ingress(name string) (Ingress, bool) {
	return find(l.Ingresses, func(i Ingress) bool { return i.Name == name })
}

// Source finds a source by name.
func (l *Landscape) Source(name string) (Source, bool) {
	return find(l.Sources, func(s Source) bool { return s.Name == name })
}

// Migration finds a migration by name.
func (l *Landscape) Migration(name string) (Migration, bool) {
	return find(l.Migrations, func(m Migration) bool { return m.Name == name })
}

// Probe finds a probe by name.
func (l *Landscape) Probe(name string) (Probe, bool) {
	return find(l.Probes, func(p Probe) bool { return p.Name == name })
}

// Pipeline finds a pipeline by name.
func (l *Landscape) Pipeline(name string) (Pipeline, bool) {
	return find(l.Pipelines, func(p Pipeline) bool { return p.Name == name })
}

// Service finds the endpoint of a service in the source by name.
func (s Source) Service(name string) (SourceEndpoint, bool) {
	return find(s.Services, func(e SourceEndpoint) bool { return e.Name == name })
}

// Database finds the endpoint of a database in the source by name.
func (s Source) Database(name string) (SourceEndpoint, bool) {
	return find(s.Databases, func(e SourceEndpoint) bool { return e.Name == name })
}
